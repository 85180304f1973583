"""What a page's actions and addresses refuse before anything behind them sees it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from dash_app.domain.errors import BadRequest, NotFound
from dash_app.pages.compare import _number
from dash_app.pages.plain import PageHandler
from dash_app.pages.replays import ReplayActions
from dash_app.pages.workspace_dashboards import _pairs

DIGITS = "1" * 5000


def handler(body: bytes, of: type[PageHandler] = PageHandler) -> Any:
    made = of.__new__(of)
    made.request = SimpleNamespace(body=body)  # type: ignore[assignment]
    return made


def test_a_body_is_an_object_and_may_be_left_out() -> None:
    assert handler(b"").body() == {}
    assert handler('{"note": "æ", "paths": ["$.a"]}'.encode()).body() == {"note": "æ", "paths": ["$.a"]}


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' * 150 + b"1" + b"}" * 150, b"[]", b"null", b"{", b'{"a": NaN}',
        b"\xff", b'{"version": ' + DIGITS.encode() + b"}", b'{"note": "\\u0000"}', b'{"paths": ["a", "\\u0000"]}',
        b'{"reason": "\\ud800"}', b'{"a": 1, "a": 2}',
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_used_is_the_callers_mistake(body: bytes) -> None:
    with pytest.raises(BadRequest):
        handler(body).body()


@pytest.mark.parametrize("text", [DIGITS, "2147483648", "0", "-1", "1.0", True, {"a": 1}])
def test_what_is_no_version_is_not_found(text: Any) -> None:
    with pytest.raises(NotFound):
        _number(text)


def test_versions_are_read_as_text_and_as_numbers() -> None:
    assert (_number("2147483647"), _number(3), _number(""), _number(None)) == (2147483647, 3, None, None)


@pytest.mark.parametrize(
    "asked", [f"weather:{DIGITS}", "weather:2147483648", "weather:0", "weather", ":1", "weather:x"]
)
def test_what_is_no_version_of_a_pipeline_is_refused(asked: str) -> None:
    with pytest.raises(BadRequest):
        _pairs(asked)


def test_versions_of_pipelines_are_pairs() -> None:
    assert _pairs("weather:3, a:b:2147483647") == {"weather": 3, "a:b": 2147483647}


class Again:
    """A workspace that only counts."""

    async def map_again(self, pipeline: UUID, payloads: list[int]) -> int:
        self.payloads = payloads
        return len(payloads)


async def test_ids_of_payloads_have_as_many_digits_as_ids_have() -> None:
    made = handler(b"", ReplayActions)
    made.workspace = Again()
    largest = 2**63 - 1
    assert await made._again({"payloads": ["7", str(largest)]}, UUID(int=1)) == (2, 0)
    assert made.workspace.payloads == [7, largest]
    for wrong in (DIGITS, str(largest + 1), "-1", "", 7, None):
        with pytest.raises(BadRequest):
            await made._again({"payloads": [wrong]}, UUID(int=1))
