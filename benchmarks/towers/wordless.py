"""Words find products that have a picture and no text: over the topics, with the whole stack."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks.towers.tiny_siglip import caption_of
from models.catalog.folder import read_catalog
from stream.messages import Query, Result
from stream.request_reply import Client
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack
from workers.jobs.evaluate import ingest_catalog
from workers.progress.tasks import Progress

RANKS = (1, 5, 10)
ANSWER_TIMEOUT_S = 60.0


def wordless_catalog(source: Path, folder: Path) -> list[tuple[str, str]]:
    """Write the products of a synthetic catalog with nothing but their pictures.

    Returns:
        The id and the caption of each; captions are not in the folder.
    """
    catalog = read_catalog(source)
    rows, captions = [], []
    for one in catalog.products:
        if not one.image:
            continue
        picture = Path(catalog.locate(one.image))
        kept = folder / "pictures" / picture.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, kept)
        rows.append({"product_id": one.product_id, "image": f"pictures/{picture.name}"})
        captions.append((one.product_id, caption_of(one)))
    (folder / "products.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
    return captions


def ask_for_wordless(
    settings: Settings,
    backbone: Path,
    folder: Path,
    captions: Sequence[tuple[str, str]],
    bars: Progress,
) -> dict[str, float | int]:
    """Ingest a catalog without words, ask for each product by its caption, and count.

    Returns:
        products; the share that is found among the first 1, 5 and 10; how many times that of a
        list in random order each of them is; and queries that got no list.
    """
    models = settings.models.model_copy(update={"backbone": str(backbone)})
    changed = settings.model_copy(update={"models": models})
    with ephemeral_settings(changed, "wordless") as own:
        starting = bars.task("starting")
        with Stack(own, workers=("ingest", "query"), report=starting.rename) as stack:
            stack.wait_ready()
            starting.finish()
            ingest_catalog(folder, own, bars, len(captions))
            queries = (
                Query(query_id=str(number), text=caption, top=max(RANKS))
                for number, (_, caption) in enumerate(captions)
            )
            with Client(kafka_of(own), topics_of(own), ANSWER_TIMEOUT_S) as client:
                answers = [
                    answer
                    for _, answer in bars.track(
                        client.results(queries, window=8), "asking by words", len(captions)
                    )
                ]
    failed = sum(not isinstance(one, Result) or one.error is not None for one in answers)
    found = [
        [item.product_id for item in one.items] if isinstance(one, Result) else []
        for one in answers
    ]
    count = len(captions)
    report: dict[str, float | int] = {"wordless_products": count, "wordless_failed": failed}
    for rank in RANKS:
        hits = sum(
            wanted in listed[:rank] for (wanted, _), listed in zip(captions, found, strict=True)
        )
        report[f"wordless_r@{rank}"] = round(hits / count, 4)
        report[f"wordless_r@{rank}_over_chance"] = round(hits / rank, 2)
    return report
