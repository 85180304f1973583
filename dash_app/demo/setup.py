"""Makes the demo's pipelines and dashboards where a team has nothing yet, and tells their polls where the feeds
listen now."""

from __future__ import annotations

from uuid import UUID

from dash_app.demo.dashboards import dashboards
from dash_app.demo.definitions import pipelines
from dash_app.demo.server import ADDRESS
from dash_app.domain.errors import NotFound
from dash_app.pipelines.receive import SECRET
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.setup import create_pipeline
from dash_app.storage import catalog
from dash_app.storage import dashboards as stored

AUTHOR = "demo"


def make(resources: Resources, team: UUID, feed_url: str) -> None:
    """Blocks. Does nothing to pipelines and dashboards that somebody has removed or renamed."""
    with resources.database.team(team) as unit:
        if not catalog.pipelines(unit, limit=1) and not stored.uids(unit):
            for document in pipelines(feed_url):
                create_pipeline(unit, resources, team, document, AUTHOR)
            for document in dashboards():
                stored.create(unit, team, document, author=AUTHOR)
            unit.commit()
            return
        for document in pipelines(feed_url):
            options = document["source"]["options"]
            try:
                found = catalog.pipeline(unit, document["slug"])
            except NotFound:
                continue
            known = str(found.source_options.get("url", ""))
            if known.startswith(f"http://{ADDRESS}:") and known != options.get("url"):
                catalog.update_pipeline(
                    unit, found.id, {"source_options": {**found.source_options, "url": options["url"]}}
                )
        unit.commit()


def webhook_of(resources: Resources, team: UUID, slug: str) -> tuple[UUID, str] | None:
    """The id and secret of the demo pipeline that receives; None where somebody has removed it."""
    with resources.database.team(team) as unit:
        try:
            found = catalog.pipeline(unit, slug)
        except NotFound:
            return None
        secrets = resources.vault.get_all(unit, found.id, SECRET)
        return (found.id, secrets[0]) if secrets else None
