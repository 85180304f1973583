"""Templates for messages: what people can write, and what nobody gets out of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from dash_app.domain.errors import Invalid
from dash_app.pipelines.templating import NAMES, check, render

CONTEXT: Mapping[str, Any] = {
    "record": {"site": "roof", "temp": 31.456, "items": 3, "html": "<b>&</b>"},
    "records": [{"site": "roof", "temp": 31.456}, {"site": "garden", "temp": 12}, {"site": "roof", "temp": None}],
    "at": datetime(2026, 1, 5, 12, tzinfo=UTC),
    "seconds": 200,
    "text": "x" * 1000,
    "nothing": None,
    "yes": True,
}


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ record.site | upper }}", "ROOF"),
        ("{{ record.temp | number('°C', 1) }}", "31.5\u00a0°C"),
        ("{{ 1234567 | number }} {{ 0.12 | number('percentunit') }}", "1,234,567 12%"),
        ("{{ 1536 | number('bytes') }}", "1.5\u00a0KiB"),
        ("{{ nothing | number }} {{ nothing }} {{ yes }}", "– – true"),
        ("{{ seconds | duration }}", "3\u00a0min\u00a020\u00a0s"),
        ("{{ at | datetime('Europe/Oslo') }}", "5 Jan 2026, 13:00 CET"),
        ("{{ at | datetime('UTC', '%Y-%m-%d') }}", "2026-01-05"),
        ("{{ 0 | datetime('UTC', 'iso') }}", "1970-01-01T00:00:00+00:00"),
        ("{{ {'a': [1, none]} | json }}", '{"a":[1,null]}'),
        ("{{ records | map(attribute='site') | unique | join(', ') }}", "roof, garden"),
        ("{{ records | sum('temp') }} of {{ records | length }}", "43.456 of 3"),
        ("{% for one in records if one.temp %}{{ loop.index }}{{ '' if loop.last else '/' }}{% endfor %}", "1/2"),
        ("{{ records | selectattr('site', 'equalto', 'garden') | first | json }}", '{"site":"garden","temp":12}'),
        ("{% set ns = namespace(n=0) %}{% for one in records %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "3"),
        ("{{ record.items }} {{ record.get('no', 'none') }} {{ record.missing | default('gone') }}", "3 none gone"),
        ("{{ 'hot' if record.temp > 30 else 'fine' }}", "hot"),
        ("{% if 'oo' in record.site %}{{ record.site ~ '!' }}{% endif %}", "roof!"),
    ],
)  # fmt: skip
def test_what_a_message_needs(source: str, made: str) -> None:
    assert check(source, [*CONTEXT]) == []
    assert render(source, CONTEXT) == made


def test_html_is_escaped_where_it_is_asked_for() -> None:
    source = "<i>{{ record.html }}</i>{{ record.html ~ '<' }}{{ [record.html] | join('<br>') }}{{ record | tojson }}"
    made = render(source, CONTEXT, html=True)
    assert "<b>" not in made
    assert made.startswith("<i>&lt;b&gt;&amp;&lt;/b&gt;</i>&lt;b&gt;&amp;&lt;/b&gt;&lt;")
    assert "\\u003cb\\u003e" in made
    assert render("{{ record.html }}", CONTEXT) == "<b>&</b>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ record['__class__'] }}",
        "{{ records | map(attribute='__class__') | list }}",
        "{{ records | map('attr', '__class__') | list }}",
        "{{ record | attr('__class__') }}",
        "{{ ().__class__ }}",
        "{{ range.__globals__ }}",
        "{{ range['__globals__'] }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ record.get.__self__ }}",
        "{{ record.get['__self__'] }}",
        "{{ at.__reduce_ex__(2) }}",
        "{{ at.strftime('%1000000000d') }}",
        "{{ '{0.__class__}'.format(record) }}",
        "{{ '{0.__class__}'.format_map(record) }}",
        "{{ '%s' % record }}",
        "{{ '%s' | format(record) }}",
        "{{ self }}",
        "{{ self._TemplateReference__context }}",
        "{% for one in records recursive %}{{ loop(records) }}{% endfor %}",
        "{% for one in records %}{{ loop.__init__ }}{% endfor %}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{{ lipsum(n=100000) }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{{ joiner }}",
        "{{ dict(a=1) }}",
        "{{ range }}",
        "{{ record.update({'a': 1}) }}",
        "{{ records.append(1) }}",
        "{{ records.clear() }}",
        "{{ records.__len__ }}",
        "{% set record.site = 1 %}",
        "{{ text.encode('utf-8') }}",
        "{{ text.translate({}) }}",
        "{{ records | random }}",
        "{{ text | ~turns(1) }}",
        "{{ at | datetime('../../etc/passwd') }}",
        "{{ at | datetime('UTC', '%1000000000Y') }}",
    ],
)
def test_nothing_leads_further_into_the_program(source: str) -> None:
    with pytest.raises(Invalid) as error:
        render(source, CONTEXT)
    assert "object at 0x" not in error.value.message
    assert CONTEXT["records"][0] == {"site": "roof", "temp": 31.456}


_LOOP = "{% for a in range(9999) %}"
_END = "{% endfor %}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ range(10 ** 9) }}",
        f"{_LOOP * 2}{_END * 2}",
        f"{_LOOP * 3}.{_END * 3}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ [1] * 10 ** 9 }}",
        "{{ 10 ** 100000 ** 2 }}",
        "{% set n = namespace(x=3) %}" + _LOOP + "{% set n.x = n.x * n.x %}" + _END,
        "{% set n = namespace(x=3) %}" + _LOOP + "{% set n.x = n.x ** 2 %}" + _END,
        "{% set n = namespace(x='abcd') %}" + _LOOP + "{% set n.x = n.x ~ n.x %}" + _END,
        "{% set n = namespace(x='abcd') %}" + _LOOP + "{% set n.x = n.x + n.x %}" + _END,
        "{% set n = namespace(x=[1]) %}" + _LOOP + "{% set n.x = n.x + n.x %}" + _END,
        "{% set n = namespace(x='abcd') %}" + _LOOP + "{% set n.x = n.x | replace('a', n.x) %}" + _END,
        "{% set n = namespace(x=['ab']) %}" + _LOOP + "{% set n.x = [n.x | join(text)] * 2 %}" + _END,
        _LOOP + "{{ text }}" + _END,
        "{% set kept %}" + _LOOP + "{{ text }}" + _END + "{% endset %}",
        "{% set kept %}" + _LOOP + "y" * 1000 + _END + "{% endset %}",
        _LOOP + "{{ range(9999) | sum }}" + _END,
        _LOOP + "{{ range(9999) | list | sort | length }}" + _END,
        _LOOP + "{{ text.count('y') }}" + _END * 1 + _LOOP + "{{ text | upper | lower | title }}" + _END,
        "{{ 'x' | center(10 ** 9) }}",
        "{{ 'x'.ljust(10 ** 9) }}",
        "{{ 'x' | indent(10 ** 9) }}",
        "{{ 'x' | wordwrap(1, true, text) }}",
        "{{ [1] | batch(10 ** 9, 0) | list }}",
        "{{ 1.5 | round(10 ** 9) }}",
        "{{ 1.5 | number('', 10 ** 9) }}",
        "{{ '%01000000000d' % 1 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "not " * 3000 + "1 }}",
        "{{ " + "-" * 3000 + "1 }}",
        "{{ " + "+".join(["1"] * 3000) + " }}",
        "{% if 1 %}" * 200 + "{% endif %}" * 200,
        "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
        "y" * 20_001,
    ],
)
def test_nothing_runs_for_long_or_grows_large(source: str) -> None:
    # Without bounds these would take hours, or all memory.
    with pytest.raises(Invalid):
        render(source, CONTEXT)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ record.tmp }}", "there is no 'tmp' here; did you mean 'temp'?"),
        ("a\nb\n{{ record.tmp }}", "line 3: "),
        ("{{ record.temp | nmber }}", "there is no filter 'nmber'; did you mean 'number'?"),
        ("a\n{% if %}", "line 2: "),
        ("{{ record.temp | number('°C', 99) }}", "0 to 12 decimals"),
        ("{{ 'soon' | datetime }}", "'soon' is no time"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'a'.format() }}", "'format' is nothing that can be called here"),
        ("{{ 'abc' | round }}", "round needs a number, not a text"),
        ("{% for one in record.site %}{% endfor %}", "not over a text"),
    ],
)
def test_problems_say_where_and_what(source: str, said: str) -> None:
    with pytest.raises(Invalid) as error:
        render(source, CONTEXT)
    assert said in error.value.message


def test_a_check_needs_no_message() -> None:
    assert check("{{ record.temp }} of {{ count }}", NAMES["records"]) == []
    assert check("{{ recrd.temp }}", NAMES["records"]) == ["'recrd' is not known here; did you mean 'record'?"]
    assert check("{% set recrd = record %}{{ recrd.temp }}{{ loop }}", NAMES["records"]) == [
        "'loop' is not known here; there are records, record, count, pipeline, id, type, at, team, sink"
    ]
    assert check("{{ a", None)
    assert check(5) == ["a text is needed"]
