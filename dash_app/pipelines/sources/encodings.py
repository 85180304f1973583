"""Content-Encoding undone, within a limit: one decoder for bodies that are sent to us and for pages that we fetch.

A small compressed body can unfold to gigabytes, so nothing is unfolded further than the limit: the decoders are fed
in pieces that cannot give more than a few MiB each, and the first byte above the limit ends it. What is cut off,
damaged or followed by something else is refused as a whole; half a body is never handed on.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import zstandard

from dash_app.domain.errors import TooLarge, UnsupportedEncoding

#: What is asked of servers that we poll; the codings of `decode_body`.
ACCEPT_ENCODING = "gzip, zstd"

#: A body is a few members or frames; a million empty ones are an attack on the loop around the decoder.
MAX_PARTS = 4096
MAX_CODINGS = 4

_GZIP_STEP = 64 << 10
#: Four bytes of zstd can repeat a byte 128 Ki times, so 64 bytes give 2 MiB at most.
_ZSTD_STEP = 64
#: The window that RFC 9659 lets a sender of `Content-Encoding: zstd` ask for.
_ZSTD_WINDOW = 8 << 20


def decode_body(raw: bytes, encoding: str | None, limit: int) -> bytes:
    """The body without its Content-Encoding: at most `limit` bytes.

    `encoding` is the header's value: nothing, identity, gzip (x-gzip), zstd, or a list of these in the order in which
    they were applied. TooLarge beyond the limit, UnsupportedEncoding for other codings and for broken data.
    """
    codings = [name.strip().lower() for name in (encoding or "").split(",")]
    codings = [name for name in codings if name not in ("", "identity")]
    if len(codings) > MAX_CODINGS:
        raise UnsupportedEncoding(f"the body is encoded {len(codings)} times; {MAX_CODINGS} times are accepted")
    for name in codings:
        if name not in _DECODERS:
            raise UnsupportedEncoding(f"Content-Encoding {_shown(name)} is unknown; gzip, zstd and identity are known")
    body = raw
    for name in reversed(codings):
        body = _DECODERS[name](body, limit)
    if len(body) > limit:
        raise too_large(limit)
    return body


def too_large(limit: int) -> TooLarge:
    """The error for a body beyond `limit` bytes."""
    return TooLarge(f"the body is larger than {limit} bytes")


def _gzip(raw: bytes, limit: int) -> bytes:
    view, out, position, parts = memoryview(raw), io.BytesIO(), 0, 0
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while position < len(view) or not parts:
        step = view[position : position + _GZIP_STEP]
        try:
            # One byte more than is allowed, so that exactly the limit passes and the byte after it does not.
            out.write(decoder.decompress(step, limit + 1 - out.tell()))
        except zlib.error as error:
            raise _broken("gzip") from error
        if out.tell() > limit:
            raise too_large(limit)
        position += len(step) - len(decoder.unconsumed_tail) - len(decoder.unused_data)
        if decoder.eof:
            parts = _one_more(parts, "gzip")
            decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
            if not any(view[position:]):
                break  # padding with zeros, as tape and block tools leave it
        elif position >= len(view):
            raise _broken("gzip")
    return out.getvalue()


def _zstd(raw: bytes, limit: int) -> bytes:
    view, out, position, parts = memoryview(raw), io.BytesIO(), 0, 0
    decoder = _zstd_decoder()
    while position < len(view) or not parts:
        step = view[position : position + _ZSTD_STEP]
        try:
            out.write(decoder.decompress(step))
        except zstandard.ZstdError as error:
            raise _broken("zstd") from error
        if out.tell() > limit:
            raise too_large(limit)
        position += len(step)
        if decoder.eof:
            position -= len(decoder.unused_data)
            parts = _one_more(parts, "zstd")
            decoder = _zstd_decoder()
        elif position >= len(view):
            raise _broken("zstd")
    return out.getvalue()


def _zstd_decoder() -> zstandard.ZstdDecompressionObj:
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()


def _one_more(parts: int, coding: str) -> int:
    if parts >= MAX_PARTS:
        raise UnsupportedEncoding(f"the {coding} body consists of more than {MAX_PARTS} parts")
    return parts + 1


def _broken(coding: str) -> UnsupportedEncoding:
    return UnsupportedEncoding(f"the body is not whole {coding} data, although its Content-Encoding says so")


def _shown(text: str) -> str:
    return "'" + text[:40].encode("ascii", "replace").decode() + "'"


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gzip, "x-gzip": _gzip, "zstd": _zstd}
