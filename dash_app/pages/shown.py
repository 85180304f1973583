"""What the workspace answers: the house's data as pages show them, frozen and without a way back to the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dash_app.domain.specs import DashboardLine, Pipeline, PipelineStats
from dash_app.pages.sourced import Script

if TYPE_CHECKING:
    from dash_app.storage.ledger import Poll, Run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Line:
    """One pipeline as lists show it."""

    pipeline: Pipeline
    stats: PipelineStats
    health: str
    #: Rejects of the last hour, and how many polls have failed in a row.
    rejects: int
    failures: int

    @property
    def address(self) -> str:
        return address_of(self.pipeline)

    @property
    def counts(self) -> Sequence[Any]:
        """What a pipeline's page is drawn anew for, as pipeline-page.js puts it together from the live view."""
        stats, last = self.stats, self.stats.last_received
        received = (last - _EPOCH) // timedelta(milliseconds=1) if last else None
        return stats.records, stats.rejects, stats.pending, received, self.pipeline.state, self.pipeline.name


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows. `today`: records of the last 24 hours; None where they were not counted."""

    lines: Sequence[Line]
    dashboards: Sequence[DashboardLine]
    today: int | None

    @property
    def attention(self) -> list[Line]:
        """Pipelines that somebody should look at, the worst first."""
        order = {"failing": 0, "rejects": 1, "waiting": 2}
        return sorted((line for line in self.lines if line.health in order), key=lambda line: order[line.health])


@dataclass(frozen=True, slots=True)
class Detail:
    """One pipeline as its own page shows it."""

    line: Line
    options: Mapping[str, Any]
    webhook_url: str | None
    #: How senders sign, and how many secrets are valid now.
    signed: bool
    secrets: int
    #: Scripts that post a sample, with a placeholder for the secret.
    scripts: Sequence[Script]
    poll: Poll | None
    last_run: Run | None
    dashboard: str | None
    #: Whether anything has been written into a table yet.
    fields: Sequence[str]

    @property
    def pipeline(self) -> Pipeline:
        return self.line.pipeline


@dataclass(frozen=True, slots=True)
class Created:
    """A new pipeline with what is shown this once."""

    pipeline: Pipeline
    secret: str | None
    webhook_url: str | None
    #: Scripts that post a sample, with the secret in them.
    scripts: Sequence[Script]
    signed: bool
    #: Where the sender's own secret stands, where the sender makes it.
    secret_from: str = ""


def address_of(pipeline: Pipeline) -> str:
    """The path of a pipeline's page: its slug, or its id where another page has that name."""
    return f"/pipelines/{pipeline.id if pipeline.slug == 'new' else pipeline.slug}"
