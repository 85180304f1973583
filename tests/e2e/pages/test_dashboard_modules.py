"""The pure parts of the dashboard's page, run in Chromium itself: ranges in words, the state as an address, variables."""
# ruff: noqa: E501 - JavaScript in strings

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.pages.conftest import House

#: A Monday in Oslo, a day after the clocks went forward.
NOW = "Date.parse('2026-03-30T10:30:00Z')"


@pytest.fixture(scope="module")
def blank(house: House, browser: Browser) -> Page:
    page = browser.new_context(locale="en-GB", timezone_id="Europe/Oslo").new_page()
    page.goto(f"{house.url}/livez")
    return page


def run(page: Page, module: str, body: str) -> Any:
    return page.evaluate(f"async () => {{ const m = await import('/assets/{module}'); {body} }}")


@pytest.mark.parametrize(
    ("said", "start", "end", "words"),
    [
        ("now-3h", "now-3h", "now", "Last 3 hours"),
        ("last 2 weeks", "now-2w", "now", "Last 2 weeks"),
        ("90 min", "now-90m", "now", "Last 90 minutes"),
        ("last hour", "now-1h", "now", "Last hour"),
        ("Yesterday", "now-1d/d", "now/d", "Yesterday"),
        ("this week so far", "now/w", "now", "This week so far"),
        ("previous month", "now-1M/M", "now/M", "Previous month"),
        ("now - 7d to now - 1d", "now-7d", "now-1d", None),
        ("2026-03-01", "2026-02-28T23:00:00.000Z", "2026-03-01T23:00:00.000Z", "1 Mar 2026"),
        ("2026-03", "2026-02-28T23:00:00.000Z", "2026-03-31T22:00:00.000Z", "1 Mar 2026 – 31 Mar 2026"),
        ("1 Mar to 5 Mar", "2026-02-28T23:00:00.000Z", "2026-03-05T23:00:00.000Z", "1 Mar 2026 – 5 Mar 2026"),
        ("Mar 1, 2026 – Mar 5", "2026-02-28T23:00:00.000Z", "2026-03-05T23:00:00.000Z", None),
        ("march", "2026-02-28T23:00:00.000Z", "2026-03-31T22:00:00.000Z", "1 Mar 2026 – 31 Mar 2026"),
        ("Dec", "2025-11-30T23:00:00.000Z", "2025-12-31T23:00:00.000Z", "1 Dec 2025 – 31 Dec 2025"),
        ("Q1 2026", "2025-12-31T23:00:00.000Z", "2026-03-31T22:00:00.000Z", "1 Jan 2026 – 31 Mar 2026"),
        ("2025-Q4", "2025-09-30T22:00:00.000Z", "2025-12-31T23:00:00.000Z", "1 Oct 2025 – 31 Dec 2025"),
        ("last weekend", "2026-03-27T23:00:00.000Z", "2026-03-29T22:00:00.000Z", "28 Mar 2026 – 29 Mar 2026"),
        ("10:00 to 11:30", "2026-03-30T08:00:00.000Z", "2026-03-30T09:30:00.000Z", None),
        ("2026-03-01T10:00:00Z to now", "2026-03-01T10:00:00Z", "now", None),
    ],
)
def test_a_range_in_words(blank: Page, said: str, start: str, end: str, words: str | None) -> None:
    found = run(
        blank,
        "range-text.js",
        f"const range = m.parseRange({said!r}, {{now: {NOW}, zone: 'Europe/Oslo'}}); return [range, range && m.describeRange(range, 'Europe/Oslo')]",
    )
    assert found[0] == {"from": start, "to": end}
    if words:
        assert found[1] == words


@pytest.mark.parametrize(
    "said",
    [
        "",
        "sometime",
        "2026-02-31",
        "5 Mar to 1 Mar",
        "now to now-1h",
        "25:00 to 26:00",
        "a to b to c",
        "ma 2026x",
        "Q5",
    ],
)
def test_what_is_no_range(blank: Page, said: str) -> None:
    assert run(blank, "range-text.js", f"return m.parseRange({said!r}, {{now: {NOW}, zone: 'Europe/Oslo'}})") is None


def test_the_calendar_cuts_in_the_zone_and_across_a_clock_change(blank: Page) -> None:
    settled = run(
        blank,
        "range.js",
        f"return ['now/d', 'now-1d/d', 'now/w', 'now-1M/M', 'now/y', 'now-1h', 'now/h'].map((from) => m.settle({{from, to: 'now'}}, {NOW}, 'Europe/Oslo').from)",
    )
    assert settled == [
        "2026-03-29T22:00:00.000Z",
        "2026-03-28T23:00:00.000Z",
        "2026-03-29T22:00:00.000Z",
        "2026-01-31T23:00:00.000Z",
        "2025-12-31T23:00:00.000Z",
        "now-1h",
        "2026-03-30T10:00:00.000Z",
    ]
    # The end of January and a month are the end of February; half hours are hours elsewhere.
    assert (
        run(
            blank, "range.js", "return new Date(m.moveBy(Date.parse('2026-01-31T12:00Z'), 1, 'M', 'UTC')).toISOString()"
        )
        == "2026-02-28T12:00:00.000Z"
    )
    assert (
        run(
            blank,
            "range.js",
            "return new Date(m.floorTo(Date.parse('2026-01-31T12:10Z'), 'h', 'Asia/Kolkata')).toISOString()",
        )
        == "2026-01-31T11:30:00.000Z"
    )


def test_steps_and_widening(blank: Page) -> None:
    found = run(
        blank,
        "range.js",
        f"""const wide = {{from: '2026-03-30T08:00:00Z', to: '2026-03-30T10:00:00Z'}};
        return [m.step({{from: 'now-24h', to: 'now'}}, -1, {NOW}), m.widen({{from: 'now-6h', to: 'now'}}), m.widen(wide, {NOW}), m.widen({{from: 'x', to: 'y'}})]""",
    )
    assert found == [
        {"from": "2026-03-28T10:30:00.000Z", "to": "2026-03-29T10:30:00.000Z"},
        {"from": "now-12h", "to": "now"},
        {"from": "2026-03-30T06:30:00.000Z", "to": "2026-03-30T10:30:00.000Z"},
        {"from": "x", "to": "y"},
    ]


def test_the_state_is_its_address(blank: Page) -> None:
    found = run(
        blank,
        "dashboard/state.js",
        """const document = {time: {from: 'now-6h', to: 'now'}, refresh: '1m', tiles: [{id: 1}], templating: {list: [{name: 'site'}, {name: 'kind'}]}};
        const first = m.readState('', document);
        const search = '?from=now-1h&to=now&refresh=30s&tz=Europe/Oslo&var-site=a&var-site=b&var-kind=$__all&filter=!x:1:2&filter=y&compare=1w&tile=1';
        const state = m.readState(search, document);
        const written = m.writeState(new URL('http://h/d?mapping=a:3&from=1&var-old=x'), state, document);
        const nonsense = m.readState('?from=x&to=y&refresh=1s&tz=Mars/One&filter=&filter=:&compare=9y&tile=7&var-none=1', document);
        return [first.refresh, state, written.href, JSON.stringify(nonsense) === JSON.stringify(first), m.writeState(new URL('http://h/d'), first, document).href]""",
    )
    assert found[0] == "1m"
    assert found[1] == {
        "range": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "timezone": "Europe/Oslo",
        "variables": {"site": ["a", "b"], "kind": "$__all"},
        "filters": [{"field": "x", "op": "!=", "value": "1:2"}, {"field": "y", "op": "=", "value": None}],
        "compare": "1w",
        "tile": "1",
    }
    assert found[2] == (
        "http://h/d?mapping=a:3&from=now-1h&to=now&refresh=30s&tz=Europe/Oslo&var-site=a&var-site=b&var-kind=$__all"
        "&filter=!x:1:2&filter=y&compare=1w&tile=1"
    )
    assert found[3:] == [True, "http://h/d"]


def test_a_second_click_takes_a_filter_back(blank: Page) -> None:
    found = run(
        blank,
        "dashboard/state.js",
        """let all = m.toggleFilter([], 'site', 'Oslo');
        const steps = [all];
        for (const [value, exclude] of [['Bergen', false], ['Oslo', true], ['Oslo', true], ['Bergen', false], [null, false]]) steps.push(all = m.toggleFilter(all, 'site', value, exclude));
        return steps.map((step) => step.map(m.filterText).join(' '))""",
    )
    assert found == ["site:Oslo", "site:Oslo site:Bergen", "site:Bergen !site:Oslo", "site:Bergen", "", "site"]


def test_variables_ask_those_below_again(blank: Page) -> None:
    found = run(
        blank,
        "dashboard/variables.js",
        """const asked = [], receivers = {};
        const subscription = (name) => ({update: (request) => asked.push([name, request.variables]), refresh() {}, close() {}});
        const live = {subscribe: (request, receive) => { const {name} = request.variable; receivers[name] = receive; asked.push([name, request.variables]); return subscription(name); }};
        const values = (name, ...list) => receivers[name]({kind: 'snapshot', key: [], columns: [{name: 'value', type: 'text'}], data: [list]});
        const told = [];
        const list = [{name: 'a', type: 'query', query: {pipeline: 'p', field: 'a'}}, {name: 'b', type: 'query', query: {pipeline: 'p', field: 'b', where: 'a = $a'}}, {name: 'c', type: 'query', includeAll: true, query: {pipeline: 'p', field: 'c', where: 'b in (${b})'}}];
        const variables = new m.Variables(list, {live, dashboard: 'd', where: () => ({}), changed: (settled) => told.push(settled)});
        variables.choose({});
        const before = [asked.map(([name]) => name).join(''), variables.settled];
        values('a', 'one', 'two');
        values('b', 'x', 'y');
        const first = [variables.values(), variables.settled];
        values('c', 'z');
        variables.choose({a: 'two', b: 'y', c: 'z'});
        const waiting = variables.settled;
        values('b', 'w');
        const between = variables.settled;
        values('c', 'z', 'q');
        const moved = [variables.values(), variables.chosen, variables.settled];
        receivers.a({kind: 'error', title: 'Not found', detail: 'gone'});
        return {before, first, waiting, between, moved, wrong: variables.entries.get('a').problem.detail, kept: variables.values().a, last: asked.at(-1)}""",
    )
    assert found["before"] == ["a", False]
    assert found["first"] == [{"a": "one", "b": "x", "c": "$__all"}, True]
    assert found["waiting"] is False
    assert found["between"] is False
    assert found["moved"] == [{"a": "two", "b": "w", "c": "z"}, {"a": "two", "c": "z"}, True]
    assert (found["wrong"], found["kept"]) == ("gone", "two")
    assert found["last"] == ["c", {"b": "w"}]


def test_a_rotation_goes_round(blank: Page) -> None:
    found = run(
        blank,
        "dashboard-page/kiosk.js",
        "return [m.nextAddress('a', '?kiosk=1&rotate=b,c&every=1m&tz=UTC'), m.nextAddress('b', '?kiosk=1&rotate=c,a'), m.nextAddress('a', '?kiosk=1'), m.readKiosk('?rotate=../x,b&every=1s')]",
    )
    assert found[:3] == ["/dashboards/b?kiosk=1&rotate=c,a&every=1m&tz=UTC", "/dashboards/c?kiosk=1&rotate=a,b", None]
    assert found[3] == {"on": False, "rotate": ["b"], "every": 30_000}


def test_people_are_known_by_their_letters(blank: Page) -> None:
    assert run(
        blank,
        "dashboard-page/people.js",
        "return ['Kari Nordmann', 'vera@example.org', 'jo', '', 'a.b@c'].map(m.initials)",
    ) == ["KN", "V", "J", "?", "AB"]
