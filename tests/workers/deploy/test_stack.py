"""The whole house on the embedded broker and Milvus Lite, with the real models."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

import lookstream
from models.catalog.folder import read_catalog
from stream.child_process import python_module
from stream.dead_letter import read_dead_letters
from stream.errors import DecodeError
from stream.messages import Query
from stream.publisher import Publisher, wait_committed
from stream.request_reply import Client
from tests.paths import EXAMPLE as GROCERY
from tests.paths import ROOT
from workers.catalog_index import open_catalog
from workers.config.settings import Settings, load_settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack
from workers.jobs.evaluate import evaluate_offline, ingest_catalog
from workers.jobs.produce import picture_reference
from workers.progress.tasks import Progress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PRODUCTS = 12
ANOTHER = GROCERY / "pictures" / "Zucchini.webp"
"""Of a product that is not among them."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first dozen of the example's products, with their photos."""
    folder = tmp_path_factory.mktemp("catalog")
    rows = (GROCERY / "products.jsonl").read_bytes().splitlines()[:PRODUCTS]
    ids = {orjson.loads(row)["product_id"] for row in rows}
    photos = [
        row
        for row in (GROCERY / "photos.jsonl").read_bytes().splitlines()
        if orjson.loads(row)["product_id"] in ids
    ]
    (folder / "products.jsonl").write_bytes(b"\n".join(rows))
    (folder / "photos.jsonl").write_bytes(b"\n".join(photos))
    for row in (*rows, *photos):
        image = folder / orjson.loads(row)["image"]
        image.parent.mkdir(exist_ok=True)
        shutil.copyfile(GROCERY / image.relative_to(folder), image)
    return folder


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A running stack."""
    with ephemeral_settings(load_settings(), "test") as ephemeral, Stack(ephemeral) as stack:
        stack.wait_ready()
        yield ephemeral


def send(settings: Settings, *values: bytes | None, key: str = "hostile") -> None:
    """Put raw records on the catalog topic and wait until they are handled."""
    kafka, topic = kafka_of(settings), topics_of(settings).catalog.name
    with Publisher(kafka) as publisher:
        for value in values:
            publisher.publish(topic, key, value)
        ends = publisher.flush()[topic]
    wait_committed(kafka, settings.group("ingest"), topic, ends, timeout_s=60)


def state(settings: Settings) -> tuple[int, str]:
    collection, _ = open_catalog(settings)
    with collection:
        return collection.count(), collection.content_hash()


def test_a_catalog_sent_is_found_and_sent_again_changes_nothing(
    settings: Settings, catalog: Path
) -> None:
    with Progress() as progress:
        assert ingest_catalog(catalog, settings, progress, PRODUCTS) == PRODUCTS
        before = state(settings)
        assert before[0] == PRODUCTS
        ingest_catalog(catalog, settings, progress, PRODUCTS)
    assert state(settings) == before
    product = orjson.loads((catalog / "products.jsonl").read_bytes().splitlines()[0])
    with Client(kafka_of(settings), topics_of(settings), timeout_s=60) as client:
        image = picture_reference(catalog, product["image"])
        result = client.search(Query(query_id="itself", image=image, top=3))
    assert result.error is None
    assert result.items[0].product_id == product["product_id"]
    assert [item.position for item in result.items] == [1, 2, 3]
    assert result.juice is not None
    assert result.juice.kept


def test_bad_input_ends_as_dead_letters_and_loses_nothing_around_it(
    settings: Settings, tmp_path: Path
) -> None:
    picture = GROCERY / "pictures" / "Granny-Smith.webp"
    truncated = tmp_path / "truncated.webp"
    truncated.write_bytes(picture.read_bytes()[:2000])
    good = {"type": "upsert", "title": "good", "image": picture_reference(GROCERY, str(picture))}
    cut = picture_reference(tmp_path, "truncated.webp")
    missing = str(tmp_path / "missing.webp")
    send(
        settings,
        orjson.dumps({**good, "product_id": "before"}),
        orjson.dumps({"type": "upsert", "product_id": "x", "image": cut}),
        orjson.dumps({"type": "upsert", "product_id": "x", "image": missing}),
        orjson.dumps({"type": "patch", "product_id": "x", "colour": "red"}),
        orjson.dumps({"type": "upsert", "product_id": "x", "price": "cheap"}),
        b"",
        orjson.dumps({"type": "patch", "product_id": "nobody", "price": 1}),
        orjson.dumps({**good, "product_id": "after"}),
    )
    letters = list(read_dead_letters(kafka_of(settings), topics_of(settings)))
    # Those that wait for no picture are there first.
    reasons = [one.reason for one in sorted(letters, key=lambda one: one.record.offset)]
    for reason, expected in zip(
        reasons,
        (
            "damaged or truncated",
            "is outside the folders that intake.roots allows",
            "unknown field `colour`",
            "field `price`",
            "the message is empty",
            "no product 'nobody' to patch",
        ),
        strict=True,
    ):
        assert expected in reason
    assert all(letter.record.topic == topics_of(settings).catalog.name for letter in letters)
    collection, _ = open_catalog(settings)
    with collection:
        found = {item.product_id for item in collection.get(["before", "after", "x"])}
    assert found == {"before", "after"}
    send(settings, None, key="before")
    send(settings, None, key="after")


def test_a_product_comes_and_goes_over_http(settings: Settings) -> None:
    picture = ANOTHER
    photo = {"image": (picture.name, picture.read_bytes(), "image/webp")}
    base = f"http://127.0.0.1:{settings.web.port}"
    with httpx.Client(base_url=base, timeout=60) as client:
        product = {"title": "Green squash", "image": picture_reference(GROCERY, str(picture))}
        put = client.put("/products/squash?wait=searchable&timeout_s=60", json=product)
        assert put.json()["state"] == "searchable"
        found = client.post("/search", files=photo, data={"top": "1"}).json()
        assert found["items"][0]["product_id"] == "squash"
        patch = client.patch("/products/squash?wait=searchable&timeout_s=60", json={"price": 3})
        assert patch.status_code == 200
        found = client.post("/search", files=photo).json()
        assert found["items"][0]["price"] == 3
        click = {"query_id": found["query_id"], "product_id": "squash"}
        assert client.post("/events", json=click).status_code == 202
        bad = client.post("/search", files={"image": b"no picture"})
        assert (bad.status_code, bad.json()["code"]) == (422, "picture_unavailable")
        assert client.get("/readyz").json()["ready"]
        gone = client.delete("/products/squash?wait=searchable&timeout_s=60")
        assert gone.json()["state"] == "searchable"
        ids = [one["product_id"] for one in client.post("/search", files=photo).json()["items"]]
        assert "squash" not in ids


@pytest.mark.parametrize("way", ["kafka", "http"])
def test_one_client_over_both_ways(
    settings: Settings, catalog: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PREFIX", settings.kafka.prefix)
    web, broker = f"http://127.0.0.1:{settings.web.port}", settings.kafka.servers
    picture = ANOTHER
    image = picture_reference(GROCERY, str(picture))
    with lookstream.Client(web if way == "http" else broker, timeout_s=60) as client:
        sent = client.products.upsert("squash", title="Green squash", image=image, price=2)
        client.wait_until_searchable(sent, timeout_s=60)
        found = client.search(picture, filter="price:<3", top=1)
        assert [one.product_id for one in found.items] == ["squash"]
        client.click(found, "squash")
        wrong = client.search(text="apple", filter="price:<")
        assert wrong.error is not None
        assert (wrong.error.code, wrong.error.field) == ("invalid_filter", "filter")
        with pytest.raises(DecodeError, match="top"):
            client.search(text="apple", top=0)
        refused = client.products.upsert("pear", image="data:image/png;base64,AAAA")
        with pytest.raises(DecodeError, match="picture"):
            client.wait_until_searchable(refused, timeout_s=60)
        batches = list(client.products.from_file(catalog, batch=5))
        assert [len(one.event_ids) for one in batches] == [5, 5, 2]
        client.wait_until_searchable([one for each in batches for one in each.event_ids])
        client.wait_until_searchable(client.products.delete("squash"), timeout_s=60)
        assert client.search(picture, filter="product_id:=squash").found == 0


def test_a_bad_query_is_answered_with_the_reason(settings: Settings) -> None:
    with Client(kafka_of(settings), topics_of(settings), timeout_s=60) as client:
        result = client.search(Query(query_id="bad", image="data:image/png;base64,AAAA"))
    assert result.error is not None
    assert "no picture that can be read" in result.error.message
    assert result.items == ()


@pytest.mark.parametrize("seconds", [0.7, 3.0, 7.0, 12.0])
def test_ctrl_c_leaves_no_process_behind(seconds: float, catalog: Path, tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    demo = subprocess.Popen(
        python_module("workers.cli", "demo", str(catalog)),
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    demo.send_signal(signal.SIGINT)
    demo.wait(30)
    assert not list(processes_of(tmp_path))
    assert not list(tmp_path.glob("lookstream-*")), "temporary folders are left behind"


def processes_of(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue


async def test_the_stream_costs_no_quality(settings: Settings, catalog: Path) -> None:
    from workers.jobs.evaluate import RankedLists, score_lists, search_all

    with Progress() as progress:
        offline = await evaluate_offline(catalog, "test", settings, progress)
        folder = read_catalog(catalog)
        photos = folder.split("test")
        results = list(search_all(folder, photos, settings, progress))
    lists = [RankedLists(r.retrieved, tuple(i.product_id for i in r.items)) for r in results]
    streamed = score_lists(folder, photos, lists, results[0].model_id, 0)
    assert streamed.reranked == offline.reranked
    assert streamed.retrieval == offline.retrieval
