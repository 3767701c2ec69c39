"""HTTP beside the topics: what it adds to a query, and what it keeps out.

    lookstream bench http [DIR] [--products 40] [--queries 300] [--pg-changes 10000]
    lookstream bench http --only postgres

A stack of its own with the example catalog, or a folder's, and API keys. Each query, by words and
by photo in turn, is asked over Kafka and over HTTP, in changing order. The last line is one JSON
object:

    http_over_topic_ms    median over queries of what HTTP takes longer, in milliseconds
    topic_p50_ms, http_p50_ms, http_p95_ms
    requests, failed      over HTTP, and those without a result
    different             queries whose products are not the same by both ways
    unauthorised, unauthorised_passed   attempts at every door with no key, wrong keys, and keys
                          without the scope; and those that were let in
    malformed_requests, malformed_5xx   random bodies and fields; answers of 500 and up
    upload_limit_held     whether bodies over web.max_body_bytes were refused, announced or not
    searchable_p50_ms, searchable_p95_ms   from a PUT to the answer that the product can be found
    pg_changes, pg_differences   changes of rows that Debezium follows, the ingest worker killed
                          twice meanwhile; and products that are not as their row in the end
    commit_to_searchable_p95_ms   from a commit in PostgreSQL until a query finds it, at 20/s;
                          commit_to_topic_… and commit_to_index_…: until it was that far
    pg_skipped            why the part with PostgreSQL could not be run here
"""

from __future__ import annotations

import argparse
import random
import string
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from benchmarks.shop.postgres import follow_postgres
from models.catalog.folder import Catalog, read_catalog
from stream.messages import Query
from stream.request_reply import Client
from tests.paths import EXAMPLE
from tests.servers import ServerMissing
from workers.config.settings import Settings, load_settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack
from workers.jobs.evaluate import ingest_catalog
from workers.jobs.produce import picture_reference
from workers.progress.open import open_progress
from workers.progress.tasks import Progress
from workers.web.api_keys import make_key

DOORS = (
    ("POST", "/search"),
    ("POST", "/similar"),
    ("POST", "/products"),
    ("PUT", "/products/x"),
    ("PATCH", "/products/x"),
    ("DELETE", "/products/x"),
    ("POST", "/events"),
    ("GET", "/events/0-0"),
    ("GET", "/live"),
    ("GET", "/metrics"),
)
ATTEMPTS = 200
MALFORMED = 500
WRITES = 40
FIELDS = (
    "text",
    "image",
    "images",
    "top",
    "page",
    "filter",
    "facets",
    "like",
    "price",
    "product_id",
)
KINDS = ("application/json", "application/x-ndjson", "multipart/form-data; boundary=b", "text/csv")


def main() -> None:
    """Run it all and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", default=EXAMPLE, metavar="DIR")
    parser.add_argument("--products", type=int, default=40, help="of the catalog, at most")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--pg-changes", type=int, default=10_000, help="of rows of a PostgreSQL")
    parser.add_argument("--only", choices=("web", "postgres"), help="one part of the two")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    if options.only != "postgres":
        found |= web(options.folder, options.products, options.queries)
    if options.only != "web":
        with open_progress() as bars:
            found |= postgres(bars, options.pg_changes)
    print(orjson.dumps(found).decode())


def web(folder: Path, products: int, asked: int) -> dict[str, Any]:
    """The part with HTTP: so many products of a catalog, and so many queries."""
    reader, reader_key = make_key("reader", ["search"])
    writer, writer_key = make_key("writer", ["search", "write"])
    given = load_settings().model_dump()
    given["web"] |= {"keys": (str(reader_key), str(writer_key)), "rate_per_s": 1e6, "burst": 10**6}
    with (
        open_progress() as bars,
        ephemeral_settings(Settings.model_validate(given), "bench_http") as settings,
        Stack(settings) as stack,
    ):
        with bars.task("starting"):
            stack.wait_ready()
        catalog = read_catalog(folder)
        catalog = replace(catalog, products=catalog.products[:products])
        with bars.task("ingesting"):
            ingest_some(catalog, settings, bars)
        address = f"http://127.0.0.1:{settings.web.port}"
        with httpx.Client(base_url=address, timeout=60) as http:
            found = compare(settings, http, reader, list(queries(catalog, asked)), bars)
            found |= write(http, writer, bars)
            found |= break_in(http, reader)
            found |= malform(http, writer, bars)
            found |= overload(http, reader, settings.web.max_body_bytes)
    return found


def postgres(bars: Progress, changes: int) -> dict[str, Any]:
    """The part with PostgreSQL; a word of why where it cannot be had."""
    try:
        return follow_postgres(
            load_settings(), EXAMPLE / "photos", bars, changes=changes, timed=min(600, changes)
        )
    except ServerMissing as missing:
        return {"pg_skipped": str(missing)}


def ingest_some(catalog: Catalog, settings: Settings, bars: Progress) -> None:
    """Send the products of a catalog and wait until they can be found."""
    folder = settings.data_dir / "catalog"
    folder.mkdir()
    rows = (catalog.folder / "products.jsonl").read_bytes().splitlines()[: len(catalog.products)]
    fields = [orjson.loads(row) for row in rows]
    for one in fields:
        if "://" not in one.get("image", "://"):
            one["image"] = str(catalog.folder / one["image"])
    (folder / "products.jsonl").write_bytes(b"\n".join(map(orjson.dumps, fields)))
    ingest_catalog(folder, settings, bars, len(fields))


def queries(catalog: Catalog, count: int) -> Iterator[dict[str, Any]]:
    """Words and photos in turn."""
    photos = [one.image for one in catalog.photos if catalog.local_path(one.image)]
    titles = [one.title for one in catalog.products if one.title]
    for number in range(count):
        if number % 2 and photos:
            photo = photos[number % len(photos)]
            yield {"image": picture_reference(catalog.folder, photo), "top": 10}
        else:
            yield {"text": titles[number % len(titles)], "top": 10}


def compare(
    settings: Settings,
    http: httpx.Client,
    key: str,
    asked: Sequence[dict[str, Any]],
    bars: Progress,
) -> dict[str, Any]:
    """Each query by both ways."""
    headers = {"Authorization": f"Bearer {key}"}
    by_topic, by_http, failed, different = [], [], 0, 0
    with Client(kafka_of(settings), topics_of(settings), timeout_s=60) as client:

        def over_topic(fields: dict[str, Any]) -> list[str]:
            began = time.perf_counter()
            query = Query(query_id=uuid.uuid4().hex, schema=2, **fields)
            result = client.search(query)
            by_topic.append(time.perf_counter() - began)
            return [one.product_id for one in result.items]

        def over_http(fields: dict[str, Any]) -> list[str]:
            began = time.perf_counter()
            answer = http.post("/search", json=fields, headers=headers)
            by_http.append(time.perf_counter() - began)
            return [one["product_id"] for one in answer.json().get("items", ())]

        for fields in asked[:10]:  # everything is loaded then
            over_topic(fields)
            over_http(fields)
        by_topic.clear()
        by_http.clear()
        for number, fields in enumerate(bars.track(asked, "asking", len(asked))):
            if number % 4 < 2:
                one, other = over_topic(fields), over_http(fields)
            else:
                other, one = over_http(fields), over_topic(fields)
            failed += not other
            different += one != other
    topic_ms, http_ms = 1000 * np.array(by_topic), 1000 * np.array(by_http)
    return {
        "http_over_topic_ms": round(float(np.median(http_ms - topic_ms)), 2),
        "topic_p50_ms": round(float(np.median(topic_ms)), 1),
        "http_p50_ms": round(float(np.median(http_ms)), 1),
        "http_p95_ms": round(float(np.quantile(http_ms, 0.95)), 1),
        "requests": len(asked),
        "failed": failed,
        "different": different,
    }


def write(http: httpx.Client, key: str, bars: Progress) -> dict[str, Any]:
    """Products that come in one after the other, each until it can be found."""
    headers = {"Authorization": f"Bearer {key}"}
    took = []
    for number in bars.track(range(WRITES), "writing", WRITES):
        began = time.perf_counter()
        path = f"/products/new-{number}?wait=searchable&timeout_s=60"
        answer = http.put(path, json={"title": f"New product {number}"}, headers=headers)
        took.append(1000 * (time.perf_counter() - began))
        assert answer.json()["state"] == "searchable", answer.text
    return {
        "searchable_p50_ms": round(float(np.median(took)), 1),
        "searchable_p95_ms": round(float(np.quantile(took, 0.95)), 1),
    }


def break_in(http: httpx.Client, reader: str) -> dict[str, Any]:
    """Requests that no key allows."""
    rng = random.Random(0)
    words = ["", reader[:-1], reader + "x", reader.swapcase(), "' OR 1=1 --", "ls_" + "A" * 43]
    passed = 0
    for number in range(ATTEMPTS):
        method, path = DOORS[number % len(DOORS)]
        word = reader if method in ("PUT", "PATCH", "DELETE") and number % 3 else rng.choice(words)
        names = (
            {"Authorization": f"Bearer {word}".strip()},
            {"X-API-Key": word},
            {"Authorization": word},
        )
        headers = rng.choice(names[:2]) if word == reader else rng.choice(names)
        answer = http.request(method, path, headers=headers, json={"text": "milk"})
        passed += answer.status_code not in (401, 403)
    return {"unauthorised": ATTEMPTS, "unauthorised_passed": passed}


def malform(http: httpx.Client, key: str, bars: Progress) -> dict[str, Any]:
    """Random bodies."""
    rng = random.Random(1)
    headers = {"Authorization": f"Bearer {key}"}
    crashed = 0
    for number in bars.track(range(MALFORMED), "malforming", MALFORMED):
        method, path = DOORS[number % 7]
        body = rng.randbytes(rng.randrange(80)) if number % 3 else orjson.dumps(_odd(rng))
        kind = rng.choice(KINDS)
        answer = http.request(method, path, content=body, headers={**headers, "Content-Type": kind})
        crashed += answer.status_code >= 500
    return {"malformed_requests": MALFORMED, "malformed_5xx": crashed}


def overload(http: httpx.Client, key: str, limit: int) -> dict[str, Any]:
    """Bodies over the limit, with their length and without."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def pieces() -> Iterator[bytes]:
        for _ in range(limit // 1_000_000 + 2):
            yield b" " * 1_000_000

    statuses = []
    for body in (b" " * (limit + 1), pieces()):
        try:
            statuses.append(http.post("/search", content=body, headers=headers).status_code)
        except httpx.WriteError:  # the server answered and closed while this was still sending
            statuses.append(413)
    return {"upload_limit_held": statuses == [413, 413]}


def _odd(rng: random.Random) -> Any:
    """Objects with known and unknown fields, whose values are of any kind."""
    values: list[Any] = [
        *(None, True, -1, 10**18, 0.5, "", "`", "a:=[", {}, [], [[]], {"image": 3}, "\u0000"),
        "".join(rng.choices(string.printable, k=20)),
    ]
    chosen = rng.sample([*FIELDS, "unknown"], rng.randrange(1, 5))
    fields = {name: rng.choice(values) for name in chosen}
    return fields if rng.random() < 0.9 else rng.choice(values)


if __name__ == "__main__":
    main()
