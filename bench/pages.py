"""Pages: what a dashboard's page weighs, and how soon its shell and its first chart are there in Chromium.

A dashboard of a number, two charts and a table over a pipeline with records of a day. `shell`: the answer of the page,
read by a client that keeps its connection (milliseconds, p50 and p95; the limit is 300). `cold`: a browser that has
nothing; `warm`: the same browser once more. Of each the requests, the bytes over the wire, and milliseconds from the
navigation to the first paint of a tile, to all of them, and of the browser's own first contentful paint.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import sys
import time
from typing import Any

from bench._ground import EMAIL, PASSWORD, Ground
from dash_app.domain.access import Principal, Role
from dash_app.domain.events import Arrival
from dash_app.pipelines import dashboards
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import payloads, people

SLUG = "pages"
SITES = 4
MAPPING = {
    "time": {"path": "$.at", "format": "epoch_ms"},
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "load", "path": "$.load", "type": "number"},
    ],
}
BY_SITE = {"pipeline": SLUG, "by": ["site"], "select": [{"field": "load", "agg": "avg"}]}
DOCUMENT: dict[str, Any] = {
    "uid": SLUG,
    "title": "Pages",
    "time": {"from": "now-24h", "to": "now"},
    "tiles": [
        {"id": 1, "kind": "stat", "title": "Records", "gridPos": {"x": 0, "y": 0, "w": 4, "h": 4},
         "query": {"pipeline": SLUG, "select": [{"agg": "count"}]}},
        {"id": 2, "kind": "line", "title": "Load", "gridPos": {"x": 4, "y": 0, "w": 8, "h": 8}, "query": BY_SITE},
        {"id": 3, "kind": "bar", "title": "By site", "gridPos": {"x": 0, "y": 8, "w": 6, "h": 6}, "query": BY_SITE},
        {"id": 4, "kind": "table", "title": "Last", "gridPos": {"x": 6, "y": 8, "w": 6, "h": 6},
         "query": {"pipeline": SLUG, "limit": 50}},
    ],
}  # fmt: skip
#: Notes when tiles are drawn, from before the page's own scripts on.
WATCH = """() => {
  window.drawn = [];
  new MutationObserver(() => {
    const all = document.querySelectorAll("#dashboard .tile[data-tile]");
    const done = document.querySelectorAll('#dashboard .tile[data-tile][data-state="drawn"]').length;
    if (done > window.drawn.length) window.drawn.push(...Array(done - window.drawn.length).fill(performance.now()));
    window.whole = all.length > 0 && done === all.length;
  }).observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ["data-state"]});
}"""


def fill(ground: Ground) -> None:
    """A day of records, one a minute and site, and the dashboard that shows them."""
    target = ground.pipeline(SLUG, MAPPING)
    now = int(time.time() * 1000)
    rows = [
        {"at": now - m * 60_000, "site": f"site {s}", "load": (m * 7 + s) % 90}
        for m in range(24 * 60)
        for s in range(SITES)
    ]
    with ground.app.database.ingest() as unit:
        payloads.accept(unit, [Arrival(target.pipeline, ground.team, json.dumps(rows).encode())])
        unit.commit()
    Ingest(ground.app).run(target.pipeline)
    with ground.app.database.team(ground.team) as unit:
        member = people.members(unit)[0]
        who = Principal(member.user, member.email, member.name, ground.team, "bench", "Bench", Role.admin)
        dashboards.create_dashboard(unit, ground.team, DOCUMENT, who)
        unit.commit()


def answers(port: int, cookie: str, count: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took, size = [], 0
    for turn in range(count + 5):
        began = time.perf_counter()
        connection.request("GET", f"/dashboards/{SLUG}", headers={"Cookie": cookie, "Accept": "text/html"})
        answer = connection.getresponse()
        size = len(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"the page answered {answer.status}")
        if turn >= 5:
            took.append((time.perf_counter() - began) * 1000)
    connection.close()
    cuts = statistics.quantiles(took, n=20)
    return {"bytes": size, "p50_ms": round(cuts[9], 1), "p95_ms": round(cuts[18], 1), "requests": count}


def opened(page: Any, url: str) -> dict[str, Any]:
    """One opening of the page: requests, bytes, times."""
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    weight = {"requests": 0, "bytes": 0}
    cached: set[str] = set()
    network.on("Network.requestServedFromCache", lambda event: cached.add(event["requestId"]))

    def finished(event: dict[str, Any]) -> None:
        weight["bytes"] += int(event["encodedDataLength"])
        weight["requests"] += event["requestId"] not in cached

    network.on("Network.loadingFinished", finished)
    page.goto(url)
    page.wait_for_function("() => window.whole", timeout=30_000)
    first, *_, last = page.evaluate("window.drawn")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null")
    network.detach()
    return {**weight, "paint_ms": paint, "first_ms": first, "all_ms": last}


def middle(turns: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: round(statistics.median(turn[name] for turn in turns if turn[name] is not None)) for name in turns[0]}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with Ground() as ground:
        fill(ground)
        ground.start_node("web")
        ground.wait_ready()
        base = f"http://127.0.0.1:{ground.port}"
        cold, warm = [], []
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for turn in range(options.turns + 1):
                context = chromium.new_context(viewport={"width": 1440, "height": 900})
                page = context.new_page()
                page.goto(f"{base}/login")
                page.fill("#email", EMAIL)
                page.fill("#password", PASSWORD)
                page.click("button[type=submit]")
                page.wait_for_url(f"{base}/")
                cookie = "; ".join(f"{each['name']}={each['value']}" for each in context.cookies())
                page.close()
                # Logging in has loaded the shell: a browser that has nothing has not that either.
                page = context.new_page()
                page.add_init_script(f"({WATCH})()")
                clearing = context.new_cdp_session(page)
                clearing.send("Network.clearBrowserCache")
                clearing.detach()
                both = [opened(page, f"{base}/dashboards/{SLUG}") for _ in range(2)]
                # The first turn warms the server: its caches, and the query's.
                if turn:
                    cold.append(both[0])
                    warm.append(both[1])
                context.close()
            chromium.close()
        return {
            "figure": "pages",
            "machine": ground.machine(),
            "shell": answers(ground.port, cookie, options.answers),
            "cold": middle(cold),
            "warm": middle(warm),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="openings, cold and warm each")
    parser.add_argument("--answers", type=int, default=100, help="requests for the shell alone")
    parser.add_argument("--full", action="store_true", help="20 openings, 500 requests")
    options = parser.parse_args()
    if options.full:
        options.turns, options.answers = 20, 500
    if shutil.which("chromium") is None:
        print("pages: needs Chromium, which is not installed here", file=sys.stderr)
        return 1
    result = measure(options)
    print(json.dumps(result), flush=True)
    for name in ("cold", "warm"):
        one = result[name]
        print(
            f"{name}: {one['requests']} requests, {one['bytes'] / 1000:,.0f} kB; first paint {one['paint_ms']} ms, "
            f"first tile {one['first_ms']} ms, all {one['all_ms']} ms",
            file=sys.stderr,
        )
    shell = result["shell"]
    print(f"shell: {shell['bytes'] / 1000:.0f} kB; p50 {shell['p50_ms']} ms, p95 {shell['p95_ms']} ms", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
