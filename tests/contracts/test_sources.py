"""What every source kind keeps to, whichever file it came in. A new kind runs through this by being there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import jsonschema
import pytest

from dash_app.domain.errors import DashError, Invalid, Transient
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.reach.guard import AddressNotAllowed
from dash_app.pipelines.sources import PollSource, Source, load_sources
from dash_app.pipelines.sources.outside import Outside
from dash_app.pipelines.sources.streaming import Frame, Link, StreamSource

NOW = datetime(2024, 5, 1, tzinfo=UTC)

SOURCES = list(load_sources())
POLLS = [source for source in SOURCES if issubclass(source, PollSource)]
STREAMS = [source for source in SOURCES if issubclass(source, StreamSource)]
every = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.kind)
every_poll = pytest.mark.parametrize("source", POLLS, ids=lambda source: source.kind)
every_stream = pytest.mark.parametrize("source", STREAMS, ids=lambda source: source.kind)


@every
def test_declaration(source: type[Source]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,40}", source.kind)
    assert source.summary.endswith(".")
    assert all(parameter.doc for parameter in source.options().values())
    if issubclass(source, PollSource | StreamSource):
        assert not source.pushed


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
    resolver = lambda host, port: ["10.0.0.1"]  # noqa: E731
    reach = Reach.of(resolver=resolver)
    with reach.client() as client, pytest.raises(DashError) as error:
        list(source.from_options(source.example).fetch(None, Outside(client, reach), NOW))
    assert "10.0.0.1" not in error.value.message


@every_poll
def test_polls_by_the_calendar(source: type[PollSource]) -> None:
    made = source.from_options({**source.example, "cron": "30 2 * * *", "timezone": "Europe/Oslo"})
    # 02:30 is left out on the day on which summer begins: right after the gap, at 03:00 in Oslo.
    before = datetime(2024, 3, 31, 0, 0, tzinfo=UTC)
    assert before + timedelta(seconds=made.wait(before)) == datetime(2024, 3, 31, 1, 0, tzinfo=UTC)
    # It comes once where the hour comes twice.
    first = datetime(2024, 10, 27, 0, 0, tzinfo=UTC)
    due = first + timedelta(seconds=made.wait(first))
    assert due == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    assert due + timedelta(seconds=made.wait(due)) == datetime(2024, 10, 28, 1, 30, tzinfo=UTC)
    assert made.first_wait(first) == made.wait(first)
    for name, wrong in (("cron", "hourly"), ("cron", "* * * * * *"), ("timezone", "Oslo"), ("jitter_seconds", -1)):
        with pytest.raises(Invalid, match=name):
            source.from_options({**source.example, name: wrong})


@every_poll
def test_polls_by_the_interval(source: type[PollSource]) -> None:
    made = source.from_options({**source.example, "interval_seconds": 60})
    assert (made.first_wait(NOW), made.wait(NOW), made.wait(NOW, 45), made.wait(NOW, 500)) == (0, 60, 15, 0)
    spread = source.from_options({**source.example, "interval_seconds": 60, "jitter_seconds": 10})
    waits = [spread.wait(NOW) for _ in range(50)]
    assert min(waits) >= 60
    assert 60 < max(waits) <= 70


@every_stream
async def test_streams_reach_nothing_but_through_the_guard(source: type[StreamSource]) -> None:
    """Where every name leads into the private network, connecting is refused, and the error names what was asked."""
    made = source.from_options(source.example)
    connected: list[bool] = []
    link = Link(Reach.of(resolver=lambda host, port: ["10.0.0.1"]), "dash", connected=lambda: connected.append(True))
    with pytest.raises(AddressNotAllowed) as error:
        await anext(made.frames(link))
    assert not connected
    assert "10.0.0.1" not in error.value.message
    assert "example.org" in error.value.message


@every_stream
async def test_a_stream_that_finds_no_host_can_be_tried_again(source: type[StreamSource]) -> None:
    def nowhere(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(Transient):
        await anext(source.from_options(source.example).frames(Link(Reach.of(resolver=nowhere), "dash")))


@every_stream
def test_a_stream_names_itself_without_secrets(source: type[StreamSource]) -> None:
    given = {name: "swordfish" for name in source.secrets if isinstance(source.options()[name].default, str)}
    made = source()
    made.param.update(**{**source.example, **given})
    assert "swordfish" not in made.address() + made.place() + made.origin(Frame(b"", {"topic": "a"}))


def test_every_source_of_the_folder_is_here() -> None:
    assert {
        *("webhook", "http_poll", "sse", "websocket", "mqtt", "upload", "pipeline"),
        *("folder", "s3", "postgres", "prometheus", "rss"),
    } <= {source.kind for source in SOURCES}
