"""What every sink kind keeps to, whichever file it came in. A new kind runs through this by being there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import jsonschema
import param
import pytest

from dash_app.domain.errors import DashError, Invalid, Permanent, Transient
from dash_app.pipelines.reach import AddressNotAllowed, Reach
from dash_app.pipelines.sinks import File, Message, Sink, load_sinks

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CANARY = "canary-7f3a91"
RECORD = {"_time": "2026-05-01T00:00:00+00:00", "_received": "2026-05-01T00:00:01+00:00", "_payload": "1", "_index": 0}
PAYLOADS: dict[str, dict[str, Any]] = {
    "records": {"pipeline": "weather", "records": [{**RECORD, "temp": 21.5, "site": "roof\u2028<b>"}]},
    "alert": {
        "alert": "hot",
        "state": "firing",
        "severity": "warning",
        "series": {"site": "roof"},
        "value": 31.5,
        "since": NOW.isoformat(),
        "labels": {"room": "a"},
        "link": "",
    },
    "report": {"report": "weekly", "dashboard": "weather", "link": ""},
    "test": {"sink": "here", "text": "This is a test message from Dash."},
}

SINKS = list(load_sinks())
every = pytest.mark.parametrize("sink", SINKS, ids=lambda sink: sink.kind)


def message(type: Any) -> Message:
    files = (File("chart.png", "image/png", b"\x89PNG"),) if type == "report" else ()
    return Message(f"msg_{1:032x}", type, NOW, "acme", "weather", "A title", "A text", PAYLOADS[type], "", files)


def with_canaries(sink: type[Sink]) -> Sink:
    """The example, with every secret that may be any text replaced by one that is easy to find."""
    made, refused = sink.from_options(sink.example), []
    for name in sorted(sink.secrets):
        try:
            if isinstance(sink.param[name], param.Dict):
                made = sink.from_options({**made.to_options(), name: {"x-canary": CANARY}})
            else:
                made = sink.from_options({**made.to_options(), name: CANARY})
        except Invalid as error:
            # Not any text will do there; and the refusal must not say it again.
            refused.append(error.message)
    for name, text in made.generate_secrets().items():
        setattr(made, name, text)
    assert not any(CANARY in text for text in refused)
    return made


@every
def test_declaration(sink: type[Sink]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,40}", sink.kind)
    assert sink.summary.endswith(".")
    assert all(parameter.doc for parameter in sink.options().values())
    assert sink.secrets <= set(sink.options())
    assert not sink.secrets & set(Sink.options())


@every
def test_the_example_works_and_comes_back(sink: type[Sink]) -> None:
    schema = sink.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(dict(sink.example), schema)
    stored = json.loads(json.dumps(sink.from_options(sink.example).to_options()))
    jsonschema.validate(stored, schema)
    assert sink.from_options(stored).to_options() == stored


@every
def test_wrong_options_are_named(sink: type[Sink]) -> None:
    for name, value in (("no_such_option", 1), ("timeout_seconds", 0.5), ("timeout_seconds", 61), ("name", "x")):
        with pytest.raises(Invalid) as error:
            sink.from_options({**sink.example, name: value})
        assert [where for where, _ in error.value.problems] == [f"options.{name}"]
    with pytest.raises(Invalid) as error:
        sink.from_options({})
    assert all(where.startswith("options") for where, _ in error.value.problems)


@every
def test_secrets_are_write_only_and_survive_the_vault(sink: type[Sink]) -> None:
    properties = sink.json_schema()["properties"]
    made = with_canaries(sink)
    for name in sink.secrets:
        assert properties[name]["writeOnly"] is True
        value = getattr(made, name)
        assert sink.secret_from_text(name, sink.secret_to_text(name, value)) == value
    assert set(sink.from_options(sink.example).generate_secrets()) <= sink.secrets


@every
def test_two_of_a_kind_share_nothing(sink: type[Sink]) -> None:
    one, two = sink.from_options(sink.example), sink.from_options(sink.example)
    for name, value in vars(one).items():
        if isinstance(value, dict | list):
            assert value is not getattr(two, name)


@every
@pytest.mark.parametrize("type", ["records", "alert", "report", "test"])
def test_sinks_reach_nothing_but_through_the_guard(sink: type[Sink], type: str) -> None:
    """With every name leading into the private network, an attempt ends in a refusal that says nothing of it."""
    reach = Reach.of(resolver=lambda host, port: ["10.11.12.13"])
    with pytest.raises(DashError) as error:
        with_canaries(sink).send(message(type), reach)
    shown = f"{error.value.message} {error.value.extra}"
    assert "10.11.12.13" not in shown
    assert CANARY not in shown
    # What is no message for this kind, or for the options of its example, may be refused for that instead.
    assert isinstance(error.value, AddressNotAllowed if type == "records" else Permanent)


@every
def test_where_nobody_listens_it_is_tried_again(sink: type[Sink]) -> None:
    """The other side may come back; so that this is no dead letter, and the message names the host alone."""
    reach = Reach.of(["127.77.0.0/16"], resolver=lambda host, port: ["127.77.77.77"])
    with pytest.raises(Transient) as error:
        with_canaries(sink).send(message("records"), reach)
    shown = f"{error.value.message} {error.value.extra}"
    assert "127.77.77.77" not in shown
    assert CANARY not in shown


@every
def test_a_name_that_cannot_be_resolved_is_tried_again(sink: type[Sink]) -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(Transient):
        with_canaries(sink).send(message("records"), Reach.of(resolver=nowhere))


def test_every_sink_of_the_folder_is_here() -> None:
    assert {"webhook"} <= {sink.kind for sink in SINKS}
