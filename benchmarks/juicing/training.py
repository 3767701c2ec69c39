"""Training on raw, random, sieved and juiced photos, at equal pixels and at equal samples.

    python -m benchmarks.juicing.training [--photos 240] [--seeds 3] [--plot FILE.png]

The network is frozen; trained is one linear map of its pooled features into the space of titles, by
identities and by titles at once: cosine softmax over products (s = 16, m = .1), and the same with
each photo's title among all titles. Photos of the training split are juiced, sieved or drawn at
random (`models.curation.juicing`); those that ask are left as they are. At equal pixels juicing
keeps every photo with a share of its pixels; at equal samples it juices the photos of the random
choice to half of theirs. A score is the mean of I-HR@1 (a photo finds its product's
catalog picture), image to text and text to image (R@1); of catalogs without products, of the share
of photos whose kind is right. Catalogs: grocery and clothing of `../shared/data`, and a rendered
one. Over means points of the score, of the mean over catalogs and seeds. The last line is one JSON
object: over_sieve_min and over_random_min at equal pixels (worst budget), the same with _samples;
half_pixels_loss, points that the full set loses at half the pixels; and all scores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.arrays import Floats, unit
from models.backbone.load import load_backbone
from models.backbone.spec import named_backbone
from models.catalog.folder import Catalog, Photo, read_catalog
from models.curation.juicing import Sample, Way, chosen, crop_to_juice, measure_agreement
from models.embedding.load import load_encoder
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.juicer.juicer import BackboneFeatures
from models.synthetic import write_synthetic_catalog
from tests.paths import SHARED
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

BUDGETS = (0.3, 0.5, 0.7, 0.9)
OF_SAMPLES = 0.5
"""Of the pixels of each photo, where samples are equal."""
EPOCHS, BATCH, RATE, SCALE, PIXEL_MARGIN = 12, 64, 2e-3, 16.0, 0.1
WIDTH = 384
"""Of sentence vectors."""
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Task:
    """A catalog with features of its photos, by what was done to them.

    `train` has them raw (key None) and juiced (key: the share of pixels); `labels` are of products,
    or of kinds where the catalog has none: then `items` is empty.
    """

    name: str
    train: dict[float | None, Floats]
    labels: Rows
    samples: list[Sample]
    asked: Floats
    asked_labels: Rows
    items: Floats
    texts: Floats


class Features:
    """Features of pictures by the packaged network: all depths, each of length 1, side by side."""

    def __init__(self) -> None:
        spec = named_backbone("lite2")
        self._source = BackboneFeatures(load_backbone(spec), spec.size)
        self.encoder = load_encoder()
        self.agreement = measure_agreement(self.encoder)

    def of(self, picture: Picture) -> Floats:
        """One row (d,)."""
        [made] = self._source.features([picture])
        return np.concatenate([unit(depth) for depth in made.pooled])

    def text(self, words: str) -> Floats:
        """The sentence vector (384,)."""
        return self.encoder.encode_items([None], [words])[0].juice.text


def read_task(folder: Path, features: Features, photos: int, progress: Progress) -> Task:
    """The task of a catalog folder, of about so many photos to train on and half as many to ask."""
    catalog = read_catalog(folder)
    train, asked = _photos(catalog, np.random.default_rng(0), photos)
    names = [one.product_id or one.category[-1] for one in (*train, *asked)]
    order = sorted(set(names))
    label = {name: number for number, name in enumerate(order)}
    texts = [catalog.by_id[name].title if name in catalog.by_id else name for name in order]
    rows: dict[float | None, list[Floats]] = defaultdict(list)
    samples: list[Sample] = []
    task = progress.task(catalog.folder.name, len(train) + len(asked) + len(order))
    for number, one in enumerate(train):
        task(number)
        picture = open_picture(Path(catalog.locate(one.image)))
        text = texts[label[one.product_id or one.category[-1]]]
        [encoded] = features.encoder.encode_items([picture], [text])
        samples.append(
            Sample(
                image=one.image,
                box=encoded.juice.box,
                agreement=features.agreement(encoded, text),
                pixels=picture.shape[0] * picture.shape[1],
            )
        )
        rows[None].append(features.of(picture))
        for keep in BUDGETS:
            rows[keep].append(features.of(crop_to_juice(picture, encoded.juice.box, keep)))
    asks = [features.of(open_picture(Path(catalog.locate(one.image)))) for one in asked]
    items = [
        features.of(open_picture(Path(catalog.locate(catalog.by_id[name].image or ""))))
        for name in order
        if name in catalog.by_id
    ]
    task.finish()
    at = [label[name] for name in names]
    return Task(
        catalog.folder.name,
        {key: np.stack(some) for key, some in rows.items()},
        np.array(at[: len(train)], np.intp),
        samples,
        np.stack(asks),
        np.array(at[len(train) :], np.intp),
        np.stack(items) if items else np.zeros((0, 0), np.float32),
        np.stack([features.text(one) for one in texts]),
    )


def _photos(
    catalog: Catalog, rng: np.random.Generator, count: int
) -> tuple[list[Photo], list[Photo]]:
    """Photos to train on and to ask, of the same products: by their split where products share it,
    else each product's photos by turns."""
    train = [one for one in catalog.photos if one.split == "train"]
    test = [one for one in catalog.photos if one.split == "test"]
    known = {one.product_id or one.category for one in train}
    if not {one.product_id or one.category for one in test} <= known or not test:
        shuffled = [catalog.photos[at] for at in rng.permutation(len(catalog.photos))]
        seen: defaultdict[Any, int] = defaultdict(int)
        train, test = [], []
        for one in shuffled:
            name = one.product_id or one.category
            (test if seen[name] % 3 == 2 else train).append(one)
            seen[name] += 1
        known = {one.product_id or one.category for one in train}
        test = [one for one in test if (one.product_id or one.category) in known]
    some = [train[at] for at in sorted(rng.permutation(len(train))[:count])]
    known = {one.product_id or one.category for one in some}
    asks = [one for one in test if (one.product_id or one.category) in known]
    return some, [asks[at] for at in sorted(rng.permutation(len(asks))[: count // 2])]


def fit(features: Floats, labels: Rows, texts: Floats, seed: int) -> tuple[Floats, float]:
    """The trained map (d, 384) and the seconds that it took."""
    torch.manual_seed(seed)
    rows, ids, titles = (
        torch.from_numpy(features),
        torch.from_numpy(labels),
        torch.from_numpy(texts),
    )
    linear = torch.nn.Linear(features.shape[1], WIDTH, bias=False)
    classes = torch.nn.Parameter(functional.normalize(torch.randn(len(texts), WIDTH)))
    optimiser = torch.optim.AdamW([*linear.parameters(), classes], lr=RATE, weight_decay=0.05)
    began = time.perf_counter()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(rows)).split(BATCH):  # type: ignore[no-untyped-call]
            mapped = functional.normalize(linear(rows[batch]))
            wanted = functional.one_hot(ids[batch], len(texts)) * PIXEL_MARGIN
            loss = functional.cross_entropy(
                SCALE * (mapped @ functional.normalize(classes).T - wanted), ids[batch]
            ) + functional.cross_entropy(SCALE * (mapped @ titles.T - wanted), ids[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return linear.weight.detach().numpy().T.copy(), time.perf_counter() - began


def score(task: Task, weights: Floats) -> dict[str, float]:
    """What a map finds, in shares."""
    asked, labels = unit(task.asked @ weights), task.asked_labels
    to_text = asked @ task.texts.T
    found = {"image_to_text": float((to_text.argmax(axis=1) == labels).mean())}
    if not len(task.items):
        return found
    own = labels[to_text.argmax(axis=0)][np.unique(labels)]
    found["text_to_image"] = float((own == np.unique(labels)).mean())
    nearest = (asked @ unit(task.items @ weights).T).argmax(axis=1)
    found["i_hr_1"] = float((nearest == labels).mean())
    return found


def measure_task(task: Task, seeds: int) -> list[dict[str, Any]]:
    """One record for each way, budget and seed."""
    records = []

    def add(way: str, budget: float, seed: int, key: float | None, stays: list[bool]) -> None:
        rows = np.flatnonzero(stays)
        weights, seconds = fit(task.train[key][rows], task.labels[rows], task.texts, seed)
        found = score(task, weights)
        records.append(
            {
                "catalog": task.name,
                "way": way,
                "budget": budget,
                "seed": seed,
                "score": float(np.mean(list(found.values()))),
                "seconds": round(seconds, 3),
                **found,
            }
        )

    everything = [True] * len(task.samples)
    for seed in range(seeds):
        add("raw", 1.0, seed, None, everything)
        for budget in BUDGETS:
            drawn = chosen(task.samples, Way.RANDOM, budget, seed)
            add("random", budget, seed, None, drawn)
            add("sieve", budget, seed, None, chosen(task.samples, Way.SIEVE, budget))
            add("juice", budget, seed, budget, everything)
            add("juice, samples", budget, seed, OF_SAMPLES, drawn)
    return records


def measure_training(photos: int, seeds: int, progress: Progress) -> dict[str, Any]:
    """All catalogs; see the module."""
    torch.set_num_threads(1)
    features, records = Features(), list[dict[str, Any]]()
    folders = [SHARED / name for name in ("grocery", "clothing") if (SHARED / name).is_dir()]
    with tempfile.TemporaryDirectory() as scratch:
        for folder in (*folders, rendered(Path(scratch), progress)):
            task = read_task(folder, features, photos, progress)
            records += measure_task(task, seeds)
    return summary(records)


def rendered(scratch: Path, progress: Progress) -> Path:
    """A synthetic catalog: 40 products, 12 photos of each."""
    with progress.task("rendering") as task:
        write_synthetic_catalog(scratch / "synthetic", products=40, photos=12, progress=task)
    return scratch / "synthetic"


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The keys, and the scores that they are made of."""
    catalogs = sorted({one["catalog"] for one in records})

    def mean(way: str, budget: float, catalog: str | None = None, name: str = "score") -> float:
        return float(
            np.mean(
                [
                    one[name]
                    for one in records
                    if (one["way"], one["budget"]) == (way, budget)
                    and catalog in (None, one["catalog"])
                    and name in one
                ]
            )
        )

    def over(way: str, other: str) -> float:
        return round(100 * min(mean(way, one) - mean(other, one) for one in BUDGETS), 2)

    ways = ("random", "sieve", "juice", "juice, samples")
    return {
        "over_sieve_min": over("juice", "sieve"),
        "over_random_min": over("juice", "random"),
        "over_sieve_min_samples": over("juice, samples", "sieve"),
        "over_random_min_samples": over("juice, samples", "random"),
        "half_pixels_loss": round(100 * (mean("raw", 1.0) - mean("juice", 0.5)), 2),
        "training": {
            catalog: {
                "raw": round(mean("raw", 1.0, catalog), 4),
                **{
                    way: {str(one): round(mean(way, one, catalog), 4) for one in BUDGETS}
                    for way in ways
                },
            }
            for catalog in catalogs
        },
        "training_seconds": {
            "raw": round(mean("raw", 1.0, name="seconds"), 2),
            **{way: round(mean(way, 0.5, name="seconds"), 2) for way in ways},
        },
        "spread": round(
            100
            * float(
                np.mean(
                    [
                        np.std([r["score"] for r in records if _cell(r) == cell], ddof=1)
                        for cell in {_cell(one) for one in records}
                    ]
                )
            ),
            2,
        ),
        "records": records,
    }


def _cell(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["catalog"], record["way"], record["budget"]


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=int, default=240, help="to train on, of each catalog")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2, to tell the spread")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    with open_progress() as progress:
        found = measure_training(options.photos, options.seeds, progress)
    if options.plot:
        plot(found, options.plot)
    found.pop("records")
    print(orjson.dumps(found).decode())


def plot(found: dict[str, Any], path: Path) -> None:
    """Scores by budget, one panel a catalog."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    tables = found["training"]
    figure, panels = plt.subplots(1, len(tables), figsize=(4.2 * len(tables), 3.6), squeeze=False)
    for panel, (catalog, scores) in zip(panels[0], tables.items(), strict=True):
        panel.axhline(100 * scores["raw"], color="black", lw=1, ls=":", label="all, raw")
        for way, by_budget in scores.items():
            if way != "raw":
                budgets = [100 * float(one) for one in by_budget]
                values = [100 * one for one in by_budget.values()]
                panel.plot(budgets, values, marker="o", ms=4, label=way)
        panel.set(title=catalog, xlabel="budget, %", ylabel="score, %")
    panels[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
