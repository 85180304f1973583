"""Restart: a web node is killed three times while fifty pages are open in Chromium and records come in.

Each page shows a dashboard with a number (how many records), a line (a sum in each bucket) and a table (count and sum
by site). Posts go through an ingestor of its own, so that they do not stop. When the last one is mapped, every page
must show what silver holds: the number, each site's count and sum, and the sum over all points of the line. What is
read from a page is what it shows or draws; nothing is reloaded. `seconds_to_agree`: from the last record in silver to
the last page that shows it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from typing import Any

from bench._ground import EMAIL, PASSWORD, Ground, Target, free_port
from bench._load import Orders, send
from bench.p3_latency import MAPPING
from dash_app.domain.access import Principal, Role
from dash_app.pipelines import dashboards
from dash_app.storage import people

UID = "restart"
COUNT = {"agg": "count", "as": "n"}
SUM = {"field": "a", "agg": "sum", "as": "total"}
#: What a page shows, as text of its number and of its table, and how much was drawn.
SHOWN = """
() => ({
  number: document.querySelector("[data-kind=stat] .stat-number")?.textContent ?? "",
  rows: [...document.querySelectorAll("[data-kind=table] tbody tr")]
    .map((row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent)),
  states: [...document.querySelectorAll(".tile")].map((tile) => tile.dataset.state),
  asked: performance.getEntriesByType("navigation").length,
})
"""


def document(slug: str) -> dict[str, Any]:
    def tile(number: int, kind: str, y: int, query: dict[str, Any]) -> dict[str, Any]:
        place = {"x": 0, "y": y, "w": 12, "h": 5}
        options = {"decimals": 0} if kind == "stat" else {}
        return {"id": number, "kind": kind, "title": kind, "gridPos": place, "query": query, "options": options}

    return {
        "uid": UID,
        "title": "Restart",
        "time": {"from": "now-1h", "to": "now+1h"},
        "refresh": "live",
        "tiles": [
            tile(1, "stat", 0, {"pipeline": slug, "select": [COUNT]}),
            tile(2, "table", 5, {"pipeline": slug, "select": [COUNT, SUM], "by": ["site"]}),
            tile(3, "line", 10, {"pipeline": slug, "select": [SUM], "every": "auto"}),
        ],
    }


def number_of(text: str) -> float | None:
    """A number as a page writes it, with groups and whatever unit."""
    digits = "".join(c for c in text if c.isdigit() or c in ".-")
    try:
        return float(digits)
    except ValueError:
        return None


def agrees(shown: dict[str, Any], truth: dict[str, tuple[int, float]]) -> bool:
    """Whether a page shows these counts and sums by site (sums as far as a page writes them out)."""
    if number_of(shown["number"]) != sum(count for count, _ in truth.values()) or len(shown["rows"]) != len(truth):
        return False
    for site, count, total in shown["rows"]:
        if site not in truth or number_of(count) != truth[site][0]:
            return False
        read = number_of(total)
        if read is None or abs(read - truth[site][1]) > max(0.06, 1e-3 * abs(truth[site][1])):
            return False
    return bool(shown["asked"] == 1)


def silver(ground: Ground, target: Target) -> dict[str, tuple[int, float]]:
    rows = ground.rows(f"SELECT site, count(*), sum(a) FROM {target.table} GROUP BY site")
    return {str(site): (count, float(total)) for site, count, total in rows}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with Ground() as ground:
        result: dict[str, Any] = {"figure": "restart", "pages": options.pages, "kills": options.kills}
        result["machine"] = ground.machine()
        target = ground.pipeline("events", MAPPING)
        with ground.app.database.team(target.team) as unit:
            member = people.members(unit)[0]
            author = Principal(member.user, member.email, member.name, target.team, "bench", "Bench", Role.admin)
            dashboards.create_dashboard(unit, target.team, document("events"), author)
            unit.commit()
        door = free_port()
        ground.start("door", "serve.py", "--role", "ingestor", "--no-demo", "--port", str(door))
        ground.start_workers(1)
        ground.start_node("web")
        ground.wait_ready()
        ground.wait_ready(port=door)
        send(Orders(door, target.path, target.secret, 0, 1, 2, 50, prefix="first"))
        seconds = options.every * (options.kills + 1)
        orders = Orders(door, target.path, target.secret, 0, seconds, 4, options.rate, prefix="s", first=10_000)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            context = chromium.new_context(viewport={"width": 1024, "height": 900})
            base = f"http://127.0.0.1:{ground.port}"
            page = context.new_page()
            page.goto(f"{base}/login")
            page.fill("#email", EMAIL)
            page.fill("#password", PASSWORD)
            page.click("button[type=submit]")
            page.wait_for_url(f"{base}/")
            pages = [page, *(context.new_page() for _ in range(options.pages - 1))]
            for each in pages:
                each.goto(f"{base}/dashboards/{UID}")
            for each in pages:
                each.locator("[data-kind=stat] .stat-number").wait_for(timeout=60_000)
            errors: list[str] = []
            for each in pages:
                each.on("pageerror", lambda error: errors.append(str(error)))
            reports: list[Any] = []
            sending = threading.Thread(target=lambda: reports.append(send(orders)), daemon=True)
            sending.start()
            began, downs = time.monotonic(), []
            for number in range(options.kills):
                while time.monotonic() < began + (number + 1) * options.every:
                    page.wait_for_timeout(100)
                ground.kill("node")
                down = time.monotonic()
                page.wait_for_timeout(options.away * 1000)
                ground.start_node("web")
                ground.wait_ready()
                downs.append(round(time.monotonic() - down, 1))
            while sending.is_alive():
                page.wait_for_timeout(100)
            ground.wait_for(lambda: not ground.value("SELECT count(*) FROM dash.batches"), 60)
            truth, drained = silver(ground, target), time.monotonic()
            late: dict[int, dict[str, Any]] = {}
            while time.monotonic() < drained + 60:
                seen = {number: each.evaluate(SHOWN) for number, each in enumerate(pages)}
                late = {number: shown for number, shown in seen.items() if not agrees(shown, truth)}
                if not late:
                    break
                page.wait_for_timeout(250)
            result |= {
                "posts": reports[0].posts if reports else 0,
                "post_errors": reports[0].errors if reports else {},
                "seconds_down": downs,
                "pages_that_agree": len(pages) - len(late),
                "seconds_to_agree": None if late else round(time.monotonic() - drained, 1),
                "thrown": errors[:3],
                "records_in_silver": sum(count for count, _ in truth.values()),
                "first_that_differs": next(iter(late.values()), None),
            }
            chromium.close()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--every", type=float, default=12, help="seconds between two kills")
    parser.add_argument("--away", type=float, default=2, help="seconds from a kill to the new start")
    parser.add_argument("--rate", type=float, default=50, help="posts a second")
    parser.add_argument("--full", action="store_true", help="five kills instead of three")
    options = parser.parse_args()
    if options.full:
        options.kills = 5
    if shutil.which("chromium") is None:
        print("restart: needs Chromium, which is not installed here", file=sys.stderr)
        return 1
    result = measure(options)
    print(json.dumps(result), flush=True)
    print(
        f"{result['pages_that_agree']} of {result['pages']} pages show what silver holds, "
        f"{result['seconds_to_agree']} s after the last record; {result['kills']} kills",
        file=sys.stderr,
    )
    return 0 if result["pages_that_agree"] == result["pages"] and not result["post_errors"] else 1


if __name__ == "__main__":
    sys.exit(main())
