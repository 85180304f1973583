"""A form made from a kind's JSON schema."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import param
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.pages.parts.form import form_of, label_of, main_options, read_value, shown_options, write_value
from dash_app.pipelines.sources import PollSource, load_sources
from dash_app.pipelines.sources.auth import TYPES
from dash_app.pipelines.sources.pagination import PAGINATORS

SOURCES = list(load_sources())


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.kind)
def test_every_source_has_a_form(kind: Any) -> None:
    made = form_of(kind, kind.example, frozenset(kind.secrets))
    assert json.loads(json.dumps(made)) == made
    assert set(made["parts"]) == set(made["schema"]["properties"]) == set(kind.options())
    assert set(made["parts"].values()) <= {"main", "schedule", "more"}
    # What the example shows is what people are asked for; secrets are never filled in.
    assert all(made["parts"][name] != "more" for name in kind.example)
    assert not set(made["values"]) & kind.secrets
    assert set(made["kept"]) == kind.secrets
    assert list(made["parts"])[-1] == "max_bytes"


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.kind)
def test_shapes_are_of_options_that_there_are(kind: Any) -> None:
    schema = kind.json_schema()["properties"]
    assert set(kind.shapes) <= set(schema)
    for name, each in schema.items():
        for one in each.get("oneOf", ()):
            assert one["required"] == ["type"], name
            assert one["properties"]["type"]["const"] == one["title"]
        if "x-part-of" in each:
            assert name in kind.secrets
            assert each["x-part-of"] in schema


def test_a_choice_of_kinds_names_all_of_them_with_their_options() -> None:
    schema = load_sources()["http_poll"].json_schema()["properties"]
    found = {one["title"]: one["properties"] for one in schema["auth"]["oneOf"]}
    assert list(found) == list(TYPES)
    assert found["bearer"]["token"]["writeOnly"] is True
    assert "writeOnly" not in found["basic"]["username"]
    assert [one["title"] for one in schema["paginator"]["oneOf"]] == list(PAGINATORS)
    nested = schema["resolve"]["properties"]["paginator"]["oneOf"]
    assert [one["title"] for one in nested] == list(PAGINATORS)


def test_a_kind_that_is_dropped_in_has_a_form() -> None:
    class Tide(PollSource):
        kind = "tide"
        summary = "A tide gauge."
        secrets = frozenset({"password"})
        example: ClassVar[dict[str, Any]] = {"gauge": "Bergen"}

        gauge = param.String(default="", doc="Its name.")
        password = param.String(default="", doc="Its password.")
        fine = param.Boolean(default=False, doc="Every second.")

    parts = form_of(Tide, {})["parts"]
    assert [name for name, part in parts.items() if part == "main"] == ["gauge", "password"]
    assert parts["interval_seconds"] == parts["cron"] == "schedule"
    assert parts["fine"] == parts["max_bytes"] == "more"


def test_options_of_a_scheme_stand_with_that_scheme_alone() -> None:
    schema = load_sources()["webhook"].json_schema()
    assert "hash" in shown_options(schema, {"scheme": "hmac"})
    assert "hash" not in shown_options(schema, {"scheme": "github"})
    assert "hash" not in shown_options(schema, {})


def test_secrets_are_asked_for_at_once() -> None:
    assert "secret_headers" in main_options(load_sources()["http_poll"].json_schema(), {})


def test_labels_are_words() -> None:
    assert [label_of(name, {}) for name in ("url", "interval_seconds", "data_selector")] == [
        "URL",
        "Interval (seconds)",
        "Data selector",
    ]
    assert label_of("interval_seconds", {"title": "Interval seconds"}) == "Interval (seconds)"
    assert label_of("x", {"title": "Chosen"}) == "Chosen"


#: Longer figures are numbers beyond 64 bits, which a mapping document refuses by its line.
PLAIN = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=15)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z-]{0,20}", fullmatch=True), PLAIN | st.integers(-(10**9), 10**9), max_size=4
    )
)
def test_objects_are_read_as_they_were_written(value: dict[str, Any]) -> None:
    # A text that looks like a number or a word of YAML means what it looks like, as in a mapping document.
    plain = {
        n: v
        for n, v in value.items()
        if not isinstance(v, str) or read_value({"type": "object"}, f"x: {v}") == {"x": v}
    }
    names = {n: v for n, v in plain.items() if n.lower() not in ("null", "true", "false")}
    assert read_value({"type": "object"}, write_value({"type": "object"}, names)) == names


@pytest.mark.parametrize(
    ("kind", "value"), [("integer", 60), ("number", 2.5), ("string", "$.items"), ("array", ["a", "b"])]
)
def test_values_are_read_as_they_were_written(kind: str, value: Any) -> None:
    assert read_value({"type": kind}, write_value({"type": kind}, value)) == value
