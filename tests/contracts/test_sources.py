"""What every source kind keeps to, whichever file it came in. A new kind runs through this by being there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import jsonschema
import pytest

from dash_app.domain.errors import DashError, Invalid
from dash_app.pipelines.reach.guard import guarded_client
from dash_app.pipelines.sources import PollSource, Source, load_sources

NOW = datetime(2024, 5, 1, tzinfo=UTC)

SOURCES = list(load_sources())
POLLS = [source for source in SOURCES if issubclass(source, PollSource)]
every = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.kind)
every_poll = pytest.mark.parametrize("source", POLLS, ids=lambda source: source.kind)


@every
def test_declaration(source: type[Source]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,40}", source.kind)
    assert source.summary.endswith(".")
    assert all(parameter.doc for parameter in source.options().values())
    assert source.pushed is not issubclass(source, PollSource)


@every
def test_the_example_works_and_comes_back(source: type[Source]) -> None:
    schema = source.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(dict(source.example), schema)
    made = source.from_options(source.example)
    stored = json.loads(json.dumps(made.to_options()))
    jsonschema.validate(stored, schema)
    assert source.from_options(stored).to_options() == stored


@every
def test_wrong_options_are_named(source: type[Source]) -> None:
    for name, value in (("no_such_option", 1), ("max_bytes", 0), ("max_bytes", "many"), ("name", "x")):
        with pytest.raises(Invalid) as error:
            source.from_options({**source.example, name: value})
        assert [where for where, _ in error.value.problems] == [f"options.{name}"]
    with pytest.raises(Invalid) as error:
        source.from_options({**source.example, "no_such_option": 1}, "source.options")
    assert error.value.problems[0][0] == "source.options.no_such_option"


@every
def test_secrets_are_write_only_and_survive_the_vault(source: type[Source]) -> None:
    properties = source.json_schema()["properties"]
    for name in source.secrets:
        assert properties[name]["writeOnly"] is True
        value = source.options()[name].default
        assert source.secret_from_text(name, source.secret_to_text(name, value)) == value


@every
def test_two_of_a_kind_share_nothing(source: type[Source]) -> None:
    one, two = source.from_options(source.example), source.from_options(source.example)
    for name, value in vars(one).items():
        if isinstance(value, dict | list):
            assert value is not getattr(two, name)


@every_poll
def test_polls_have_an_interval(source: type[PollSource]) -> None:
    assert source.from_options(source.example).interval_seconds == 60
    for wrong in (0, -1, 86_401, "often", 1.5):
        with pytest.raises(Invalid, match="interval_seconds"):
            source.from_options({**source.example, "interval_seconds": wrong})


@every_poll
def test_polls_reach_nothing_but_through_the_guard(source: type[PollSource]) -> None:
    """With a client for which every name leads into the private network, a run ends in a named error."""
    with guarded_client(resolver=lambda host, port: ["10.0.0.1"]) as client, pytest.raises(DashError) as error:
        list(source.from_options(source.example).pages(None, client, NOW))
    assert "10.0.0.1" not in error.value.message


def test_every_source_of_the_folder_is_here() -> None:
    assert {"webhook", "http_poll"} <= {source.kind for source in SOURCES}
