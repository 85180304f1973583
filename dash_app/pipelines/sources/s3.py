"""A bucket that is watched: each object below a prefix is taken once, and left where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

import httpx
import param

from dash_app.pipelines import cutting
from dash_app.pipelines.bucket_options import BucketOptions
from dash_app.pipelines.sources.base import Page
from dash_app.pipelines.sources.outside import Outside
from dash_app.pipelines.sources.taking import Lying, TakingSource
from dash_app.storage.outside_objects import Found, OutsideBucket

#: As much of an object as is read at once.
_AHEAD = 8 << 20


class S3Source(BucketOptions, TakingSource):
    kind = "s3"
    summary = "A bucket in S3 or a service like it; each object below a prefix is taken once."
    secrets = frozenset({"secret_access_key"})
    example: ClassVar[Mapping[str, Any]] = {
        "bucket": "exports",
        "prefix": "orders/",
        "region": "eu-north-1",
        "access_key_id": "AKIDEXAMPLE",
        "pattern": "*.parquet",
    }

    timeout_seconds = param.Number(default=30, bounds=(1, 300), doc="Seconds that one answer of the service may take.")

    def problems(self) -> list[tuple[str, str]]:
        return super().problems() + self.bucket_problems()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["bucket"]}

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        return self.fetch(cursor, Outside(client), now)

    def fetch(self, cursor: Mapping[str, Any] | None, outside: Outside, now: datetime) -> Iterator[Page]:
        bucket = self.opened(outside.client, float(self.timeout_seconds))
        yield from self.take(self._lying(bucket), outside, cursor)

    def _lying(self, bucket: OutsideBucket) -> Iterator[Lying]:
        for found in bucket.objects(self.prefix):
            url = f"s3://{self.bucket}/{found.key}"
            yield Lying(found.key, found.version, found.size, url, partial(_opened, bucket, found))


@contextmanager
def _opened(bucket: OutsideBucket, found: Found) -> Iterator[cutting.Reader]:
    yield _ObjectReader(bucket, found)


class _ObjectReader:
    """An object, read ahead a stretch at a time."""

    def __init__(self, bucket: OutsideBucket, found: Found) -> None:
        self._bucket = bucket
        self._found = found
        self.size = found.size
        self._ahead = b""
        self._at = 0

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size)
        pieces = []
        while start < stop:
            offset = start - self._at
            if not 0 <= offset < len(self._ahead):
                # Columns of a table are read in small steps here and there, texts from front to back.
                width = _AHEAD if start == self._at + len(self._ahead) else max(stop - start, 1 << 18)
                self._ahead = self._bucket.read(self._found, start, min(self.size, start + width))
                self._at, offset = start, 0
                if not self._ahead:
                    break
            piece = self._ahead[offset : offset + stop - start]
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)
