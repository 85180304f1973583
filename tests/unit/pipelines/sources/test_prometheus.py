"""Scrapes: samples as records, against a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from dash_app.domain.errors import DashError
from dash_app.pipelines.reach import guarded_client
from dash_app.pipelines.sources.prometheus import Prometheus

NOW = datetime(2024, 5, 1, tzinfo=UTC)
TEXT = """# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400",path="C:\\\\DIR \\"a\\"\\n"} 3
# TYPE wait histogram
wait_bucket{le="0.05"} 24054
wait_bucket{le="+Inf"} 144320
wait_sum 53423.5
wait_count 144320
# TYPE temperature gauge
temperature NaN
temperature{site="a"} -Inf
"""


def scrape(server: HTTPServer, body: str, kind: str = "text/plain; version=0.0.4", **options: Any) -> list[Any]:
    server.expect_oneshot_request("/metrics").respond_with_data(body, content_type=kind)
    source = Prometheus.from_options({"url": server.url_for("/metrics"), **options})
    with guarded_client(["127.0.0.0/8"]) as client:
        (page,) = source.pages(None, client, NOW)
    assert page.content_type == "application/x-ndjson"
    return [json.loads(line) for line in page.body.splitlines()]


def test_samples_become_records(httpserver: HTTPServer) -> None:
    found = scrape(httpserver, TEXT)
    assert len(found) == 8
    assert found[0] == {
        "metric": "http_requests_total",
        "type": "counter",
        "labels": {"method": "post", "code": "200"},
        "value": 1027.0,
        "time": "2014-03-17T14:26:03+00:00",
    }
    assert found[1]["labels"]["path"] == 'C:\\DIR "a"\n'
    assert found[1]["time"] == NOW.isoformat()
    assert [one["metric"] for one in found[2:6]] == ["wait_bucket", "wait_bucket", "wait_sum", "wait_count"]
    assert [(one["value"], one["special"]) for one in found[6:]] == [(None, "NaN"), (None, "-Inf")]


def test_openmetrics_and_choosing_by_name(httpserver: HTTPServer) -> None:
    text = '# TYPE a counter\na_total{x="1"} 5 1.5\n# TYPE b gauge\nb 2\n# EOF\n'
    kind = "application/openmetrics-text; version=1.0.0"
    assert [(one["metric"], one["value"]) for one in scrape(httpserver, text, kind)] == [("a_total", 5.0), ("b", 2.0)]
    assert [one["metric"] for one in scrape(httpserver, TEXT, metrics=["temp*", "wait"])] == [
        *("wait_bucket", "wait_bucket", "wait_sum", "wait_count", "temperature", "temperature")
    ]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("a{" + ",".join(f'l{n}="x"' for n in range(200)) + "} 1\n", "line 1 has more than 128 labels"),
        ("b 1\n# HELP a " + "x" * 70_000, "line 2 has 70,009 characters"),
        ("\n" * 500_000, "more than 500,000 lines"),
    ],
    ids=["labels", "line", "lines"],
)
def test_what_would_hold_up_the_parsers(httpserver: HTTPServer, body: str, why: str) -> None:
    with pytest.raises(DashError, match=why):
        scrape(httpserver, body)


@pytest.mark.parametrize(
    "body", ["<html>", 'a{b="c 1', "a b c", "a\xff 1e999999999999x"], ids=["html", "open", "words", "number"]
)
def test_what_is_no_metrics(httpserver: HTTPServer, body: str) -> None:
    with pytest.raises(DashError, match="not Prometheus' text format"):
        scrape(httpserver, body)
