"""What a poll works with: the ways out, and what it may ask of the house about what it has taken before.

Most polls need nothing but the HTTP client. Those that take each thing once (an object of a bucket, an entry of a feed)
ask which of the things in front of them are new, and name with each page what it takes: it is noted in the transaction
that stores the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sources.oauth import Tokens


def _all(names: Sequence[str]) -> list[str]:
    return list(names)


@dataclass(frozen=True)
class Outside:
    """The outside of one pipeline."""

    client: httpx.Client
    reach: Reach = field(default_factory=Reach)
    #: The folders of this machine below which may be watched.
    roots: tuple[Path, ...] = ()
    #: Those of the names that this pipeline has not taken yet, in their order.
    unseen: Callable[[Sequence[str]], list[str]] = _all
    #: The access tokens of this process.
    tokens: Tokens = field(default_factory=Tokens)
    #: Whether this is a try: its first page is looked at, within a node that serves others, and nothing is stored.
    trial: bool = False
