"""The records that are sent: lines of one width with a time, two metrics and a dimension, 84 bytes as in the figures.

Bodies are made before the clock runs and sent in turn. Records of the keyed variant must each be new, so their key is
written into the ready lines by a few array operations while they are sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

START_MS = 1_767_225_600_000  # 2026-01-01
SITES = 50
_DIGITS = 13
_POWERS = 10 ** np.arange(_DIGITS - 1, -1, -1, dtype=np.int64)

MAPPING: dict[str, Any] = {
    "time": {"path": "$.time"},
    "fields": [
        {"name": "a", "path": "$.a", "type": "number"},
        {"name": "b", "path": "$.b", "type": "number"},
        {"name": "site", "path": "$.site", "type": "text"},
    ],
}
KEYED_MAPPING: dict[str, Any] = {**MAPPING, "key": ["$.id"]}

#: What is wrong with poison: a value of another type, and a line that ends too early.
_POISON = ('{"time":"%s","a":"n/a","b":%s,"site":"%s"}', '{"time":"%s","a":%s')


@dataclass(frozen=True, slots=True)
class Body:
    """One body, and how many of its records no mapping can use."""

    data: bytes
    records: int
    bad: int = 0


def make(count: int, records: int, *, poison: float = 0.0, whole: bool = False, seed: int = 1) -> list[Body]:
    """`count` NDJSON bodies of `records` records; body number i holds the records of second i.

    `poison`: the share of records that are bad, spread evenly; with `whole`, of bodies in which one record is.
    """
    rng = np.random.default_rng(seed)
    bodies = []
    for number in range(count):
        a, b = rng.normal(20, 5, records).clip(1, 99), rng.normal(1013, 8, records).clip(900, 1100)
        bad = rng.random(records) < poison
        if whole:
            bad = np.zeros(records, np.bool_)
            bad[rng.integers(records)] = rng.random() < poison
        lines = []
        for index in range(records):
            time = _iso(START_MS + number * 1000 + index * 1000 // records)
            site = f"station-{index * 7 % SITES:03d}"
            if bad[index]:
                kind = _POISON[index % 2]
                lines.append(
                    kind % ((time, f"{b[index]:09.4f}", site) if index % 2 == 0 else (time, f"{a[index]:.5f}"))
                )
            else:
                lines.append(f'{{"time":"{time}","a":{a[index]:8.5f},"b":{b[index]:9.4f},"site":"{site}"}}')
        bodies.append(Body("\n".join(lines).encode() + b"\n", records, int(bad.sum())))
    return bodies


def _iso(ms: int) -> str:
    return str(np.datetime64(ms, "ms")) + "Z"


class Keyed:
    """Bodies whose records have an `id` of their own, never the same again."""

    def __init__(self, records: int) -> None:
        body = make(1, records)[0].data.replace(b'","a":', b'","id":"%s","a":' % (b"0" * _DIGITS))
        lines = body.split(b"\n")[:-1]
        width = max(map(len, lines)) + 1
        # A number may be written shorter by a digit: blanks before the line's end make all lines as long.
        self._lines = (
            np.frombuffer(b"".join(line[:-1].ljust(width - 2) + b"}\n" for line in lines), np.uint8)
            .reshape(records, width)
            .copy()
        )
        self._at = lines[0].index(b'"id":"') + 6
        self._next = 0

    def next(self) -> bytes:
        records = len(self._lines)
        numbers = np.arange(self._next, self._next + records)
        self._next += records
        self._lines[:, self._at : self._at + _DIGITS] = numbers[:, None] // _POWERS % 10 + 48
        return self._lines.tobytes()


def one(number: int) -> bytes:
    """A single record, as a sender of events would post it."""
    return b'{"n":%d,"a":%d.25,"site":"station-%03d"}' % (number, number % 97, number % SITES)


ONE_MAPPING: dict[str, Any] = {
    "fields": [
        {"name": "n", "path": "$.n", "type": "integer", "role": "dimension"},
        {"name": "a", "path": "$.a", "type": "number"},
        {"name": "site", "path": "$.site", "type": "text"},
    ]
}
