"""Content-Encoding: what is accepted comes back byte for byte, what is not is refused without being unfolded."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import TooLarge, UnsupportedEncoding
from dash_app.web.bodies import decode_body

LIMIT = 10 << 20
#: Names of tests come of these bytes, and must be the same in every process: no time in them.
zipped = partial(gzip.compress, mtime=0)
BODY = b'{"n": 1, "site": "a"}' * 50


def zstd_stream(body: bytes) -> bytes:
    """A frame without the content's size, as streaming senders write it."""
    coder = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return coder.compress(body) + coder.flush()


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (BODY, None),
        (BODY, ""),
        (BODY, "identity"),
        (BODY, " Identity , identity"),
        (zipped(BODY), "gzip"),
        (zipped(BODY), "GZIP "),
        (zipped(BODY), "x-gzip"),
        (zipped(BODY) + b"\0" * 512, "gzip"),
        (zipped(BODY[:100]) + zipped(b"") + zipped(BODY[100:]), "gzip"),
        (zstandard.compress(BODY), "zstd"),
        (zstd_stream(BODY), "zstd"),
        (zstandard.compress(BODY[:100]) + zstandard.compress(BODY[100:]), "zstd"),
        (b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstandard.compress(BODY), "zstd"),
        (zstandard.compress(zipped(BODY)), "gzip, zstd"),
        (zipped(zstandard.compress(BODY)), "identity, zstd,gzip"),
    ],
)
def test_undone(raw: bytes, encoding: str | None) -> None:
    assert decode_body(raw, encoding, LIMIT) == BODY


def test_empty_bodies() -> None:
    assert decode_body(b"", None, LIMIT) == b""
    assert decode_body(zipped(b""), "gzip", LIMIT) == b""
    assert decode_body(zstandard.compress(b""), "zstd", LIMIT) == b""


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (BODY, "wat"),
        (BODY, "br"),
        (zlib.compress(BODY), "deflate"),
        (zipped(BODY), "gzip, wat"),
        (zipped(BODY), "gzip; q=1"),
        (BODY, "gzip\x00"),
        (BODY, "gzíp"),
        (BODY, ",".join(["gzip"] * 5)),
        (b"", "gzip"),
        (b"", "zstd"),
        (b"abc", "gzip"),
        (b"abc", "zstd"),
        (zipped(BODY)[:-1], "gzip"),
        (zipped(BODY)[:30], "gzip"),
        (zipped(BODY) + b"more", "gzip"),
        (zipped(BODY) + b"\0\0more", "gzip"),
        (zipped(BODY)[:-5] + b"xxxxx", "gzip"),
        (zstandard.compress(BODY)[:-1], "zstd"),
        (zstandard.compress(BODY)[:3], "zstd"),
        (zstandard.compress(BODY) + b"more", "zstd"),
        (zstd_stream(BODY)[:-3], "zstd"),
        (zipped(BODY), "zstd"),
        (zstandard.compress(BODY), "gzip"),
        (zstandard.compress(BODY), "gzip, zstd"),
        (zipped(b"") * 5000, "gzip"),
        (zstandard.compress(b"") * 5000, "zstd"),
    ],
)
def test_refused(raw: bytes, encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding) as refusal:
        decode_body(raw, encoding, LIMIT)
    assert refusal.value.status == 415
    assert refusal.value.message.isascii()


@pytest.mark.parametrize("pack", [lambda body: body, gzip.compress, zstandard.compress])
def test_the_limit_is_exact(pack) -> None:
    encoding = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}.get(pack(BODY)[:2])
    assert decode_body(pack(BODY), encoding, len(BODY)) == BODY
    with pytest.raises(TooLarge) as refusal:
        decode_body(pack(BODY), encoding, len(BODY) - 1)
    assert refusal.value.status == 413


def zstd_bomb(size: int) -> bytes:
    coder = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join(coder.compress(b"\0" * (1 << 20)) for _ in range(size >> 20)) + coder.flush()


def gzip_bomb(size: int) -> bytes:
    coder = zlib.compressobj(9, wbits=31)
    return b"".join(coder.compress(b" " * (1 << 20)) for _ in range(size >> 20)) + coder.flush()


@pytest.mark.parametrize(("bomb", "encoding"), [(gzip_bomb, "gzip"), (zstd_bomb, "zstd")])
def test_a_bomb_is_not_unfolded(bomb, encoding: str) -> None:
    raw = bomb(200 << 20)
    assert len(raw) < 250_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decode_body(raw, encoding, 1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The limit, what the buffer grows ahead of it, and two pieces of what the decoders give at once.
    assert peak < 12 << 20, peak


def test_a_bomb_in_a_bomb() -> None:
    with pytest.raises(TooLarge):
        decode_body(zipped(gzip_bomb(50 << 20)), "gzip, gzip", 1 << 20)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "zstd", "gzip, zstd", "zstd,gzip"]))
def test_any_bytes_give_a_body_or_a_named_refusal(raw: bytes, encoding: str) -> None:
    with contextlib.suppress(UnsupportedEncoding, TooLarge):
        assert len(decode_body(raw, encoding, 1000)) <= 1000


@given(st.binary(max_size=2000))
def test_round_trip(body: bytes) -> None:
    assert decode_body(zipped(body), "gzip", 2000) == body
    assert decode_body(zstandard.compress(body), "zstd", 2000) == body
