"""A scrape of metrics in Prometheus' text format: each sample is a record, each scrape a payload of NDJSON.

`{"metric", "type", "labels": {…}, "value", "time"}`: `time` is the sample's own, or the moment of the scrape. Parsed
here and not by the mapping, so that mappings see nothing but JSON. A value that JSON has no form for (NaN and the
infinities) is null, and `special` says which it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import httpx
import orjson
import param
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from dash_app.domain.errors import Transient
from dash_app.pipelines.sources.asked_once import AskedOnce
from dash_app.pipelines.sources.base import Page

_ACCEPT = "text/plain;version=0.0.4;q=1, application/openmetrics-text;version=1.0.0;q=0.5"


#: The parsers look at a line again for each of its labels, so that what is long takes long.
_MOST_LINE = 64 << 10
_MOST_QUOTES = 2 * 128
_MOST_LINES = 500_000


class NotMetrics(Transient):
    """The answer is no metrics."""


class Prometheus(AskedOnce):
    kind = "prometheus"
    summary = "Metrics that a program shows in Prometheus' text format, scraped every so often."
    example: ClassVar[Mapping[str, Any]] = {"url": "https://node.example.org/metrics", "metrics": ["node_*"]}

    metrics = param.List(default=[], item_type=str, doc="Which metrics by name, * for anything; empty: all of them.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if len(self.metrics) > 200 or any(not one or len(one) > 200 for one in self.metrics):
            found.append(("metrics", "is a list of up to 200 names such as node_cpu_*"))
        return found

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        fetched = self.ask(client, now, accept=_ACCEPT)
        if fetched.body is None:
            return
        kind = fetched.headers.get("content-type", "")
        lines = list(self._records(fetched.body, kind, now))
        body = b"\n".join(lines)
        yield Page(body, "application/x-ndjson", self.shown, {"dash-scraped-type": kind[:200]}, last=True)

    def _records(self, body: bytes, kind: str, now: datetime) -> Iterator[bytes]:
        try:
            text = body.decode("utf-8")
            _check(text)
            for family in _families(text, kind):
                if self.metrics and not any(fnmatchcase(family.name, one) for one in self.metrics):
                    continue
                for sample in family.samples:
                    value = float(sample.value)
                    # Both parsers give seconds, as a float or as a class of their own.
                    moment = now if sample.timestamp is None else datetime.fromtimestamp(float(sample.timestamp), UTC)
                    record: dict[str, Any] = {
                        "metric": sample.name,
                        "type": family.type,
                        "labels": sample.labels,
                        "value": value if math.isfinite(value) else None,
                        "time": moment.isoformat(),
                    }
                    if not math.isfinite(value):
                        record["special"] = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
                    yield orjson.dumps(record)
        except (ValueError, KeyError, IndexError, OverflowError, TypeError, AttributeError) as error:
            # The parsers raise what they happen to stumble over.
            raise NotMetrics(f"GET {self.shown}: not Prometheus' text format: {str(error)[:200]}") from error


def _check(text: str) -> None:
    """ValueError for what would hold up the parsers."""
    for number, line in enumerate(text.split("\n"), 1):
        if number > _MOST_LINES:
            raise ValueError(f"more than {_MOST_LINES:,} lines")
        if len(line) > _MOST_LINE:
            raise ValueError(f"line {number:,} has {len(line):,} characters; at most {_MOST_LINE:,} are taken")
        if not line.startswith("#") and line.count('"') > _MOST_QUOTES:
            raise ValueError(f"line {number:,} has more than {_MOST_QUOTES // 2} labels")


def _families(text: str, kind: str) -> Iterable[Metric]:
    openmetrics = kind.partition(";")[0].strip().lower() == "application/openmetrics-text"
    made: Iterable[Metric] = parse_openmetrics(text) if openmetrics else parse_text(text)  # type: ignore[no-untyped-call]
    return made
