"""Pictures in S3-compatible object storage: s3://BUCKET/KEY.

The endpoint comes from the settings, not from the event, and only listed buckets may be read: the
worker's credentials may give access to others, which a catalog event must not read.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotModifiedError
from obstore.store import S3Store

from workers.config.sections import IntakeSettings
from workers.errors import FetchError
from workers.intake.download import NO_VALIDATORS, Download, Validators
from workers.intake.limits import check_bytes, too_large
from workers.intake.ssrf_guard import redacted

if TYPE_CHECKING:
    from obstore import GetOptions

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Where the SDKs of S3 find credentials in the environment. A metadata service is not queried:
# outside a cloud that only times out.
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class ObjectStorage:
    """Reads objects of the buckets in `settings.s3`; connections are kept per bucket."""

    def __init__(self, settings: IntakeSettings, environ: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._signed = any(environ.get(name) for name in CREDENTIALS)
        self._stores: dict[str, S3Store] = {}
        self._slots = asyncio.Semaphore(settings.parallel)

    async def get(self, reference: str, known: Validators = NO_VALIDATORS) -> Download:
        """The bytes of the object, at most `settings.max_bytes`; none if it is the one `known`.

        Raises:
            FetchError: not there, not allowed, too large, or no answer in time.
        """
        bucket, key = self._allowed(reference)
        what = redacted(reference)
        try:
            async with self._slots, asyncio.timeout(self._settings.total_s):
                return await self._read(bucket, key, what, known)
        except NotModifiedError:
            return Download(None, known)
        except FileNotFoundError as error:
            raise FetchError(f"{what}: there is no such object, or no such bucket") from error
        except TimeoutError as error:
            limit = f"{self._settings.total_s:g} s (intake.total_s)"
            raise FetchError(f"{what}: no picture within {limit}") from error
        except (BaseError, OSError, ValueError) as error:
            unsigned = "" if self._signed else "; AWS_ACCESS_KEY_ID is not set"
            raise FetchError(f"{what}: {_first_line(error)}{unsigned}") from error

    async def _read(self, bucket: str, key: str, what: str, known: Validators) -> Download:
        limit = self._settings.max_bytes
        options: GetOptions = {"if_none_match": known.etag} if known.etag else {}
        found = await obstore.get_async(self._store(bucket), key, options=options)
        if found.meta["size"] > limit:
            raise too_large(what, limit)
        body = bytearray()
        async for chunk in found.stream():
            body += chunk
            if len(body) > limit:
                raise too_large(what, limit)
        etag = found.meta.get("e_tag")
        return Download(check_bytes(bytes(body), what, limit), Validators.of({"etag": etag}))

    def _allowed(self, reference: str) -> tuple[str, str]:
        """Bucket and key. FetchError unless the settings list the bucket, or the key's prefix."""
        bucket, _, key = reference.partition("://")[2].partition("/")
        if not _BUCKET.fullmatch(bucket) or not key:
            raise FetchError(f"{redacted(reference)} is not of the form s3://BUCKET/KEY")
        segments = key.split("/")
        for listed in self._settings.s3.buckets:
            name, *prefix = listed.strip("/").split("/")
            if name == bucket and segments[: len(prefix)] == prefix:
                return bucket, key
        raise FetchError(
            f"{redacted(reference)} may not be read: intake.s3.buckets does not list it"
        )

    def _store(self, bucket: str) -> S3Store:
        if bucket not in self._stores:
            s3, limit = self._settings.s3, timedelta(seconds=self._settings.timeout_s)
            self._stores[bucket] = S3Store(
                bucket,
                endpoint=s3.endpoint,
                region=s3.region,
                skip_signature=not self._signed,
                client_options={
                    "allow_http": (s3.endpoint or "").startswith("http://"),
                    "connect_timeout": limit,
                    "timeout": timedelta(seconds=self._settings.total_s),
                },
                retry_config={
                    "max_retries": self._settings.attempts - 1,
                    "retry_timeout": timedelta(seconds=self._settings.total_s),
                },
            )
        return self._stores[bucket]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
