"""Setting a sink up, and what one does with it as a whole: change, pause, resume, delete, test, preview, re-send.

REST and pages come through here, so that a sink is the same whoever made it: its options checked by its kind, its
secrets in the vault and nowhere else, its condition and template tried before they are saved, and a line in the audit
trail, all in the transaction of the caller's unit of work, which the caller commits. `test` alone has units of its own:
nothing may be held open while the other side takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.access import Principal
from dash_app.domain.changes import SinkChanged
from dash_app.domain.errors import Conflict, Invalid
from dash_app.pipelines.delivery import outbox
from dash_app.pipelines.delivery.audit import name_of, record
from dash_app.pipelines.delivery.document import check, stored_secrets
from dash_app.pipelines.delivery.trial import Preview, Rendered, Tested, preview, test
from dash_app.pipelines.resources import Resources
from dash_app.storage import alerts, deliveries, delivery_history, sinks
from dash_app.storage.sinks import Sink
from dash_app.storage.unit import Unit

__all__ = [
    "MOST_RESENT",
    "Created",
    "Preview",
    "Rendered",
    "Tested",
    "cancel",
    "create_sink",
    "delete_sink",
    "free_slug",
    "pause",
    "preview",
    "resend",
    "resume",
    "rotate_secret",
    "test",
    "update_sink",
]

MOST_SINKS = 1000
#: Slugs that addresses beside those of sinks have.
RESERVED = ("preview", "new")
#: How many messages one call sends again.
MOST_RESENT = 10_000


@dataclass(frozen=True, slots=True)
class Created:
    """A sink that was made, and the secrets that were made with it, by option: shown this once."""

    sink: Sink
    secrets: Mapping[str, str]


def create_sink(
    unit: Unit, app: Resources, team: UUID, document: Mapping[str, Any], author: Principal | str
) -> Created:
    """A new active sink from its document; `name` and `kind` must be there.

    Raises Invalid with every place that is wrong, Conflict where the slug is taken.
    """
    checked = check(unit, app, document)
    slug = document.get("slug")
    if slug is not None:
        ids.check_slug(str(slug))
        if slug in RESERVED:
            raise Invalid(problems=[("slug", f"'{slug}' is the name of something else; choose another")])
    if unit.value("SELECT count(*) FROM sinks") >= MOST_SINKS:
        raise Conflict(f"a team has at most {MOST_SINKS:,} sinks")
    made = sinks.create(
        unit,
        team,
        slug=str(slug) if slug is not None else free_slug(unit, checked.name),
        name=checked.name,
        kind=checked.made.kind,
        options=checked.options,
        where=checked.where,
        template=checked.template,
        batch_size=checked.batch_size,
        batch_seconds=checked.batch_seconds,
        pipelines=[one.id for one in checked.pipelines],
        author=name_of(author),
    )
    generated = checked.made.generate_secrets()
    for name, text in {**checked.secrets, **generated}.items():
        app.vault.put(unit, team, made.id, name, text)
    record(unit, author, made, "sink.create", {"kind": made.kind})
    return Created(made, generated)


def update_sink(
    unit: Unit,
    app: Resources,
    ref: str | UUID,
    document: Mapping[str, Any],
    author: Principal | str,
    *,
    expected_revision: int | None = None,
) -> Sink:
    """Writes a sink's document anew; its kind and slug stay, and so do secrets that are left out of the options, unless
    another host is named that they would go to.

    Raises NotFound, Invalid, PreconditionFailed where another revision is stored.
    """
    found = sinks.lock(unit, ref, expected_revision=expected_revision)
    for name, stored in (("kind", found.kind), ("slug", found.slug)):
        if document.get(name) not in (None, stored):
            raise Invalid(problems=[(name, f"a sink keeps its {name}, here {stored}; make another sink")])
    kept = stored_secrets(unit, app, found)
    checked = check(unit, app, {**document, "kind": found.kind}, kept=kept, before=found.options, sink=found.id)
    made = sinks.update(
        unit,
        found,
        name=checked.name,
        options=checked.options,
        where=checked.where,
        template=checked.template,
        batch_size=checked.batch_size,
        batch_seconds=checked.batch_seconds,
        pipelines=[one.id for one in checked.pipelines],
        author=name_of(author),
    )
    given = document.get("options") or {}
    for name in type(checked.made).secrets & set(given):
        app.vault.delete(unit, found.id, name)
    for name, text in checked.secrets.items():
        if name in given:
            app.vault.put(unit, found.team, found.id, name, text)
    record(unit, author, made, "sink.update", {"revision": made.revision})
    return made


def delete_sink(
    unit: Unit, app: Resources, ref: str | UUID, author: Principal | str, *, expected_revision: int | None = None
) -> None:
    """Takes a sink away with all that waits for it.

    Raises NotFound, PreconditionFailed, and Conflict while an alert tells it: nobody would be told any more.
    """
    found = sinks.lock(unit, ref, expected_revision=expected_revision)
    if telling := alerts.of_sink(unit, found.id):
        named = ", ".join(one.slug for one in telling[:5])
        raise Conflict(f"this sink is told by alerts ({named}); take it out of them first")
    app.vault.delete(unit, found.id)
    sinks.delete(unit, found.id)
    record(unit, author, found, "sink.delete", {"name": found.name})


def pause(unit: Unit, ref: str | UUID, author: Principal | str) -> Sink:
    """Nothing is sent until `resume`; what is to be sent meanwhile waits."""
    return _move(unit, ref, "paused", f"Paused by {name_of(author)}.", author)


def resume(unit: Unit, ref: str | UUID, author: Principal | str) -> Sink:
    """Goes on where it was, with a clean slate: also after it was disabled."""
    made = _move(unit, ref, "active", "", author)
    deliveries.ring(unit, [made.id])
    return made


def rotate_secret(
    unit: Unit,
    app: Resources,
    ref: str | UUID,
    author: Principal | str,
    *,
    secret: str | None = None,
    keep_old: bool = True,
) -> str:
    """A new signing secret (or the one brought along), shown this once. `keep_old`: both sign until the next change, so
    that receivers can change over. Raises Conflict where the sink signs nothing."""
    found = sinks.lock(unit, ref)
    kind = app.sinks[found.kind]
    made = kind.from_options(found.options)
    fresh = {"secret": secret} if secret else made.generate_secrets()
    if "secret" not in kind.secrets or not made.generate_secrets():
        raise Conflict("this sink has no signing secret")
    if secret:
        kind.from_options({**found.options, "secret": secret}, "options")
    before = app.vault.get_all(unit, found.id, "secret")
    app.vault.delete(unit, found.id, "secret")
    app.vault.put(unit, found.team, found.id, "secret", fresh["secret"], slot=0)
    if keep_old and before:
        app.vault.put(unit, found.team, found.id, "secret", before[0], slot=1)
    unit.notify(SinkChanged(str(found.id)))
    record(unit, author, found, "sink.rotate_secret", {"keep_old": keep_old})
    return fresh["secret"]


# Messages ------------------------------------------------------------------------------------------------------------


def resend(
    unit: Unit,
    ref: str | UUID,
    author: Principal | str,
    *,
    delivery: UUID | None = None,
    states: Sequence[str] = ("dead",),
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = MOST_RESENT,
) -> int:
    """Sends messages again under the ids that they had; how many. `delivery`: this one, whatever its state, unless it
    waits already. Raises NotFound, and Conflict where nothing can be sent: the sink is disabled, or the message waits.
    """
    found = sinks.get(unit, ref)
    if found.state == "disabled":
        raise Conflict("this sink is disabled; resume it first")
    now = deliveries.clock(unit)
    if delivery is not None:
        one, _ = delivery_history.get(unit, found.id, delivery)
        if one.state == "waiting":
            raise Conflict("this message waits already, and will be sent")
        states = (one.state,)
    count = deliveries.resend(
        unit, found.id, now, delivery=delivery, states=states, since=since, until=until, limit=limit
    )
    if count:
        deliveries.ring(unit, [found.id], urgent=True)
        unit.notify(SinkChanged(str(found.id)))
        record(unit, author, found, "sink.resend", {"messages": count})
    return count


def cancel(unit: Unit, ref: str | UUID, delivery: UUID, author: Principal | str) -> None:
    """A message that waits is not sent any more. Raises NotFound, and Conflict where it does not wait."""
    found = sinks.get(unit, ref)
    one, _ = delivery_history.get(unit, found.id, delivery)
    if not deliveries.cancel(unit, found.id, delivery, deliveries.clock(unit)):
        raise Conflict(f"this message is {one.state}; only one that waits can be cancelled")
    unit.notify(SinkChanged(str(found.id)))
    record(unit, author, found, "sink.cancel", {"message": outbox.message_id(delivery)})


def free_slug(unit: Unit, name: str) -> str:
    """The slug of a name, with a number behind it where the team has such a sink already."""
    first = ids.slug_from(name)
    taken = {row[0] for row in unit.rows("SELECT slug FROM sinks WHERE starts_with(slug, %s)", (first[:36],))}
    if first not in taken and first not in RESERVED:
        return first
    return next(slug for number in range(2, 100_000) if (slug := f"{first[:35]}_{number}") not in taken)


def _move(unit: Unit, ref: str | UUID, state: str, note: str, author: Principal | str) -> Sink:
    found = sinks.lock(unit, ref)
    if found.state == state:
        return found
    made = sinks.move(unit, found.id, state, note, name_of(author))
    record(unit, author, made, f"sink.{'pause' if state == 'paused' else 'resume'}", {})
    return made
