"""docs/sources.md and the pages beside it name every kind and every option, and nothing that is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dash_app.domain.kinds import Kind
from dash_app.pipelines.sources import PollSource, Source, load_schemes, load_sources
from dash_app.pipelines.sources.auth import TYPES, Auth
from dash_app.pipelines.sources.incremental import Incremental
from dash_app.pipelines.sources.pagination import PAGINATORS
from dash_app.pipelines.sources.resolving import Resolve
from dash_app.pipelines.sources.response_actions import ACTIONS
from dash_app.pipelines.sources.webhook import Webhook

DOCS = Path(__file__).parents[4] / "docs"
#: One page for what all have in common, and one for each family of kinds that has much to say.
PAGES = ("sources", "http-poll", "webhooks", "streams", "files")
TEXT = "\n".join(page.read_text() for name in PAGES if (page := DOCS / f"{name}.md").exists())


#: Where what a kind is for says more than its name.
HEADINGS = {"upload": "## Uploads"}

HTTP = (DOCS / "http-poll.md").read_text()


def section(heading: str, text: str = TEXT) -> str:
    """The text under a heading, up to the next one of the same level or above."""
    level = heading.split()[0]
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.M | re.S)
    assert found, f"no page of sources has the heading '{heading}'"
    return found.group(1)


def options_of(text: str) -> set[str]:
    """The names in the first column of the tables of options."""
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.M))


@pytest.mark.parametrize("kind", list(load_sources()), ids=lambda kind: kind.kind)
def test_every_source_and_its_options(kind: type[Kind]) -> None:
    own = set(kind.own_options() if issubclass(kind, Webhook) else kind.options()) - set(Source.options())
    if issubclass(kind, PollSource):
        own -= options_of(section("## Every poll"))
    text = section(HEADINGS.get(kind.kind, f"## `{kind.kind}`"))
    assert own <= set(re.findall(r"`([a-z_]+)`", text))


def test_what_every_source_has() -> None:
    before = TEXT[: TEXT.index("## `webhook`")]
    assert all(f"`{name}`" in before for name in Source.options())


def test_what_every_poll_has() -> None:
    assert options_of(section("## Every poll")) == set(PollSource.options())


@pytest.mark.parametrize("kind", list(load_schemes()), ids=lambda kind: kind.kind)
def test_every_scheme_and_its_options(kind: type[Kind]) -> None:
    text = section(f"#### `{kind.kind}`")
    for name in kind.options():
        assert f"`{name}`" in text, name
    assert options_of(text) <= set(kind.options())


@pytest.mark.parametrize("kind", list(PAGINATORS.values()), ids=lambda kind: kind.kind)
def test_every_paginator_and_its_options(kind: type[Kind]) -> None:
    row = next(line for line in section("### Pagination", HTTP).splitlines() if line.startswith(f"| `{kind.kind}` |"))
    cell = row.split("|")[2]
    assert set(re.findall(r"`([a-z_]+)`", re.sub(r"\(.*?\)", "", cell))) == set(kind.options())
    for name, said in re.findall(r"`([a-z_]+)` \(`?([^)`]+)`?\)", cell):
        default = kind.options()[name].default
        assert said == ("not sent" if default is None else str(default)), name


@pytest.mark.parametrize("kind", list(TYPES.values()), ids=lambda kind: kind.kind)
def test_every_auth_and_its_parts(kind: type[Auth]) -> None:
    row = next(line for line in section("### Auth", HTTP).splitlines() if line.startswith(f"| `{kind.kind}` |"))
    cell = re.sub(r"\(.*?\)", "", row.split("|")[2])
    assert set(re.findall(r"`([a-z0-9_]+)`", cell)) == set(kind.options())
    assert set(re.findall(r"\*\*`([a-z_]+)`\*\*", cell)) == kind.secrets


def test_resolve_and_response_actions() -> None:
    assert options_of(section("### Parents and children", HTTP)) == set(Resolve.options())
    assert options_of(section("### Failures", HTTP)) == {"status_code", "content", "action"}
    assert all(f"`{action}`" in section("### Failures", HTTP) for action in ACTIONS)


def test_incremental() -> None:
    assert options_of(section("### Incremental", HTTP)) == set(Incremental.options())


def test_defaults_of_http_poll() -> None:
    options = load_sources()["http_poll"].options()
    for name, said in re.findall(r"^\| `([a-z_]+)` \| `?([^|`]+)`? \|", section("## `http_poll`"), re.M):
        if name in options and isinstance(options[name].default, int | float):
            assert float(said) == options[name].default, name


def test_examples_are_valid() -> None:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.S)]
    sources = [block.get("source", block) for block in blocks]
    given = [one for one in sources if one.get("kind") in load_sources() and "options" in one]
    assert len(given) >= 4
    for one in given:
        options = json.loads(json.dumps(one["options"]).replace("\\u2026", "token"))
        load_sources()[one["kind"]].from_options(options)
