"""Every page under axe-core, light and dark: nothing serious or critical may be found (WCAG 2 A and AA)."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines import dashboards
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.pipelines.alerts.evaluator import Evaluator
from dash_app.pipelines.delivery import setup as sink_setup
from dash_app.pipelines.propose import propose_dashboard
from dash_app.storage import catalog
from tests.e2e.conftest import Windows
from tests.e2e.pages.conftest import House, Opened, ready

pytestmark = pytest.mark.timeout(240)

MAPPING: dict[str, Any] = {
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C"},
    ]
}
HOOK = {
    "name": "Hook",
    "kind": "webhook",
    "options": {"url": "http://127.0.0.1:9/hook"},
    "pipelines": ["weather"],
}
WARM = {
    "name": "Warm",
    "slug": "warm",
    "severity": "critical",
    "labels": {"service": "weather"},
    "query": {"pipeline": "weather", "select": [{"field": "temperature", "agg": "max"}], "by": ["site"]},
    "condition": {"type": "threshold", "op": ">", "value": 1},
    "sinks": ["hook"],
}
CHOICES = {
    "list": [
        {
            "name": "site",
            "type": "query",
            "multi": True,
            "includeAll": True,
            "query": {"pipeline": "weather", "field": "site"},
        },
        {"name": "least", "type": "text", "current": "0"},
    ]
}
#: Pages, and what stands there once they are whole. Panel's say so themselves.
PAGES = {
    "/": "main",
    "/pipelines": "tbody tr",
    "/pipelines/new": ".kind",
    "/pipelines/new?kind=webhook&scheme=slack": "[data-option=scheme]",
    "/pipelines/new?kind=http_poll": "[data-option=paginator]",
    "/pipelines/weather": "main",
    "/pipelines/weather?tab=source": ".script-tabs",
    "/pipelines/weather?tab=records": ".tile[data-state=drawn]",
    "/pipelines/weather/uploads": "[data-empty]",
    "/pipelines/weather?tab=payloads": "tbody tr",
    "/pipelines/weather?tab=rejects": "main",
    "/pipelines/weather?tab=fields": ".drift",
    "/pipelines/weather?tab=replays": "main",
    "/pipelines/weather/mapping": "",
    "/pipelines/weather/compare?a=1&b=2": "main",
    "/dashboards": "main",
    "/dashboards/new": "",
    "/dashboards/weather": ".tile[data-state=drawn]",
    "/dashboards/weather?filter=site:Oslo&compare=1d&tile=1": ".tile[data-state=drawn]",
    "/dashboards/weather/edit": "",
    "/dashboards/weather/versions": "main",
    "/sinks": "main",
    "/sinks/new": ".kind",
    "/sinks/new?kind=webhook&pipeline=weather": "[data-preview]:not(.is-stale) .preview-title",
    "/sinks/hook": "main",
    "/sinks/hook?tab=deliveries": "main",
    "/sinks/hook?tab=settings": "[data-preview]:not(.is-stale) .preview-title",
    "/alerts": "main",
    "/alerts?tab=rules": "tbody tr",
    "/alerts?tab=silences": "main",
    "/alerts?tab=history": "main",
    "/alerts/new?pipeline=weather": ".verdict:not(:has(.skeleton))",
    "/alerts/warm": ".tile[data-state=drawn]",
    "/alerts/warm?tab=history": "main",
    "/alerts/warm?tab=settings": ".verdict:not(:has(.skeleton))",
    "/reports": "main",
    "/nowhere": "h1",
}
OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
}
#: What a page shows while it waits, paler than what comes.
WAITING = ":is(.is-stale, .skeleton, [data-waiting]):visible"
axe = Axe()


@pytest.fixture(scope="module")
def house(house: House) -> House:
    weather = house.pipeline("Weather", MAPPING)
    house.send(weather, *({"site": site, "temperature": n} for n in range(5) for site in ("Oslo", "Bergen")))
    house.send(weather, {"site": "Oslo", "temperature": "warm", "humidity": 40})
    with house.app.database.team(house.team) as unit:
        catalog.save_mapping(unit, weather, {**MAPPING, "where": "temperature > 1"}, note="Warmer", activate=False)
        document = propose_dashboard(catalog.pipeline(unit, weather), parse_mapping(MAPPING))
        dashboards.create_dashboard(unit, house.team, {**document, "templating": CHOICES}, house.who)
        sink_setup.create_sink(unit, house.app, house.team, HOOK, house.who)
        alert_setup.create_alert(unit, house.team, WARM, house.who)
        silence = {"matchers": {"site": "Bergen"}, "duration": "1h", "comment": "Being mended"}
        alert_setup.create_silence(unit, house.team, silence, house.who)
        unit.commit()
    house.send(weather, {"site": "Oslo", "temperature": 3})
    Evaluator(house.app).look(everything=True)
    return house


def serious(page: Page) -> list[str]:
    """What axe finds that keeps somebody out, as lines that name the rule, the element and the mend."""
    waiting = page.locator(WAITING)
    found: list[dict[str, Any]] = []
    for _ in range(5):
        expect(waiting).to_have_count(0)
        found = axe.run(page, options=OPTIONS).response["violations"]
        # What is asked for anew while axe looks is dimmed, and looked at again once it is there.
        if not found or waiting.count() == 0:
            break
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]} -- {node.get('failureSummary', '')[:240]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_keeps_anybody_out(house: House, opened: Opened, theme: str) -> None:
    page = opened(theme=theme)
    wrong: dict[str, list[str]] = {}
    for path, whole in PAGES.items():
        page.goto(house.url + path)
        if whole:
            expect(page.locator(whole).first).to_be_visible()
        else:
            ready(page)
        if found := serious(page):
            wrong[path] = found
    # What opens on a dashboard's page is a part of it.
    page.goto(f"{house.url}/dashboards/weather")
    expect(page.locator(".tile[data-state=drawn]").first).to_be_visible()
    for opener in (".range-menu", ".compare", ".notes-menu", ".picker", ".tile-menu"):
        page.locator(f"{opener} summary").first.click()
        if found := serious(page):
            wrong[opener] = found
        page.keyboard.press("Escape")
    page.keyboard.press("?")
    if found := serious(page):
        wrong["?"] = found
    page.goto(f"{house.url}/alerts?tab=silences")
    page.get_by_role("button", name="New window…").click()
    if found := serious(page):
        wrong["window"] = found
    page.goto(f"{house.url}/alerts")
    page.locator(".fired").get_by_role("button", name="Silence…").first.click()
    if found := serious(page):
        wrong["silence"] = found
    complaints = opened.complaints  # type: ignore[attr-defined]
    assert all("404" in each for each in complaints), complaints
    complaints.clear()
    assert not wrong, "\n".join(f"{where}: {line}" for where, lines in wrong.items() for line in lines)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_log_in_keeps_nobody_out(house: House, windows: Windows, theme: Any) -> None:
    page = windows.take(theme=theme)
    page.goto(f"{house.url}/login")
    assert serious(page) == []
    page.fill("#email", "nobody@example.org")
    page.fill("#password", "not the password")
    page.click("button[type=submit]")
    expect(page.locator("[role=alert], .problem, .wrong").first).to_be_visible()
    assert serious(page) == []
