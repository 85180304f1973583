"""The dashboard in Chromium against the harness: kinds, states, updates, reconnecting, range, hostile text, phone."""
# ruff: noqa: E501 - JavaScript in strings

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.tiles.conftest import OpenPage
from tests.e2e.tiles.harness import HOSTILE, Server

DRAWN = (
    "[1,2,3,4,5,6,7,8].every(i => dashboard.tile(i)?.element.dataset.state === 'drawn' && dashboard.tile(i).painted)"
)


def drawn(page: Page) -> Page:
    # Functions, not expressions: those are evaluated anew at each look, which the page's security policy forbids.
    page.wait_for_function(f"() => {DRAWN}")
    return page


def tile(page: Page, title: str) -> Locator:
    return page.locator(".tile", has=page.locator("h3", has_text=title)).first


def eventually(page: Page, true: Callable[[], bool]) -> None:
    """Wait for something on the server's side, while the page goes on running."""
    for _ in range(200):
        if true():
            return
        page.wait_for_timeout(50)
    pytest.fail("It did not happen within ten seconds")


def option(page: Page, number: int) -> str:
    """The chart's options as a JavaScript expression."""
    return f"dashboard.tile({number}).renderer.chart.getOption()"


def test_all_kinds_are_drawn_and_text_stays_text(open_page: OpenPage) -> None:
    page = drawn(open_page())
    expect(tile(page, "Temperature by site").locator(".legend-item")).to_have_count(4)
    expect(tile(page, "Temperature by site").locator(".legend-item span").nth(2)).to_have_text(HOSTILE)
    expect(tile(page, "Temperature by site").locator(".tile-unit")).to_have_text("°C")
    expect(tile(page, "Records in all").locator(".stat-number")).to_have_text("1,284,312")
    expect(tile(page, "Last records").locator("thead")).to_contain_text("temp °C")
    expect(tile(page, "Last records").locator("tbody tr")).to_have_count(100)
    box = tile(page, "Temperature by site").locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 60)
    expect(page.locator(".tip-row")).to_have_count(4)
    expect(tile(page, "Bytes received").locator(".crosshair")).to_be_visible()
    assert page.locator("img, .tile script, .tip script").count() == 0
    assert page.evaluate("window.hacked") is None


MOVING = """() => [...document.querySelectorAll('*')].filter((each) => {
    const {transitionDuration, animationName} = getComputedStyle(each);
    return animationName !== 'none' || transitionDuration.split(', ').some((time) => parseFloat(time) > 0);
}).map((each) => each.className)"""


def test_who_asks_for_less_motion_gets_none(open_page: OpenPage) -> None:
    page = open_page("/parts", width=390)
    page.evaluate("document.body.append(Object.assign(document.createElement('div'), {className: 'skeleton'}))")
    page.emulate_media(reduced_motion="no-preference")
    assert {"rail", "skeleton"} <= set(page.evaluate(MOVING))
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(MOVING) == []


def test_missing_buckets_break_the_line(open_page: OpenPage) -> None:
    page = drawn(open_page())
    breaks = page.evaluate(f"{option(page, 4)}.series.map(s => s.data.filter(p => (p.value ?? p)[1] === null).length)")
    assert breaks == [1, 2, 1, 1]
    assert page.evaluate(f"{option(page, 7)}.series[0].data.every(p => (p.value ?? p)[1] !== null)")


def test_stacked_bars_stand_on_each_other_and_hiding_one_lets_the_rest_down(open_page: OpenPage) -> None:
    page = drawn(open_page())
    bottoms = f"{option(page, 6)}.series.map(s => s.data.at(-1))"
    first, second, *_ = page.evaluate(bottoms)
    assert first[1] == 0
    assert second[1] == first[2]
    assert second[2] == second[1] + second[3]
    tile(page, "Records by site").locator(".legend-item").first.click()
    hidden, lowered, *_ = page.evaluate(bottoms)
    assert hidden is None
    assert lowered[1] == 0


def test_states_say_what_is_the_matter(open_page: OpenPage) -> None:
    page = drawn(open_page())
    expect(tile(page, "Nothing here").locator(".tile-state")).to_contain_text("Last record 3 h ago")
    expect(tile(page, "Wrong field").locator(".tile-state")).to_contain_text("Did you mean “temp”?")
    expect(tile(page, "Still coming").locator(".skeleton").first).to_be_visible()
    expect(tile(page, "Refused").locator(".tile-state")).to_contain_text("No such pipeline")


def test_try_again_asks_again(open_page: OpenPage, server: Server) -> None:
    page = drawn(open_page())
    asked = sum(a.get("query", {}).get("pipeline") == "broken" for a in server.state.asked)
    tile(page, "Wrong field").get_by_role("button", name="Try again").click()
    expect(tile(page, "Wrong field").locator(".tile-state")).to_contain_text("Did you mean")
    eventually(
        page, lambda: sum(a.get("query", {}).get("pipeline") == "broken" for a in server.state.asked) == asked + 1
    )


def test_updates_arrive_and_a_burst_is_one_repaint(open_page: OpenPage, server: Server) -> None:
    page = drawn(open_page())
    newest = tile(page, "Last records").locator("tbody tr td").first
    before = newest.inner_text()
    server.state.moving = True
    page.wait_for_function(
        "t => document.querySelector('.tile[data-kind=table] tbody td').textContent !== t", arg=before
    )
    expect(tile(page, "Last records").locator("tbody tr")).to_have_count(100)
    server.state.moving = False
    calls = page.evaluate("""async () => {
        const tile = dashboard.tile(7), chart = tile.renderer.chart, original = chart.setOption;
        const receive = tile.receive.bind(tile);
        tile.receive = () => {};  // what the server had sent before it was told to stop may still come
        let calls = 0;
        chart.setOption = (...args) => { calls += 1; return original.apply(chart, args); };
        const at = tile.store.frame().data[0].at(-1);
        await new Promise(requestAnimationFrame);
        calls = 0;
        for (let i = 0; i < 50; i += 1) receive({kind: 'update', columns: tile.store.columns, data: [[at], [1e6 + i]], every: tile.store.every, key: ['time'], at});
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        chart.setOption = original;
        return [calls, tile.store.frame().data[1].at(-1), chart.getOption().series[0].data.at(-1)[1]];
    }""")
    assert calls == [1, 1_000_049, 1_000_049]


def test_a_missed_update_is_made_good_by_a_fresh_snapshot(open_page: OpenPage, server: Server) -> None:
    page = drawn(open_page())
    known = len(server.state.asked)
    server.state.moving = True
    total = tile(page, "Records in all").locator(".stat-number")
    expect(total).not_to_have_text("1,284,312")
    server.state.skip_next = True
    eventually(
        page,
        lambda: any(
            a["op"] == "subscribe" and a["query"].get("pipeline") == "total" for a in server.state.asked[known:]
        ),
    )


def test_a_restarted_server_is_found_again(open_page: OpenPage, server: Server) -> None:
    page = drawn(open_page(forgive=("WebSocket connection", "ERR_CONNECTION_REFUSED")))
    before = page.evaluate("dashboard.tile(7).store.frame().data[0].length")
    server.stop()
    expect(page.locator(".connection")).to_have_text("Reconnecting…")
    assert page.evaluate(DRAWN), "what was drawn stays while the server is away"
    # What came and went meanwhile is a hole, until the snapshot after reconnecting fills it.
    page.evaluate(
        "() => { const s = dashboard.tile(7).store; for (const id of [...s.rows.keys()].slice(-40)) s.rows.delete(id); s.ordered = null; }"
    )
    server.start()
    expect(page.locator(".connection")).to_have_text("")
    page.wait_for_function("n => dashboard.tile(7).store.frame().data[0].length >= n", arg=before)
    server.state.moving = True
    expect(tile(page, "Records in all").locator(".stat-number")).not_to_have_text("1,284,312")


def test_the_range_is_in_the_address_and_back_goes_back(open_page: OpenPage, server: Server) -> None:
    page = drawn(open_page())
    page.locator(".range-menu summary").click()
    page.get_by_role("button", name="Last 6 hours").click()
    page.wait_for_url("**?from=now-6h&to=now")
    page.wait_for_function("() => dashboard.tile(4).store.to - dashboard.tile(4).store.from === 6 * 3600e3")
    page.go_back()
    expect(page.locator(".range-menu summary")).to_have_text("Last 24 hours")
    assert {"from": "now-6h", "to": "now"} in [a.get("range") for a in server.state.asked]
    assert all(
        "from" not in a["query"] and a["timezone"] == "Europe/Oslo"
        for a in server.state.asked
        if a["op"] == "subscribe"
    )


def test_two_dates_in_the_viewers_zone(open_page: OpenPage) -> None:
    page = drawn(open_page("/dashboard?zone=America/New_York"))
    page.locator(".range-menu summary").click()
    page.get_by_label("From").fill("2026-01-10T08:00:00")
    page.get_by_label("To", exact=True).fill("2026-01-10T07:00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("The end must come after the start.")
    page.get_by_label("To", exact=True).fill("2026-01-10T12:00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_function(
        "() => dashboard.range().from === '2026-01-10T13:00:00.000Z' && dashboard.range().to === '2026-01-10T17:00:00.000Z'"
    )


def test_dragging_zooms_all_tiles_and_a_double_click_goes_back(open_page: OpenPage) -> None:
    page = drawn(open_page())
    canvas = tile(page, "Temperature by site").locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 90, steps=4)
    expect(tile(page, "Temperature by site").locator(".zoom-band")).to_be_visible()
    page.mouse.up()
    page.wait_for_function("() => /^\\d{4}-.*Z$/.test(dashboard.range().from)")
    page.wait_for_function("() => [4,6,7].every(i => dashboard.tile(i).store.to === Date.parse(dashboard.range().to))")
    span = page.evaluate("Date.parse(dashboard.range().to) - Date.parse(dashboard.range().from)")
    assert 3.5 * 3_600_000 < span < 6.5 * 3_600_000
    canvas.dblclick(position={"x": box["width"] / 2, "y": 90})
    page.wait_for_function("() => dashboard.range().from === 'now-24h'")


def test_paused_holds_still_and_live_fetches_what_was_missed(open_page: OpenPage, server: Server) -> None:
    page = drawn(open_page())
    page.get_by_role("button", name="Live").click()
    page.wait_for_url("**live=off*")
    page.wait_for_function("() => [1,2,4,8].every(i => dashboard.tile(i).subscription === null)")
    held = page.evaluate("JSON.stringify(dashboard.tile(4).window())")
    assert page.evaluate("JSON.stringify(dashboard.tile(4).window())") == held
    topic = next(t for t in server.state.topics.values() if t.request["query"].get("pipeline") == "total")
    topic.seq += 1000
    page.get_by_role("button", name="Paused").click()
    expect(tile(page, "Records in all").locator(".stat-number")).to_have_text("1,285,312")


def test_charts_follow_the_theme(open_page: OpenPage) -> None:
    page = drawn(open_page())
    light = page.evaluate(f"{option(page, 7)}.series[0].color")
    page.evaluate("document.documentElement.setAttribute('data-theme', 'dark')")
    page.wait_for_function(f"() => {option(page, 7)}.series[0].color !== '{light}'")
    assert page.evaluate(f"{option(page, 7)}.series[0].color") == page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--series-1').trim()"
    )


def test_data_can_be_seen_and_taken_away(open_page: OpenPage) -> None:
    page = drawn(open_page())
    box = tile(page, "Last records")
    box.hover()
    box.locator("summary").click()
    box.get_by_role("button", name="View data").click()
    dialog = page.locator("dialog[open]")
    expect(dialog.locator("tbody tr")).to_have_count(100)
    with page.expect_download() as waiting:
        dialog.get_by_role("button", name="Download CSV").click()
    text = waiting.value.path().read_bytes().decode()
    assert text.startswith("_time,_received,_payload,_index,site,temp,visits,open\r\n")
    assert text.count("\r\n") == 101
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_leaving_ends_every_subscription(open_page: OpenPage, server: Server) -> None:
    page = drawn(open_page())
    page.evaluate("dashboard.destroy()")
    page.wait_for_function("() => document.querySelectorAll('.tile').length === 0")
    eventually(page, lambda: not any(topic.viewers for topic in server.state.topics.values()))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/dashboard", "/parts"])
def test_a_phone_gets_one_column_and_a_closed_drawer(open_page: OpenPage, path: str, scheme: str) -> None:
    page = open_page(path, width=390, height=844, scheme=scheme)
    expect(page.locator(".tile[data-state=drawn]").first).to_be_visible()
    expect(page.locator(".rail")).not_to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    if path == "/dashboard":
        # Single numbers stand two by two.
        widths = page.evaluate(
            "[true, false].map((pair) => [...new Set([...document.querySelectorAll('.tile')].filter((t) => t.hasAttribute('data-pair') === pair).map((t) => t.getBoundingClientRect().width))])"
        )
        assert widths == [[175], [358]]
    page.get_by_role("button", name="Menu").click()
    expect(page.locator(".rail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".rail")).not_to_be_visible()


def test_lists_show_names_as_text_and_times_that_tick(open_page: OpenPage) -> None:
    page = open_page("/parts")
    rows = page.locator("#pipelines tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.nth(2).locator("td").first).to_have_text(HOSTILE)
    expect(rows.nth(4)).to_contain_text("Never")
    expect(page.locator("#records tbody tr")).to_have_count(100)
    first = rows.first.locator("time").inner_text()
    page.wait_for_function("t => document.querySelector('#pipelines time').textContent !== t", arg=first)
    assert page.evaluate("window.hacked") is None


def test_a_shadow_root_gets_its_styles(open_page: OpenPage) -> None:
    page = open_page("/bare")
    page.evaluate("""async () => {
        const { mountTile } = await import('/assets/dashboard.js');
        const host = document.querySelector('#root');
        host.style.height = '240px';
        const inner = document.createElement('div');
        inner.style.height = '240px';
        host.attachShadow({mode: 'open'}).append(inner);
        const frame = {columns: [{name: 'total', type: 'number', unit: 'kWh'}], data: [[12.5]], from: null, to: null, every: null, key: []};
        window.mounted = mountTile(inner, {id: 1, kind: 'stat', title: 'Energy', query: {}}, {frame});
    }""")
    expect(page.locator(".stat-number")).to_have_text("12.5")
    page.wait_for_function(
        "() => getComputedStyle(document.querySelector('#root').shadowRoot.querySelector('.tile')).display === 'flex'"
    )
