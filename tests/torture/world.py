"""What is sent: deliveries made from a seed, of every shape of body, some of them poison, some not signed by us.

Values are multiples of a quarter, so that sums are exact in whatever order they are added.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bench._ground import Ground, Target
from tests.torture.reference import mapping

START = datetime(2026, 1, 2, tzinfo=UTC)
#: Bodies of which a part or the whole cannot be used.
POISON = 0.02
FORGED = 0.02
#: Keys of the keyed pipeline: few enough that they come again, in other payloads and in the same one.
KEYS = 400


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery with an id of its own; `forged`: its signature does not fit, and it must be refused."""

    id: str
    target: Target
    content_type: str
    body: bytes
    forged: bool


def targets(ground: Ground) -> list[Target]:
    """Two pipelines where every record is new, and one where a key says which ones are the same."""
    return [
        ground.pipeline("plain", mapping_of("plain", 1)),
        ground.pipeline("other", mapping_of("other", 1)),
        ground.pipeline("keyed", mapping_of("keyed", 1)),
    ]


def mapping_of(slug: str, version: int) -> dict[str, Any]:
    """The mapping of a pipeline's version."""
    made = mapping(factor_of(version))
    return {**made, "key": ["$.id"]} if slug == "keyed" else made


def factor_of(version: int) -> int:
    """Versions differ by what `v` is multiplied with."""
    return version + 1


def is_keyed(target: Target) -> bool:
    return target.slug == "keyed"


class World:
    """Makes deliveries; the same seed makes the same ones."""

    def __init__(self, seed: int, targets: list[Target]) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._targets = targets
        self._count = 0
        self.deliveries: dict[str, Delivery] = {}

    def make(self) -> Delivery:
        rng = self._random
        self._count += 1
        target = rng.choices(self._targets, [3, 1, 2])[0]
        content_type, body = self._body(is_keyed(target))
        made = Delivery(f"{self._seed}-{self._count}", target, content_type, body, rng.random() < FORGED)
        self.deliveries[made.id] = made
        return made

    def _body(self, keyed: bool) -> tuple[str, bytes]:
        rng = self._random
        records = [self._record(keyed) for _ in range(rng.randint(1, 6))]
        if rng.random() < POISON:
            kind = rng.randrange(6)
            if kind == 0:
                return "application/json", json.dumps(records[0]).encode()[:-2]
            if kind == 1:
                return "application/json", b"[]"
            if kind == 2:
                return "application/json", b'{"at": "2026-01-02T00:00:00Z", "v": NaN}'
            spoilt = records[rng.randrange(len(records))]
            name, value = [("v", "much"), ("at", "yesterday"), ("n", 1.5)][kind - 3]
            spoilt[name] = value
        shape = rng.randrange(3)
        if shape == 0:
            return "application/json", json.dumps(records[0]).encode()
        if shape == 1:
            return "application/json", json.dumps(records).encode()
        return "application/x-ndjson", b"".join(json.dumps(record).encode() + b"\n" for record in records)

    def _record(self, keyed: bool) -> dict[str, Any]:
        rng = self._random
        # Most are of the last minutes, some are days late.
        age = rng.uniform(0, 300) if rng.random() < 0.9 else rng.uniform(0, 7 * 86400)
        record: dict[str, Any] = {
            "at": (START + timedelta(days=7) - timedelta(seconds=age)).isoformat(timespec="milliseconds"),
            "id": f"k{rng.randrange(KEYS)}" if keyed else f"{rng.getrandbits(40):x}",
            "n": rng.randrange(-1000, 1000),
            "v": rng.randrange(-4000, 4000) / 4,
            "site": rng.choice(["north", "south", "east"]),
            "up": rng.random() < 0.5,
        }
        for name in ("n", "v", "site", "up"):
            if rng.random() < 0.05:
                record[name] = None
        return record

    def direct(self, name: str, target: Target) -> Delivery:
        """A delivery that does not come through the webhook; made from its name, so that the rest stays the same."""
        rng = random.Random(f"{self._seed} {name}")
        record = {"at": START.isoformat(), "id": name, "n": rng.randrange(100), "v": rng.randrange(400) / 4}
        made = Delivery(f"{self._seed}-{name}", target, "application/json", json.dumps(record).encode(), False)
        self.deliveries[made.id] = made
        return made
