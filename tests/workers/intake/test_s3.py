"""Pictures from object storage, on a local server that speaks S3 (moto)."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from workers.config.sections import IntakeSettings
from workers.errors import FetchError
from workers.intake.download import NO_VALIDATORS, Validators
from workers.intake.fetch import Fetcher, open_fetcher


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    for bucket in ("shop", "private"):
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="a b/größe.png", Body=b"picture")
    client.put_object(Bucket="shop", Key="empty.png", Body=b"")
    client.put_object(Bucket="shop", Key="big.png", Body=bytes(1001))
    yield url
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@asynccontextmanager
async def opened(endpoint: str, *buckets: str, **limits: object) -> AsyncIterator[Fetcher]:
    settings = {"s3": {"buckets": buckets or ("shop",), "endpoint": endpoint}, "total_s": 5}
    async with open_fetcher(IntakeSettings.model_validate(settings | limits)) as fetcher:
        yield fetcher


async def test_an_object_is_read(endpoint: str) -> None:
    async with opened(endpoint) as fetcher:
        assert await fetcher.fetch("s3://shop/a b/größe.png") == b"picture"
        assert await fetcher.fetch("S3://shop/a b/größe.png") == b"picture"


async def test_an_object_that_did_not_change_is_not_sent_again(endpoint: str) -> None:
    reference = "s3://shop/a b/größe.png"
    async with opened(endpoint) as fetcher:
        first = await fetcher.fetch_changed(reference, NO_VALIDATORS)
        assert first.data == b"picture"
        assert first.validators.etag
        again = await fetcher.fetch_changed(reference, first.validators)
        assert (again.data, again.validators) == (None, first.validators)
        other = await fetcher.fetch_changed(reference, Validators(etag='"of another"'))
        assert other.data == b"picture"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("s3://shop/none.png", "no such object"),
        ("s3://shop/empty.png", "is empty"),
        ("s3://shop/big.png", r"larger than 0\.001 MB"),
        ("s3://shop/../private/a b/größe.png", "s3://shop/../private"),
        ("s3://private/a b/größe.png", "intake.s3.buckets does not list it"),
        ("s3://shop", "s3://BUCKET/KEY"),
        ("s3:///a.png", "s3://BUCKET/KEY"),
        ("s3://Shop!/a.png", "s3://BUCKET/KEY"),
    ],
)
async def test_what_cannot_be_read_says_why(endpoint: str, reference: str, words: str) -> None:
    async with opened(endpoint, max_bytes=1000) as fetcher:
        with pytest.raises(FetchError, match=words):
            await fetcher.fetch(reference)


async def test_a_prefix_opens_no_more_than_its_folder(endpoint: str) -> None:
    async with opened(endpoint, "shop/a b") as fetcher:
        assert await fetcher.fetch("s3://shop/a b/größe.png") == b"picture"
        for outside in ("s3://shop/big.png", "s3://shop/a bc/x.png", "s3://shop/a b"):
            with pytest.raises(FetchError, match=r"does not list it|no such object"):
                await fetcher.fetch(outside)


@pytest.mark.parametrize("signed", [True, False])
async def test_requests_are_signed_with_what_the_environment_has(
    signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without credentials nobody is asked for some, for instance a metadata service."""
    seen = []

    class Storage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization", "none")))
            self.send_error(403)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    if not signed:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with ThreadingHTTPServer(("127.0.0.1", 0), Storage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        async with opened(f"http://127.0.0.1:{server.server_port}") as fetcher:
            with pytest.raises(FetchError) as refusal:
                await fetcher.fetch("s3://shop/a.png")
        server.shutdown()
        thread.join()
    [(path, authorization)] = seen
    assert path == "/shop/a.png"
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=key/" if signed else "none")
    assert ("AWS_ACCESS_KEY_ID is not set" in str(refusal.value)) == (not signed)


async def test_a_storage_that_is_gone_is_given_up_in_time() -> None:
    async with opened("http://127.0.0.1:9", attempts=2, total_s=2) as fetcher:
        with pytest.raises(FetchError, match=r"s3://shop/a\.png"):
            await fetcher.fetch("s3://shop/a.png")
