"""Editor: from a key press to the new preview of 100 payloads, in Chromium, for payloads of 2 KB and of 50 KB.

A mapping is open as text and digits are typed into its condition, so that each key makes another document. `alone`:
each key is pressed when the preview before it has been painted; the time ends when the browser has painted the new one.
`burst`: keys come every 80 ms, and the time is from the last of them to the preview that is painted last. Beside them
stands what mapping the same payloads takes by itself in a warm process (`map_ms`), which no editor can undercut.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import time
from typing import Any

import numpy as np

from bench._ground import EMAIL, PASSWORD, Ground, Target
from dash_app.domain.events import Arrival
from dash_app.pipelines.preview import compiled, preview
from dash_app.storage import bronze, payloads

PAYLOADS = 100
REACH_MS = 300
MAPPING: dict[str, Any] = {
    "records": "$.features[*]",
    "time": {"path": "$.properties.time", "format": "epoch_ms"},
    "key": ["$.id"],
    "fields": [
        {"name": "magnitude", "path": "$.properties.mag", "type": "number", "unit": "Mw"},
        {"name": "depth", "path": "$.geometry.coordinates[2]", "type": "number", "unit": "km"},
        {"name": "region", "path": "$.properties.region", "type": "text", "default": "unknown"},
        {"name": "place", "path": "$.properties.place", "type": "text"},
        {"name": "longitude", "path": "$.geometry.coordinates[0]", "type": "number", "unit": "°"},
        {"name": "latitude", "path": "$.geometry.coordinates[1]", "type": "number", "unit": "°"},
        {"name": "energy", "sql": "pow(10, 1.5 * magnitude + 4.8) / 1000000000000", "type": "number", "unit": "TJ"},
    ],
    "where": "magnitude >= 0.1",
}
#: Notes when each preview was painted, and when the last key was pressed.
WATCH = """
(result) => {
  window.result = result;
  window.pressed = [];
  window.painted = [];
  document.addEventListener("keydown", () => window.pressed.push(performance.now()), true);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => window.painted.push(performance.now()), 0)))
    .observe(result, { attributes: true, attributeFilter: ["data-preview"] });
}
"""
SELECT = """
(area) => {
  const at = area.value.indexOf(">= 0.") + 5;
  area.focus();
  area.setSelectionRange(at, at + /^\\d*/.exec(area.value.slice(at))[0].length);
}
"""
SETTLED = """
() => {
  const [pressed, painted] = [window.pressed.at(-1), window.painted.at(-1)];
  const { asked, preview } = window.result.dataset;
  return painted > pressed && performance.now() > pressed + 60 && asked === preview;
}
"""


def body(rng: random.Random, size: int, number: int) -> bytes:
    """A GeoJSON collection of about `size` bytes; one value in a hundred is no number."""
    features: list[Any] = []
    length = 60
    while length < size:
        n = number * 1000 + len(features)
        mag: Any = "n/a" if rng.random() < 0.01 else round(0.2 + 8 * rng.random(), 1)
        feature = {
            "type": "Feature",
            "id": f"us{n:08d}",
            "properties": {
                "mag": mag, "time": 1_700_000_000_000 + n, "region": rng.choice(["Norway", "Iceland", "Chile"]),
                "place": f"{n % 300} km north of the harbour", "url": f"https://example.org/events/us{n:08d}",
                "detail": f"https://example.org/events/us{n:08d}.geojson", "felt": None, "tsunami": 0, "sequence": n,
            },
            "geometry": {"type": "Point", "coordinates": [5.3, 60.4, round(100 * rng.random(), 3)]},
        }  # fmt: skip
        features.append(feature)
        length += len(json.dumps(feature)) + 2
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def fill(ground: Ground, slug: str, size: int) -> tuple[Target, float]:
    """A pipeline with 100 payloads of this size, and the milliseconds that mapping them takes by itself."""
    target = ground.pipeline(slug, MAPPING)
    rng = random.Random(size)
    arrivals = [
        Arrival(target.pipeline, target.team, body(rng, size, number), "application/json") for number in range(PAYLOADS)
    ]
    with ground.app.database.ingest() as unit:
        payloads.accept(unit, arrivals)
        unit.commit()
    with ground.app.database.team(target.team) as unit:
        held = bronze.newest(unit, ground.app.objects, target.pipeline, limit=PAYLOADS)
    assert len(held) == PAYLOADS
    plan = compiled(MAPPING)
    times = []
    for _ in range(7):
        began = time.perf_counter()
        preview(plan, held)
        times.append(time.perf_counter() - began)
    return target, round(float(np.median(times)) * 1000, 1)


def shares(times: list[float]) -> dict[str, Any]:
    return {
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
        "max_ms": round(max(times), 1),
        "keys": len(times),
    }


def measure_page(page: Any, ground: Ground, slug: str, keys: int) -> dict[str, Any]:
    page.goto(f"http://127.0.0.1:{ground.port}/pipelines/{slug}/mapping")
    result = page.locator(".pane.result[data-state=shown]")
    result.wait_for(timeout=60_000)
    found = re.search(r"of (\d+) payloads", page.locator(".figure-line").inner_text())
    if found is None or int(found[1]) != PAYLOADS:
        raise RuntimeError(f"the editor does not hold {PAYLOADS} payloads")
    result.evaluate(WATCH)
    page.locator("button[data-view=text]").click()
    area = page.locator("textarea[aria-label=Mapping]")

    def press(number: int) -> None:
        """One more digit behind the point; after ten of them one that stands for them all: no document comes again
        before it is forgotten."""
        if number % 10 == 0:
            area.evaluate(SELECT)
        page.keyboard.press(str(1 + (number * 7 + number // 10) % 9))

    alone = []
    for number in range(keys + 6):
        press(number)
        page.wait_for_function(SETTLED, timeout=30_000)
        if number >= 6:  # the first ones warm it up
            alone.append(page.evaluate("window.painted.at(-1) - window.pressed.at(-1)"))
    burst = []
    for turn in range(max(3, keys // 6)):
        for number in range(12):
            press(1000 + 13 * turn + number)
            page.wait_for_timeout(80)
        page.wait_for_function(SETTLED, timeout=30_000)
        burst.append(page.evaluate("window.painted.at(-1) - window.pressed.at(-1)"))
    return {"alone": shares(alone), "burst": shares(burst)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with Ground() as ground:
        result: dict[str, Any] = {"figure": "editor", "payloads": PAYLOADS, "reach_ms": REACH_MS}
        result["machine"] = ground.machine()
        sizes = {"2kb": 2_000, "50kb": 50_000}
        for name, size in sizes.items():
            _, mapped = fill(ground, f"editor_{name}", size)
            result[name] = {"map_ms": mapped}
        ground.start_node("web")
        ground.wait_ready()
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
            page.goto(f"http://127.0.0.1:{ground.port}/login")
            page.fill("#email", EMAIL)
            page.fill("#password", PASSWORD)
            page.click("button[type=submit]")
            page.wait_for_url(f"http://127.0.0.1:{ground.port}/")
            for name in sizes:
                result[name] |= measure_page(page, ground, f"editor_{name}", options.keys)
            chromium.close()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=60, help="pressed alone, for each size")
    parser.add_argument("--full", action="store_true", help="200 keys")
    options = parser.parse_args()
    if options.full:
        options.keys = 200
    if shutil.which("chromium") is None:
        print("editor: needs Chromium, which is not installed here", file=sys.stderr)
        return 1
    result = measure(options)
    print(json.dumps(result), flush=True)
    for name in ("2kb", "50kb"):
        alone, burst = result[name]["alone"], result[name]["burst"]
        print(
            f"key → preview of {PAYLOADS} × {name}: p50 {alone['p50_ms']} ms, p95 {alone['p95_ms']} ms; after a burst "
            f"p50 {burst['p50_ms']} ms, p95 {burst['p95_ms']} ms; mapping alone {result[name]['map_ms']} ms",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
