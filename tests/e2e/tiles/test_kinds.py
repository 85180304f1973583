"""What the kinds of tile make of frames: the pure functions in Chromium, and the gallery of all kinds and states."""
# ruff: noqa: E501 - JavaScript in strings

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.tiles.conftest import OpenPage

#: The hostile text of the gallery has a handler that the page's policy refuses, and says so.
REFUSED = ("Executing inline event handler",)


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page("/bare")


def run(page: Page, module: str, body: str) -> Any:
    return page.evaluate(f"async () => {{ const m = await import('/assets/{module}'); {body} }}")


FRAME = """
const time = {name: 'time', type: 'timestamp'};
const made = (columns, rows, more = {}) => ({columns, data: columns.map((_, c) => rows.map((row) => row[c])), ids: rows.map((_, r) => String(r)), key: [], every: null, from: 0, to: 6000, ...more});
const theme = (await import('/assets/theme-values.js')).readTheme();
const size = (more) => ({width: 600, height: 240, from: 0, to: 6000, zone: 'UTC', ...more});
"""


def test_lines_of_two_queries_and_of_earlier(page: Page) -> None:
    result = run(
        page,
        "tiles.js",
        FRAME
        + """
        const line = (name, unit, points) => made([time, {name, type: 'number', unit}], points, {every: 1000, key: ['time']});
        const power = line('power', 'W', [[0, 100], [1000, 300]]);
        const frames = [{name: 'Ride', frame: power, shift: 0}, {name: '', frame: line('power', 'W', [[0, 7]]), shift: 0}, {name: 'Ride', frame: line('power', 'W', [[-5000, 50], [-4000, 60]]), shift: 5000, earlier: true}];
        const tile = {kind: 'line', options: {series: {power: {axis: 'right', label: 'Other', color: 'red', steps: true}}}};
        const {series, yAxis, facts} = m.options(tile, power, theme, size({frames, compare: '1d'}));
        return [series.map((s) => [s.id, s.yAxisIndex, s.step, s.data]), yAxis.length, facts.legend.map((e) => e.label), series[2].lineStyle.type, series[0].color === series[2].color];""",
    )
    assert result == [
        [
            ["Ride", 0, False, [[0, 100], [1000, 300]]],
            ["power", 1, "end", [[0, 7]]],
            ["Ride\u0000earlier", 0, False, [[0, 50], [1000, 60]]],
        ],
        2,
        ["Ride", "Other"],
        [4, 4],
        True,
    ]


def test_hourly_data_in_finer_buckets_is_a_line_and_a_missing_hour_a_gap(page: Page) -> None:
    result = run(
        page,
        "frame.js",
        "const hour = 3600e3; return m.withGaps([0, 1, 2, 3, 6, 7].map((h) => [h * hour, h]), 300e3).map(([at, v]) => [at / hour, v]);",
    )
    assert [value for _, value in result] == [0, 1, 2, 3, None, 6, 7]


def test_a_tile_pales_what_was_not_clicked_on_and_is_not_filtered_itself(page: Page) -> None:
    result = run(
        page,
        "tiles.js",
        FRAME
        + """
        const frame = made([{name: 'site', type: 'text'}, {name: 'n', type: 'number'}], [['Oslo', 3], ['Bergen', 2]]);
        const filters = [{field: 'site', op: '=', value: 'Bergen'}];
        const tile = (kind, more) => ({kind, query: {by: ['site'], ...more}});
        const bars = m.options(tile('bar'), frame, theme, size({filters})).series[0].data.map((d) => [d.raw, d.itemStyle?.opacity ?? 1]);
        const slices = m.options(tile('pie'), frame, theme, size({filters})).series[0].data.map((d) => [d.name, d.itemStyle.opacity]);
        const [filter] = filters;
        return [bars, slices, m.picks(tile('bar'), filter), m.picks(tile('bar', {every: '1h'}), filter), m.picks(tile('table'), filter), m.picks(tile('pie'), {...filter, op: '!='})];""",
    )
    assert result == [[[3, 0.25], [2, 1]], [["Oslo", 0.25], ["Bergen", 1]], True, False, False, False]


def test_shares_and_logarithms(page: Page) -> None:
    result = run(
        page,
        "tiles.js",
        FRAME
        + """
        const frame = made([time, {name: 'a', type: 'number'}, {name: 'b', type: 'number'}], [[0, 1, 3], [1000, 0, 0], [2000, -1, 2]], {every: 1000, key: ['time']});
        const shares = m.options({kind: 'line', options: {stacked: 'percent'}}, frame, theme, size());
        const log = m.options({kind: 'line', options: {log: true, min: 0.1}}, frame, theme, size());
        return [shares.series.map((s) => s.data.map((p) => p[1])), shares.yAxis[0].max, log.yAxis[0].type, log.yAxis[0].min, log.series[0].data.map((p) => p[1])];""",
    )
    assert result == [[[25, 0, -100 / 3], [75, 0, 200 / 3]], 100, "log", 0.1, [1, None, None]]


def test_bars_beside_each_other_and_as_shares(page: Page) -> None:
    result = run(
        page,
        "tiles.js",
        FRAME
        + """
        const frame = made([{name: 'site', type: 'text'}, {name: 'a', type: 'number'}, {name: 'b', type: 'number'}], [['x', 1, 3], ['y', 6, 2]], {key: ['site']});
        const grouped = m.options({kind: 'bar', options: {stacked: 'none', orientation: 'vertical'}}, frame, theme, size());
        const shares = m.options({kind: 'bar', options: {stacked: 'percent', sorted: false}}, frame, theme, size());
        return [grouped.series.map((s) => s.stack ?? null), grouped.xAxis[0].data, shares.xAxis[0].data, shares.series.map((s) => s.data.map((d) => d.value)), grouped.facts.pick({seriesIndex: 1, dataIndex: 0})];""",
    )
    assert result == [
        [None, None],
        ["y", "x"],
        ["x", "y"],
        [[25, 75], [75, 25]],
        {"name": "y", "by": {"site": "y"}, "value": 2, "row": None},
    ]


def test_what_a_stat_is_compared_with(page: Page) -> None:
    result = run(
        page,
        "tiles/stat.js",
        """const words = {words: 'a day before', short: 'a day before', at: null};
        const change = (value, then, unit, wanted = {}) => { const {text, way} = m.change({value, unit}, then === undefined ? null : {value: then, ...words}, wanted, 'UTC'); return [text, way]; };
        return [change(120, 100), change(8, 10, '°C'), change(5, 5), change(5, null), change(null, 5), change(5, undefined), change(3, 0), [m.compares({options: {compare: '1w'}}, '1d'), m.compares({options: {compare: 'none'}}, '1d'), m.compares({}, null)]]""",
    )
    assert result == [
        ["↑ +20.0% vs a day before", 1],
        ["↓ -2\u00a0°C vs a day before", -1],
        ["→ no change vs a day before", 0],
        ["Nothing a day before", 0],
        ["", 0],
        ["", 0],
        ["↑ +3 vs a day before", 1],
        ["1w", "1d", None],
    ]


def test_arcs_slices_hours_and_stretches(page: Page) -> None:
    assert run(
        page,
        "tiles/gauge.js",
        FRAME
        + "return [m.arcs([{value: 50, color: 'green'}, {value: 200, color: 'red'}], 0, 100, theme).map(([to]) => to), m.arcs([], 0, 1, theme).length, m.layout(4, 800, 200).columns, m.layout(4, 200, 800).columns]",
    ) == [[0.5, 1], 1, 4, 1]
    assert run(
        page,
        "tiles/pie.js",
        FRAME
        + """const frame = made([{name: 'r', type: 'text'}, {name: 'n', type: 'integer'}], [['a', 1], ['b', 9], ['c', 2], ['d', -4], ['e', null], ['f', 3]], {key: ['r']});
        const {slices, left} = m.slices(frame, 2); return [slices.map((s) => [s.name, s.value]), left]""",
    ) == [[["b", 9], ["f", 3], ["other", 3]], 1]
    # Thursday 1 January 1970, one o'clock in Oslo; twice with a week between.
    assert run(
        page,
        "tiles/heatmap.js",
        "return [m.byHour([[0, 2], [604800000, 4], [3600000, null]], 'Europe/Oslo'), m.ends([2, 9]), m.ends([8, 9]), m.ends([-1, 4], 'diverging')]",
    ) == [[[1, 3, 3, 2]], [0, 9], [8, 9], [-4, 4]]
    assert run(
        page,
        "tiles/state.js",
        FRAME
        + """const frame = made([time, {name: 'd', type: 'text'}, {name: 's', type: 'boolean'}], [[0, 'x', true], [1000, 'x', true], [2000, 'x', false], [4000, 'x', false], [5000, 'x', null]], {every: 1000, key: ['time', 'd']});
        return m.stretches(frame).stretches.map((s) => [s.from, s.to, s.value])""",
    ) == [[0, 2000, True], [2000, 3000, False], [4000, 5000, False]]


def test_points_have_a_place_on_earth(page: Page) -> None:
    result = run(
        page,
        "tiles/map.js",
        FRAME
        + """const frame = made([{name: 'Latitude', type: 'number'}, {name: 'lng', type: 'number'}, {name: 'mag', type: 'number'}], [[10, 20, 5], [10.4, 20.2, 7], [91, 0, 1], [null, 1, 1], [-17, -178, 6]]);
        const {points, left} = m.pointsOf(frame, {});
        const world = m.fromTopology(await (await fetch('/assets/tiles/world.json')).json());
        const spans = world.features.flatMap((f) => f.geometry.coordinates.flat()).map((ring) => ring.slice(1).every(([x], i) => Math.abs(x - ring[i][0]) < 180 || Math.abs(ring[i][1]) === 90));
        return [points.map((p) => [p.lon, p.value]), left, m.clustered(points, 5).map((p) => p.count ?? 1), m.reach(points.slice(0, 2)).map(Math.round), world.features.length, spans.every(Boolean), m.lacks(frame, {options: {lat: 'y'}}), m.lacks(frame, {})]""",
    )
    assert result == [
        [[20, 5], [20.2, 7], [182, 6]],
        2,
        [2, 1],
        [20, 20, 10, 11],
        241,
        True,
        "A column of numbers named “y”",
        None,
    ]


def test_filters_above_columns(page: Page) -> None:
    result = run(
        page,
        "tiles/column-filter.js",
        """const where = (text, type, field = 'f') => { const c = m.parseFilter(text, type); return typeof c === 'string' || !c ? c : m.toWhere(field, c); };
        const meets = (value, text, type) => m.meets(value, m.parseFilter(text, type));
        return [where("50% o'clock", 'text'), where('!Oslo', 'text'), where('>= 5', 'number'), where('2..8', 'integer'), where('five', 'number'), where('no', 'boolean', 'a b'), where('empty', 'text'), where(' ', 'text'),
          meets('Oslo', 'OS', 'text'), meets(5, '>5', 'number'), meets(null, '!x', 'text'), meets(null, 'empty', 'text'), meets(3, '2..8', 'number')]""",
    )
    assert result == [
        "f ilike '%50\\% o''clock%'",
        "f != 'Oslo'",
        "f >= 5",
        "f >= 2 and f <= 8",
        "a number, such as >5, <= 3 or 2..8",
        '"a b" = false',
        "f is null",
        None,
        *(True, False, False, True, True),
    ]


def test_values_in_texts_and_addresses(page: Page) -> None:
    result = run(
        page,
        "interpolate.js",
        """const v = {site: ['Oslo', 'Bø & co'], one: 'a/b', all: '$__all', toString: undefined};
        return [m.interpolate('${site}, ${all}, ${none}', v), m.address('/d/x?var-site=${site}&at=${one}', v), m.address('javascript:alert(1)', v), m.address('${one}:alert', {one: 'javascript'}), m.address('https://example.org/${one}?q=${all}', v), m.linksOf([{title: 'To ${one}', url: '/a'}, {url: 'data:x'}, null ?? {}], v)]""",
    )
    assert result == [
        "Oslo, Bø & co, All, ${none}",
        "/d/x?var-site=Oslo&var-site=B%C3%B8%20%26%20co&at=a%2Fb",
        None,
        None,
        "https://example.org/a%2Fb?q=%24__all",
        [{"text": "To a/b", "href": "/a"}],
    ]


def test_the_gallery_shows_every_kind_and_state(open_page: OpenPage) -> None:
    page = open_page("/gallery", forgive=REFUSED, height=4000)
    page.wait_for_function(
        "() => tiles.every((t) => t.painted || t.tile.title === 'Waiting') && tiles.every((t) => !t.renderer?.ready || t.renderer.chart)"
    )
    states = page.evaluate("Object.fromEntries(tiles.map((t) => [t.tile.title, t.element.dataset.state]))")
    wrong = {title for title, state in states.items() if state == "problem"}
    assert wrong == {title for title in states if title.startswith("Does not fit")} | {"Wrong", "Unknown kind"}
    assert [title for title, state in states.items() if state in {"waiting", "empty"}] == ["Waiting", "Empty"]
    assert page.evaluate("window.hacked") is None
    assert page.locator(".tile img, .tile script").count() == 0

    def tile(title: str) -> Any:
        return page.locator(".tile", has=page.locator("h3", has_text=title)).first

    # Text: cleaned, values put in as text and into addresses.
    text = tile("On call at Oslo, Bergen")
    expect(text.locator("code").first).to_have_text("Oslo, Bergen")
    expect(text.locator("a", has_text="runbook")).to_have_attribute(
        "href", "https://example.org/runbook?site=Oslo&site=Bergen"
    )
    # A misfit names what is missing, what is needed and what came.
    misfit = tile("Does not fit: line").locator(".tile-state")
    expect(misfit).to_contain_text("A time is missing here")
    expect(misfit).to_contain_text("region (text), count (integer)")
    # Table: sorted by key, filtered, paged.
    shops = tile("Shops")
    shops.get_by_role("button", name="orders").press("Enter")
    expect(shops.locator("th[aria-sort=descending]")).to_have_text("orders")
    top = shops.locator("tbody tr").first.locator("td").last
    assert int(top.inner_text()) > 850
    shops.get_by_role("button", name="Next page").click()
    expect(shops.locator(".table-note")).to_have_text("26–50 of 130")
    shops.get_by_role("button", name="Filter").click()
    shops.get_by_label("Filter site").fill("shop 12")
    expect(shops.locator(".table-note")).to_have_text("11 rows (filtered from 130)")
    # Legend as a table: sorted by its heads, a press hides a series.
    legend = tile("Legend as a table").locator(".legend")
    legend.get_by_role("button", name="Max").click()
    expect(legend.locator("tbody tr .legend-item span").nth(1)).to_have_text("Tromsø")
    legend.get_by_role("button", name="Oslo").click()
    expect(legend.get_by_role("button", name="Oslo")).to_have_attribute("aria-pressed", "false")
    # Annotations: those of this tile, with their text on hover.
    annotated = tile("Annotated")
    expect(annotated.locator(".annotation-mark")).to_have_count(3)
    annotated.locator(".annotation-mark").first.focus()
    expect(annotated.locator(".annotation-tip")).to_contain_text("Version 4.2 rolled out")
    # A press on a slice filters; the menu of a point has links with its value, filters, and a place for words.
    box = tile("Pie").locator("canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 + 70, box["y"] + box["height"] / 2 - 20)
    page.wait_for_function("() => filtered.length")
    assert page.evaluate("filtered")[0] == ["region", "Kamchatka Peninsula, Russia", False]
    line = tile("Lines, gaps, thresholds")
    box = line.locator("canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 60)
    menu = line.locator(".point-menu")
    expect(menu.get_by_role("button", name="Annotate here")).to_be_visible()
    expect(menu.locator("a", has_text="Look at")).to_have_attribute(
        "href",
        "/somewhere?site=Oslo&site=Bergen&at="
        + str(page.evaluate("Date.parse('2026-03-11T14:30:00Z')"))
        + "&v="
        + menu.locator("a", has_text="Look at").inner_text().removeprefix("Look at "),
    )
    menu.get_by_role("button", name="Annotate here").click()
    assert page.evaluate("annotated[0][2]") == 0


def test_a_tile_can_be_taken_as_a_picture(open_page: OpenPage) -> None:
    page = open_page("/gallery", forgive=REFUSED, height=4000)
    page.wait_for_function("() => tiles.slice(0, 30).every((t) => t.painted)")
    for title in ("Pie", "Shops", "Stats by site"):
        box = page.locator(".tile", has=page.locator("h3", has_text=title)).first
        box.hover()
        box.locator("summary").click()
        with page.expect_download() as waiting:
            box.get_by_role("button", name="Download PNG").click()
        assert waiting.value.path().read_bytes()[:4] == b"\x89PNG"
        # More than a blank sheet: the picture has many colours.
        colours = page.evaluate(
            """async (title) => { const {imageOf} = await import('/assets/tile-image.js'); const blob = await imageOf(tiles.find((t) => t.tile.title === title));
            const bitmap = await createImageBitmap(blob); const c = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d'); c.drawImage(bitmap, 0, 0);
            const d = c.getImageData(0, 0, bitmap.width, bitmap.height).data; const seen = new Set(); for (let i = 0; i < d.length; i += 16) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return seen.size; }""",
            title,
        )
        assert colours > 20


def test_another_version_of_a_tile_is_drawn_with_the_rows_that_are_there(open_page: OpenPage) -> None:
    page = open_page("/gallery", forgive=REFUSED, height=4000)
    page.wait_for_function("() => tiles[0].renderer.chart && tiles[0].painted")
    page.evaluate("tiles[0].document({...tiles[0].tile, title: 'Now ${site}', options: {area: true, unit: 'K'}})")
    expect(page.locator(".tile h3").first).to_have_text("Now Oslo, Bergen")
    page.wait_for_function("() => tiles[0].renderer.chart.getOption().series[0].areaStyle?.opacity === 0.12")
    page.evaluate("tiles[0].document({...tiles[0].tile, kind: 'bar'})")
    page.wait_for_function("() => tiles[0].renderer.chart?.getOption()?.series[0]?.type === 'custom'")
    assert page.evaluate("tiles[0].element.dataset.kind") == "bar"
    page.evaluate("tiles[0].setParameters({variables: {site: 'Bergen'}})")
    expect(page.locator(".tile h3").first).to_have_text("Now Bergen")


COUNTED = (
    FRAME
    + """
const counted = (rows, more = {}) => made([time, {name: 'site', type: 'text'}, {name: 'n', type: 'integer'}], rows, {every: 1000, key: ['time', 'site'], from: 500, to: 4200, ...more});
const asking = (agg, kind, options = {}) => ({kind, options, query: {every: '1s', by: ['site'], select: [agg === 'count' ? {agg, as: 'n'} : {agg, field: 'x', as: 'n'}]}});
const rows = [[0, 'a', 2], [1000, 'a', 9], [2000, 'a', 8], [3000, 'a', 9], [4000, 'a', 1]];
"""
)


def test_what_is_counted_does_not_seem_to_fall_in_a_bucket_that_is_cut_off(page: Page) -> None:
    lines, mean, bars, opacity = run(
        page,
        "tiles.js",
        COUNTED
        + """
        const drawn = (agg, kind) => m.options(asking(agg, kind), counted(rows), theme, size({from: 500, to: 4200, now: 4200})).series;
        const {renderItem} = drawn('sum', 'bar')[0];
        const painted = (cut) => renderItem({coordSys: {x: 0, y: 0, width: 600, height: 200}}, {coord: ([x, y]) => [x, 200 - y], visual: () => 'red', value: (place) => [500, 0, 9, 9, 0, 400, 9, cut][place]}).style.opacity;
        return [drawn('count', 'line').map((s) => [s.lineStyle.type, s.data]), drawn('avg', 'line').map((s) => s.data.length), drawn('sum', 'bar').map((s) => s.data.map((d) => d[7])), [painted(0), painted(1)]]""",
    )
    assert lines == [
        ["solid", [[1000, 9], [2000, 8], [3000, 9]]],
        [[2, 3], [[0, 2], [1000, 9], [2000, None], [3000, 9], [4000, 1]]],
    ]
    assert mean == [5]
    assert bars == [[1, 0, 0, 0, 1]]
    assert opacity == [1, 0.45]


def test_a_stat_holds_whole_buckets_against_each_other(page: Page) -> None:
    full, at_rest, mean = run(
        page,
        "tiles/stat.js",
        COUNTED
        + """
        const whole = (agg, more) => { const frame = counted(rows); const {value, at, points, soFar} = m.wholeFigure(m.figures(frame)[0], frame, asking(agg).query, more); return [value, at, points.length, Boolean(soFar)]; };
        return [whole('count', {to: 4200, now: 4200}), whole('count', {to: 5000, now: 9000}), whole('avg', {to: 4200, now: 4200})]""",
    )
    assert full == [9, 3000, 3, True]
    assert at_rest == [1, 4000, 4, False]
    assert mean == [1, 4000, 5, False]


def test_a_month_is_as_long_as_the_calendar_says(page: Page) -> None:
    ends = run(
        page,
        "tiles/cut.js",
        """const end = (at, bucket) => new Date(m.bucketEnd(Date.parse(at), {every: 2629746000, bucket})).toISOString();
        return [end('2026-01-31T23:00:00Z', '1M'), end('2026-01-01T08:00:00Z', '1M'), end('2024-01-01T00:00:00Z', '1y'), m.bucketEnd(0, {every: 60000, bucket: '1m'})]""",
    )
    # February in Berlin, January in Los Angeles, a leap year.
    assert ends == ["2026-02-28T23:00:00.000Z", "2026-02-01T08:00:00.000Z", "2025-01-01T00:00:00.000Z", 60000]


def test_a_stack_is_compared_with_all_of_it_earlier(page: Page) -> None:
    line, bar, shares = run(
        page,
        "tiles.js",
        COUNTED
        + """
        const now = counted([[1000, 'a', 3], [1000, 'b', 4], [2000, 'a', 5]], {from: 0, to: 3000});
        const then = counted([[-9000, 'a', 1], [-9000, 'gone', 6], [-8000, 'b', 2]], {from: -10000, to: -7000});
        const asked = (kind, options, hidden = new Set()) => { const tile = asking('sum', kind, options); const frames = [{name: '', query: tile.query, frame: now, shift: 0}, {name: '', query: tile.query, frame: then, shift: 10000, earlier: true}]; return m.options(tile, now, theme, size({to: 3000, frames, compare: '1d', hidden})).series.at(-1); };
        const stacked = {stacked: 'normal'};
        return [[asked('line', stacked), asked('line', stacked, new Set(['a']))].map((s) => [s.stack ?? null, s.data]), asked('bar', stacked).data.map((d) => [d[1], d[2]]), [m.comparesWith({kind: 'line', options: {stacked: 'percent'}}, '1d'), m.comparesWith(asking('sum', 'bar', {stacked: 'percent'}), '1d'), m.comparesWith(asking('sum', 'bar', stacked), '1d')]]""",
    )
    # A group that is there no more counts as well; one that is hidden does not.
    assert line == [[None, [[1000, 7], [2000, 2]]], [None, [[1000, 6], [2000, 2]]]]
    assert bar == [[0, 7], [0, 2]]
    assert shares == [None, None, "1d"]
