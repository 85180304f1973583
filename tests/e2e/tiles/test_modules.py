"""The pure parts of the browser side, run in Chromium itself: formats, ticks, ranges, frames, CSV, chart options."""
# ruff: noqa: E501 - JavaScript in strings

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.tiles.conftest import OpenPage


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page("/bare")


def run(page: Page, module: str, body: str) -> Any:
    return page.evaluate(f"async () => {{ const m = await import('/assets/{module}'); {body} }}")


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (None, "{}", "–"),
        (21.44, "{unit: '°C'}", "21.44\u00a0°C"),
        (21.44, "{unit: '°C', decimals: 1}", "21.4\u00a0°C"),
        (0, "{unit: 'km'}", "0\u00a0km"),
        (1284312, "{}", "1,284,312"),
        (12500, "{compact: true}", "12.5k"),
        (12.5, "{unit: 'percent'}", "12.5%"),
        (0.125, "{unit: 'percentunit'}", "12.5%"),
        (1536, "{unit: 'bytes'}", "1.5\u00a0KiB"),
        (1500, "{unit: 'decbytes/s'}", "1.5\u00a0kB/s"),
        (0.0042, "{unit: 's'}", "4.2\u00a0ms"),
        (200, "{unit: 's'}", "3\u00a0min\u00a020\u00a0s"),
        (90000, "{unit: 'ms'}", "1\u00a0min\u00a030\u00a0s"),
        (7200, "{unit: 's'}", "2\u00a0h"),
        (6.1, "{unit: 'Mw'}", "6.1\u00a0Mw"),
        (-3.5, "{unit: '°C'}", "-3.5\u00a0°C"),
        (19.5, "{unit: 'EUR'}", "€19.50"),
    ],
)
def test_numbers(page: Page, value: float | None, options: str, text: str) -> None:
    literal = "null" if value is None else repr(value)
    assert run(page, "format.js", f"return m.formatNumber({literal}, {options})") == text


def test_ticks_stand_on_round_local_times_across_a_clock_change(page: Page) -> None:
    # Oslo goes from 02:00 to 03:00 on 29 March 2026.
    labels = run(
        page,
        "format.js",
        "return m.timeTicks(Date.parse('2026-03-28T17:00Z'), Date.parse('2026-03-29T16:00Z'), 9, 'Europe/Oslo').map(t => [new Date(t.at).toISOString().slice(11, 16), t.label, t.strong])",
    )
    assert labels == [
        ["17:00", "18:00", False],
        ["20:00", "21:00", False],
        ["23:00", "29 Mar", True],
        ["01:00", "03:00", False],
        ["04:00", "06:00", False],
        ["07:00", "09:00", False],
        ["10:00", "12:00", False],
        ["13:00", "15:00", False],
        ["16:00", "18:00", False],
    ]
    half = run(
        page,
        "format.js",
        "return m.timeTicks(Date.parse('2026-03-28T00:00Z'), Date.parse('2026-03-29T00:00Z'), 5, 'Asia/Kolkata').map(t => t.label)",
    )
    assert half == ["06:00", "12:00", "18:00", "29 Mar"]
    years = run(
        page,
        "format.js",
        "return m.timeTicks(Date.parse('2025-02-01T00:00Z'), Date.parse('2026-02-02T00:00Z'), 5, 'UTC').map(t => t.label)",
    )
    assert years == ["Apr", "Jul", "Oct", "2026"]


def test_ranges(page: Page) -> None:
    assert run(
        page,
        "range.js",
        "return [m.resolveRange({from: 'now-1h', to: 'now'}, 7200000), m.resolveRange({from: '2026-01-01T00:00:00Z', to: '1767229200000'}), m.resolveRange({from: 'now', to: 'now-1h'}), m.resolveRange({from: 'yesterday', to: 'now'})]",
    ) == [{"from": 3_600_000, "to": 7_200_000}, {"from": 1_767_225_600_000, "to": 1_767_229_200_000}, None, None]
    assert run(page, "range.js", "return m.normalise({from: '1767225600000', to: 'now'})") == {
        "from": "2026-01-01T00:00:00.000Z",
        "to": "now",
    }


COLUMNS = "[{name: 'time', type: 'timestamp'}, {name: 'site', type: 'text'}, {name: 't', type: 'number'}]"


def test_an_update_is_laid_over_by_key_and_twice_is_once(page: Page) -> None:
    rows = run(
        page,
        "frame.js",
        f"""
        const store = new m.FrameStore(), base = {{columns: {COLUMNS}, key: ['time', 'site'], every: 10}};
        store.apply({{...base, kind: 'snapshot', data: [[0, 0, 10], ['a', 'b', 'a'], [1, 2, 3]], from: 0, to: 20}});
        const update = {{...base, kind: 'update', data: [[10, 10, 20], ['a', 'b', 'a'], [30, 4, null]], from: 10, to: 20}};
        store.apply(update);
        const once = JSON.stringify(store.frame().data);
        store.apply(update);
        const twice = JSON.stringify(store.frame().data);
        store.slide(15);
        return [once === twice, store.frame().data, store.frame().from];""",
    )
    assert rows == [True, [[10, 10, 20], ["a", "b", "a"], [30, 4, None]], 0]


def test_records_are_newest_first_and_bounded(page: Page) -> None:
    ids = run(
        page,
        "frame.js",
        """
        const store = new m.FrameStore({limit: 3}), base = {columns: [{name: '_time', type: 'timestamp'}, {name: '_payload', type: 'text'}, {name: '_index', type: 'integer'}], key: ['_payload', '_index']};
        store.apply({...base, kind: 'snapshot', data: [[3, 2, 1], ['9', '8', '7'], [0, 0, 0]]});
        store.apply({...base, kind: 'update', data: [[3, 4], ['10', '11'], [0, 0]]});
        return store.frame().data[1];""",
    )
    assert ids == ["11", "10", "9"]


def test_stat_like_updates_replace(page: Page) -> None:
    assert run(
        page,
        "frame.js",
        "const s = new m.FrameStore(), c = [{name: 'n', type: 'integer'}]; s.apply({kind: 'snapshot', columns: c, data: [[1]]}); s.apply({kind: 'update', columns: c, data: [[2]]}); return s.frame().data",
    ) == [[2]]


def test_series_keep_their_place(page: Page) -> None:
    names = run(
        page,
        "frame.js",
        f"return m.seriesOf({{columns: {COLUMNS}, key: ['time', 'site'], data: [[1, 1], ['b', 'c'], [1, 2]]}}, ['a', 'c']).map(s => s.name)",
    )
    assert names == ["c", "b"]


def test_options_are_pure_and_two_units_get_two_axes(page: Page) -> None:
    result = run(
        page,
        "tiles.js",
        """
        const frame = {columns: [{name: 'time', type: 'timestamp'}, {name: 'temp', type: 'number', unit: '°C'}, {name: 'wind', type: 'number', unit: 'm/s'}], key: ['time'], every: 1000, data: [[0, 1000, 5000], [1, 2, 3], [4, null, 6]]};
        const theme = (await import('/assets/theme-values.js')).readTheme(), size = {width: 600, height: 200, from: 0, to: 6000, zone: 'UTC'};
        const before = JSON.stringify(frame);
        const options = m.options({kind: 'line', options: {}}, frame, theme, size);
        return [options.yAxis.length, options.series.map(s => [s.name, s.yAxisIndex, s.data.length]), before === JSON.stringify(frame)];""",
    )
    assert result == [2, [["temp", 0, 4], ["wind", 1, 4]], True]


def test_csv_quotes_and_disarms_formulas(page: Page) -> None:
    text = run(
        page,
        "export.js",
        "return m.toCsv({columns: [{name: 'time', type: 'timestamp'}, {name: 'a,b', type: 'text'}, {name: 'n', type: 'number'}], data: [[0, 1000, 2000], ['say \"hi\"', '=1+1', null], [-1.5, null, 0.1]]})",
    )
    assert (
        text
        == 'time,"a,b",n\r\n1970-01-01T00:00:00.000Z,"say ""hi""",-1.5\r\n1970-01-01T00:00:01.000Z,\'=1+1,\r\n1970-01-01T00:00:02.000Z,,0.1\r\n'
    )


def test_thresholds(page: Page) -> None:
    assert run(
        page,
        "theme-values.js",
        "const t = [{value: null, color: 'ok'}, {value: 10, color: 'warn'}, {value: 5, color: 'x'}]; return [3, 5, 12].map(v => m.thresholdFor(v, t).color).concat([m.thresholdFor(null, t)])",
    ) == ["ok", "x", "warn", None]
    assert run(
        page,
        "theme-values.js",
        "return [m.thresholdColor('url(x)', m.readTheme()), m.thresholdColor('#abc', m.readTheme())]",
    ) == [None, "#abc"]


BUCKETS = """{columns: [{name: 'time', type: 'timestamp'}, {name: 'site', type: 'text'}, {name: 'n', type: 'number'}],
  data: [[1000, 2000], ['a', 'b'], [1, 2]], ids: ['x', 'y'], from: 0, to: 3000, every: 1000, key: ['time', 'site']}"""


def test_a_slow_clock_takes_no_bucket_away_and_a_fixed_end_cuts_it(page: Page) -> None:
    body = f"const f = {BUCKETS}; return [true, false].map((open) => m.pointOf(f, 1, {{from: 1500, to: 1900, open}}))"
    kept, gone = run(page, "lineage.js", body)
    assert (kept["from"], kept["to"], kept["by"]) == (2000, 3000, {"site": "b"})
    assert gone is None


def test_chosen_columns_of_records_bring_their_origin_and_leave_it_out_of_what_is_taken_along(page: Page) -> None:
    asked, whole, kept, columns = run(
        page,
        "lineage.js",
        """const query = {pipeline: 'w', select: [{field: 'a'}, {field: '_index', as: 'place'}]}, asked = m.withOrigin(query);
        const own = {pipeline: 'w', select: [{field: '_payload'}, {field: '_index'}]};
        const names = ['_time', 'a', 'place', '_payload', '_index'];
        const left = m.withoutOrigin({columns: names.map((name) => ({name})), data: names.map((name) => [name])}, query);
        return [asked.select.map((one) => one.as ?? one.field), m.withOrigin({pipeline: 'w'}), m.withOrigin(own) === own, [left.columns.map((c) => c.name), left.data.flat()]]""",
    )
    assert asked == ["a", "place", "_payload", "_index"]
    # All columns are all there is.
    assert whole == {"pipeline": "w"}
    assert kept
    assert columns == [["_time", "a", "place"]] * 2


def test_the_end_of_a_calendars_bucket_is_left_to_the_server(page: Page) -> None:
    address = run(
        page,
        "lineage.js",
        f"const f = {{...{BUCKETS}, bucket: '1M', timezone: 'Europe/Oslo'}}; return [true, false].map((open) => m.recordsAddress({{pipeline: 'w'}}, m.pointOf(f, 0, {{from: 0, to: 9000, open}})))",
    )
    begin = "/pipelines/w?tab=records&from=1970-01-01T00%3A00%3A01.000Z"
    end = "&every=1M&timezone=Europe%2FOslo&by=%7B%22site%22%3A%22a%22%7D"
    assert address == [f"{begin}{end}", f"{begin}&to=1970-01-01T00%3A00%3A09.000Z{end}"]


def test_a_row_that_leads_nowhere_has_an_empty_cell(page: Page) -> None:
    cells = run(
        page,
        "tiles/table.js",
        f"""const {{lineage}} = await import('/assets/lineage.js');
        const made = m.table(document.body, {{query: {{pipeline: 'w'}}, options: {{}}}});
        const links = () => [...document.querySelectorAll('td.origin > a')].map((a) => [a.textContent, a.hasAttribute('href')]);
        const seen = [];
        for (const to of [1900, 9000, 1900]) {{ made.draw({BUCKETS}, {{lineage, from: 0, to}}); seen.push(links()); }}
        return seen""",
    )
    # The newest comes first, and lies after what is visible.
    cut = [["", False], ["Records", True]]
    assert cells == [cut, [["Records", True], ["Records", True]], cut]


def test_a_tile_that_cannot_be_drawn_takes_no_other_with_it(open_page: OpenPage) -> None:
    page = open_page("/bare", forgive=("could not be drawn",))
    drawn = run(
        page,
        "dashboard.js",
        f"""const {{RENDERERS}} = await import('/assets/tiles.js');
        const seen = [];
        for (const kind of ['broken', 'sound']) RENDERERS[kind] = () => ({{dispose() {{}}, draw() {{ if (kind === 'broken') throw new TypeError('no'); seen.push(kind); }}}});
        for (const kind of ['broken', 'sound']) {{
          const box = document.body.appendChild(document.createElement('div'));
          m.mountTile(box, {{id: kind, kind, title: kind}}, {{frame: {BUCKETS}}});
        }}
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        return seen.length > 0""",
    )
    assert drawn is True
