"""docs/sources.md names every kind and every option, and nothing that is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dash_app.domain.kinds import Kind
from dash_app.pipelines.sources import load_schemes, load_sources
from dash_app.pipelines.sources.incremental import Incremental
from dash_app.pipelines.sources.pagination import PAGINATORS
from dash_app.pipelines.sources.webhook import Webhook

TEXT = (Path(__file__).parents[4] / "docs" / "sources.md").read_text()


def section(heading: str) -> str:
    """The text under a heading, up to the next one of the same level or above."""
    level = heading.split()[0]
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", TEXT, re.M | re.S)
    assert found, f"docs/sources.md has no heading '{heading}'"
    return found.group(1)


def options_of(text: str) -> set[str]:
    """The names in the first column of the tables of options."""
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.M))


@pytest.mark.parametrize("kind", list(load_sources()), ids=lambda kind: kind.kind)
def test_every_source_and_its_options(kind: type[Kind]) -> None:
    own = kind.own_options() if issubclass(kind, Webhook) else kind.options()
    assert set(own) <= options_of(section(f"## `{kind.kind}`"))


@pytest.mark.parametrize("kind", list(load_schemes()), ids=lambda kind: kind.kind)
def test_every_scheme_and_its_options(kind: type[Kind]) -> None:
    text = section(f"#### `{kind.kind}`")
    for name in kind.options():
        assert f"`{name}`" in text, name
    assert options_of(text) <= set(kind.options())


@pytest.mark.parametrize("kind", list(PAGINATORS.values()), ids=lambda kind: kind.kind)
def test_every_paginator_and_its_options(kind: type[Kind]) -> None:
    row = next(line for line in section("### Pagination").splitlines() if line.startswith(f"| `{kind.kind}` |"))
    cell = row.split("|")[2]
    assert set(re.findall(r"`([a-z_]+)`", re.sub(r"\(.*?\)", "", cell))) == set(kind.options())
    for name, said in re.findall(r"`([a-z_]+)` \(`?([^)`]+)`?\)", cell):
        default = kind.options()[name].default
        assert said == ("not sent" if default is None else str(default)), name


def test_incremental() -> None:
    assert options_of(section("### Incremental")) == set(Incremental.options())


def test_defaults_of_http_poll() -> None:
    options = load_sources()["http_poll"].options()
    for name, said in re.findall(r"^\| `([a-z_]+)` \| `?([^|`]+)`? \|", section("## `http_poll`"), re.M):
        if name in options and isinstance(options[name].default, int | float):
            assert float(said) == options[name].default, name


def test_examples_are_valid() -> None:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.S)]
    assert len(blocks) == 2
    for block in blocks:
        source = block.get("source", block)
        load_sources()[source["kind"]].from_options(
            json.loads(json.dumps(source["options"]).replace("\\u2026", "token"))
        )
