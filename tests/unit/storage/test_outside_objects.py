"""Somebody else's bucket, whose service does not do what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from dash_app.storage.outside_objects import BucketRefused, BucketTarget, Found, OutsideBucket

FOUND = Found("a.csv", 10, "v1", datetime(2024, 5, 1, tzinfo=UTC))
ENDPOINT = "http://store.example.org"


def bucket(answer: Callable[[httpx.Request], httpx.Response], endpoint: str = ENDPOINT) -> OutsideBucket:
    client = httpx.Client(transport=httpx.MockTransport(answer))
    return OutsideBucket(BucketTarget("exports", endpoint=endpoint), client)


def said(status: int, body: bytes, content_range: str = "") -> httpx.Response:
    headers = {"content-range": content_range} if content_range else {}
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def test_an_answer_that_passes_over_the_range_is_not_taken_for_it() -> None:
    whole = bucket(lambda request: said(200, b"0123456789"))
    assert whole.read(FOUND, 0, 4) == b"0123", "the beginning is there in any case"
    with pytest.raises(BucketRefused, match="from 4 on"):
        whole.read(FOUND, 4, 8)
    other = bucket(lambda _: said(206, b"0123", "bytes 0-3/10"))
    with pytest.raises(BucketRefused, match="other bytes"):
        other.read(FOUND, 4, 8)
    right = bucket(lambda _: said(206, b"4567", "bytes 4-7/10"))
    assert right.read(FOUND, 4, 8) == b"4567"


def test_a_listing_that_goes_round_in_circles_ends() -> None:
    page = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>"
        b"</ListBucketResult>"
    )
    with pytest.raises(BucketRefused, match="again and again"):
        list(bucket(lambda request: said(200, page)).objects(""))


@pytest.mark.parametrize("endpoint", ["http://minio_1:9000", "https://a..b"])
def test_an_endpoint_that_is_no_host_is_refused(endpoint: str) -> None:
    with pytest.raises(BucketRefused, match="its endpoint or region"):
        bucket(lambda request: httpx.Response(200), endpoint)
