"""A form made from a kind's JSON schema."""

from __future__ import annotations

from typing import Any

import panel as pn
import pytest
from bokeh.document import Document
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Invalid
from dash_app.pages.parts.form import KindForm, label_of, main_options, read_value, shown_options, write_value
from dash_app.pipelines.sources import load_sources

SOURCES = list(load_sources())


def form_of(name: str) -> KindForm:
    kind = load_sources()[name]
    return KindForm(kind.json_schema(), kind.example, pn.pane.HTML, lambda: None)


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.kind)
def test_every_source_has_a_form_that_can_be_shown(kind: Any) -> None:
    made = KindForm(kind.json_schema(), kind.example, pn.pane.HTML, lambda: None)
    document = Document()
    document.add_root(made.view.get_root(document))
    assert document.to_json().content["roots"]  # what cannot be encoded fails here


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.kind)
def test_an_untouched_form_gives_options_that_its_kind_reads(kind: Any) -> None:
    options = form_of(kind.kind).values()
    try:
        kind.from_options(options)
    except Invalid as error:
        # What nobody has filled in yet may be missing; nothing may be of a wrong type.
        assert {place.split(".")[-1] for place, _ in error.problems} <= {"url"}  # noqa: PT017


def test_options_of_a_scheme_stand_with_that_scheme_alone() -> None:
    schema = load_sources()["webhook"].json_schema()
    assert "hash" in shown_options(schema, {"scheme": "hmac"})
    assert "hash" not in shown_options(schema, {"scheme": "github"})
    assert "hash" not in shown_options(schema, {})


def test_choosing_a_scheme_shows_its_options() -> None:
    form = form_of("webhook")
    assert "hash" not in form.values()
    form._inputs["scheme"].value = "hmac"
    form._inputs["hash"].value = "sha512"
    assert form.values() == {"scheme": "hmac", "hash": "sha512"}


def test_what_cannot_be_read_is_named() -> None:
    form = form_of("http_poll")
    form._toggle(None)
    form._inputs["interval_seconds"].value = "soon"
    form._inputs["headers"].value = "no colon here"
    with pytest.raises(Invalid) as raised:
        form.values()
    assert {place for place, _ in raised.value.problems} == {"interval_seconds", "headers"}


def test_a_problem_stands_below_its_input_and_the_rest_is_given_back() -> None:
    form = form_of("http_poll")
    others = form.show([("url", "<b>wrong</b>"), ("elsewhere", "too")])
    assert others == [("elsewhere", "too")]
    assert "&lt;b&gt;wrong" in form._notes["url"].object
    assert form._inputs["url"].error_state
    form.show([])
    assert not form._inputs["url"].error_state


def test_a_problem_of_a_hidden_option_opens_the_rest() -> None:
    form = form_of("http_poll")
    assert not form._rest.visible
    form.show([("max_pages", "too many")])
    assert form._rest.visible


def test_secrets_are_masked_and_asked_for_at_once() -> None:
    schema = load_sources()["http_poll"].json_schema()
    assert "secret_headers" in main_options(schema, {})
    assert any("text-security" in str(sheet) for sheet in form_of("http_poll")._inputs["secret_headers"].stylesheets)


def test_labels_are_words() -> None:
    assert [label_of(name, {}) for name in ("url", "interval_seconds", "data_selector")] == [
        "URL",
        "Interval (seconds)",
        "Data selector",
    ]
    assert label_of("interval_seconds", {"title": "Interval seconds"}) == "Interval (seconds)"
    assert label_of("x", {"title": "Chosen"}) == "Chosen"


PLAIN = st.text(st.characters(categories=["L", "N"]), min_size=1)


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
