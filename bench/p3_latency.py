"""P3: how long a record takes at 100 a second, from POST to silver, and from POST to the pixel in Chromium.

Single-record signed posts at a fixed rate. Each latency counts from the moment its post was due, so that a late post is
late. Silver: a connection that hears the announcements reads the rows and notes when it saw each. Pixel: a dashboard
with one number, the largest `n`, is open in a browser; the page notes, after the frame was painted, which number it
shows, and a record is there as soon as a number is shown that is no smaller than its own. Nothing is asked of the page
but what anybody looking at it would see. Without Chromium the second half says so and is null.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from bench._ground import EMAIL, PASSWORD, Ground, Target
from bench._load import Orders, Report, send
from dash_app.domain.changes import CHANNEL
from dash_app.storage import dashboards

MAPPING: dict[str, Any] = {
    "fields": [
        {"name": "n", "path": "$.n", "type": "integer"},
        {"name": "a", "path": "$.a", "type": "number"},
        {"name": "site", "path": "$.site", "type": "text"},
    ]
}
REACH = {"silver": {"p50": 25, "p99": 150}, "pixel": {"p50": 60, "p99": 250}}
#: Far above every number of the half before it, so that the page's number tells the two apart.
SILVER_FIRST, PIXEL_FIRST = 100_000, 1_000_000
DASHBOARD = "latency"

#: Notes the number on the page each time it changes, once the frame with it has been painted.
WATCH = """
window.shown = [];
const look = () => {
  const text = document.querySelector(".stat-number")?.textContent ?? "";
  const value = Number(text.replace(/[^0-9]/g, ""));
  if (!value || value === window.last) return;
  window.last = value;
  const note = () => window.shown.push([value, performance.timeOrigin + performance.now()]);
  requestAnimationFrame(() => setTimeout(note, 0));
};
new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
"""


class Sending(threading.Thread):
    """The posts of one half, from a process of their own; `report` and `due` are there once it has ended."""

    def __init__(self, ground: Ground, target: Target, options: argparse.Namespace, first: int) -> None:
        super().__init__(daemon=True)
        self.orders = Orders(
            ground.port,
            target.path,
            target.secret,
            0,
            options.seconds,
            8,
            options.rate,
            prefix=f"p{first}",
            first=first,
        )
        self.report = Report()
        self._failed: BaseException | None = None

    def run(self) -> None:
        try:
            self.report = send(self.orders)
        except BaseException as error:
            self._failed = error

    def finished(self) -> Report:
        self.join()
        if self._failed is not None:
            raise self._failed
        if self.report.errors or not self.report.posts:
            raise RuntimeError(f"posts were not accepted: {self.report.errors}")
        return self.report

    def due(self, number: int) -> float:
        """When the record with this number was due, on the monotonic clock."""
        return self.report.began + (number - self.orders.first) / self.orders.rate


def silver(ground: Ground, target: Target, options: argparse.Namespace) -> dict[str, Any]:
    sending = Sending(ground, target, options, SILVER_FIRST)
    seen: dict[int, float] = {}
    with ground.app.database.connect("ingest") as listening, ground.app.database.connect("ingest") as reading:
        listening.execute(f"LISTEN {CHANNEL}")
        sending.start()
        quiet_since = time.monotonic()
        while sending.is_alive() or time.monotonic() - quiet_since < 2:
            for _ in listening.notifies(timeout=0.2, stop_after=1):
                quiet_since = time.monotonic()
            # Everything of the last seconds is read, and not what comes after the last id: commits are not in order.
            rows = reading.execute(
                f"SELECT n FROM {target.table} WHERE n >= %s AND _received > now() - interval '3 s'", (SILVER_FIRST,)
            ).fetchall()
            now = time.monotonic()
            for (number,) in rows:
                seen.setdefault(number, now)
    report = sending.finished()
    return _quantiles([at - sending.due(n) for n, at in seen.items()], report)


def pixel(ground: Ground, target: Target, options: argparse.Namespace) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise RuntimeError("Chromium is not installed")
    tile = {
        "id": "newest",
        "kind": "stat",
        "title": "Newest",
        "gridPos": {"x": 0, "y": 0, "w": 6, "h": 4},
        "query": {"pipeline": target.slug, "select": [{"field": "n", "agg": "max", "as": "n"}]},
        "options": {"decimals": 0},
    }
    document = {
        "uid": DASHBOARD,
        "title": "Latency",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "live",
        "tiles": [tile],
    }
    with ground.app.database.team(ground.team) as unit:
        dashboards.create(unit, ground.team, document)
        unit.commit()
    base = f"http://127.0.0.1:{ground.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_page(viewport={"width": 1360, "height": 800})
            page.goto(f"{base}/login")
            page.fill("input[type=email]", EMAIL)
            page.fill("input[type=password]", PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_url(lambda url: "/login" not in url, timeout=20_000)
            page.add_init_script(WATCH)
            answer = page.goto(f"{base}/dashboards/{DASHBOARD}")
            deadline = time.monotonic() + 30
            # Asked from here, since the page's own policy forbids what waits inside it.
            while not page.evaluate("window.shown?.length"):
                if time.monotonic() > deadline:
                    status, text = answer.status if answer else "none", " ".join(page.inner_text("body").split())[:300]
                    raise RuntimeError(f"no number on the dashboard's page; status {status}: '{text}'")
                page.wait_for_timeout(100)
            sending = Sending(ground, target, options, PIXEL_FIRST)
            epoch = time.time() - time.monotonic()
            sending.start()
            report = sending.finished()
            page.wait_for_timeout(1500)
            shown = page.evaluate("window.shown")
        finally:
            browser.close()
    seen: dict[int, float] = {}
    largest = PIXEL_FIRST
    for value, at_ms in shown:
        for number in range(largest, value + 1) if value >= PIXEL_FIRST else ():
            seen[number] = at_ms / 1000 - epoch
        largest = max(largest, value + 1)
    return _quantiles([at - sending.due(n) for n, at in seen.items()], report) | {
        "numbers_shown": sum(value >= PIXEL_FIRST for value, _ in shown)
    }


def _quantiles(latencies: list[float], report: Report) -> dict[str, Any]:
    """Milliseconds; what was posted and never seen is named."""
    quantiles = np.quantile(latencies, [0.5, 0.9, 0.99, 1.0]) * 1000 if latencies else [float("nan")] * 4
    names = ("p50_ms", "p90_ms", "p99_ms", "max_ms")
    found: dict[str, Any] = {name: round(float(q), 1) for name, q in zip(names, quantiles, strict=True)}
    return found | {"posts": report.posts, "never_seen": report.posts - len(latencies), "post_p50_ms": report.p50}


def _limit(ground: Ground) -> float:
    """Milliseconds of a durable commit here; each record waits for two, its payload's and that of its rows."""
    times = []
    with ground.app.database.connect("ingest") as connection:
        connection.execute('CREATE TABLE "team_bench_data".commits (n int)')
        for number in range(200):
            began = time.perf_counter()
            connection.execute('INSERT INTO "team_bench_data".commits VALUES (%s)', (number,))
            times.append(time.perf_counter() - began)
    return round(float(np.median(times)) * 1000, 2)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with Ground() as ground:
        machine = ground.machine()
        target = ground.pipeline("events", MAPPING)
        result: dict[str, Any] = {
            "figure": "P3",
            "rate_per_s": options.rate,
            "seconds": options.seconds,
            "reach_ms": REACH,
        }
        result["commit_ms"] = _limit(ground)
        ground.start_node("ingestor" if options.silver_only else "all")
        if options.silver_only:
            ground.start_workers(2)
        ground.wait_ready()
        ground.wait_for(lambda: ground.value("SELECT count(*) > 1 FROM dash.heartbeats WHERE role LIKE 'worker%%'"), 60)
        send(Orders(ground.port, target.path, target.secret, 0, 3, 8, options.rate, prefix="w"))
        ground.wait_for(lambda: not ground.value("SELECT count(*) FROM dash.batches"), 60)
        halves: dict[str, Callable[..., dict[str, Any]]] = {"silver": silver, "pixel": pixel}
        if options.silver_only:
            del halves["pixel"]
        for name, half in halves.items():
            try:
                result[name] = half(ground, target, options)
            except Exception as error:
                result[name] = None
                result[f"{name}_failed"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    result["machine"] = machine
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15, help="of each half")
    parser.add_argument("--full", action="store_true", help="60 s of each half")
    parser.add_argument("--rate", type=float, default=100, help="records a second")
    parser.add_argument("--silver-only", action="store_true", help="without the pages: an ingestor and a worker")
    options = parser.parse_args()
    if options.full:
        options.seconds = 60
    result = measure(options)
    print(json.dumps(result), flush=True)
    for name in ("silver", "pixel"):
        if found := result.get(name):
            print(f"POST → {name}: p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms, {found}", file=sys.stderr)
        elif f"{name}_failed" in result:
            print(f"POST → {name}: not measured, {result[f'{name}_failed']}", file=sys.stderr)
    with suppress(KeyError):
        print(f"one durable commit: {result['commit_ms']} ms", file=sys.stderr)
    return 1 if result.get("silver") is None or ("pixel_failed" in result) else 0


if __name__ == "__main__":
    sys.exit(main())
