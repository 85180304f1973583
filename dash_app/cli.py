"""The `dash-app` command: what is done at the machine itself, whether the server runs there or not.

It goes to the database and not through the server, so that it works for who has no token yet and when nothing is up. An
embedded database that runs is used as it runs; one that does not is started for the command and stopped after it.
Answers go to standard output, errors in one line to standard error with status 1; a wrong flag is status 2.
"""

from __future__ import annotations

import getpass
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from dash_app.app import App
from dash_app.checkup import examine
from dash_app.domain.access import Role
from dash_app.domain.errors import BadRequest, DashError, Forbidden, Invalid, NotFound
from dash_app.domain.events import Payload
from dash_app.domain.ids import PAYLOAD_SEQUENCE_BITS
from dash_app.domain.mapping import load_mapping_text, parse_mapping
from dash_app.domain.query import parse_time
from dash_app.logs import configure_logs
from dash_app.pipelines import rollout, setup
from dash_app.pipelines.mapping import compile_mapping
from dash_app.pipelines.preview import group_rejects
from dash_app.pipelines.query import frame_items, record_columns
from dash_app.replay_progress import follow
from dash_app.settings import Settings
from dash_app.storage import bronze, catalog, embedded, migrate, people, timescale, timescale_upkeep
from dash_app.storage.silver_columns import SYSTEM
from dash_app.storage.unit import Unit

cli = typer.Typer(name="dash-app", add_completion=False, pretty_exceptions_enable=False)
users = typer.Typer(help="People who can log in.")
tokens = typer.Typer(help="Tokens for programs.")
pipelines = typer.Typer(help="Pipelines and their mappings.")
secrets = typer.Typer(help="Secrets that are stored, encrypted.")
cli.add_typer(users, name="user")
cli.add_typer(tokens, name="token")
cli.add_typer(pipelines, name="pipeline")
cli.add_typer(secrets, name="secrets")

DataDir = Annotated[
    str | None, typer.Option("--data-dir", help="Folder for everything that is kept (DASH_DATA_DIR, ./var).")
]
#: What a wrong flag raises; Typer brings its own copy of Click's, under no public name but its subclasses'.
_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__base__)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TeamSlug = Annotated[str | None, typer.Option("--team", help="Slug of the team; the first one unless said.")]
RoleName = Annotated[str | None, typer.Option("--role", help="viewer, editor or admin.")]


@cli.callback()
def main_options() -> None:
    """Pipelines and live dashboards: people, tokens, pipelines, and what is wrong here."""


# Opening -------------------------------------------------------------------------------------------------------------


def load_settings(data_dir: str | None) -> Settings:
    return Settings.load(["--data-dir", data_dir] if data_dir else [], program="cli")


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The database's URL, for as long as it is needed."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    # Laid claim to even where it runs already, so that a server that ends meanwhile leaves it to us to stop.
    server = embedded.start(settings.data_dir)
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def opened(data_dir: str | None) -> Iterator[App]:
    """The application over a database that is at this release's migration."""
    settings = load_settings(data_dir)
    with database_url(settings) as url:
        migrate.upgrade(url)
        app = App.open(settings, url, name="dash-app", pool_size=2)
        try:
            yield app
        finally:
            app.close()


def team_of(unit: Unit, slug: str | None) -> UUID:
    """The team to work in. Raises NotFound with what to do where there is none yet."""
    try:
        return people.find_team(unit, slug)
    except NotFound:
        if slug is None:
            raise NotFound("there is no team yet; it is made with the first user: dash-app user create") from None
        raise


# People --------------------------------------------------------------------------------------------------------------


@users.command("create")
def create_user(
    email: Annotated[str, typer.Option("--email", help="The e-mail address to log in with.")],
    name: Annotated[str, typer.Option("--name", help="What to call them.")] = "",
    role: Annotated[str, typer.Option("--role", help="viewer, editor or admin.")] = "viewer",
    team: TeamSlug = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Makes a user and puts them into a team. The password is asked for, or read from standard input."""
    wanted = role_of(role)
    people.check_email(email)
    password = people.check_password(_password(password_stdin))
    with opened(data_dir) as app, app.database.ingest() as unit:
        # The very first user makes the first team, and has to be the one who can let others in.
        if team is None and not people.anybody(unit):
            home, wanted = people.create_team(unit, "main", "Main"), Role.admin
        else:
            home = team_of(unit, team)
        user = people.create_user(unit, email, password, name=name)
        people.add_member(unit, home, user, wanted)
        people.record(
            unit, None, home, "user.create", str(user), {"email": email, "role": wanted.name, "by": "dash-app"}
        )
        unit.commit()
    made = {"id": str(user), "email": people.check_email(email), "role": wanted.name}
    _say(as_json, made, f"{made['email']} can log in as {wanted.name}.")


@tokens.command("create")
def create_token(
    email: Annotated[str, typer.Option("--email", help="Whose token it is.")],
    name: Annotated[str, typer.Option("--name", help="What it is for.")],
    role: RoleName = None,
    team: TeamSlug = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Makes a token and prints it, alone and this once. Without --role it has the user's own role."""
    wanted = role_of(role) if role is not None else None
    with opened(data_dir) as app:
        with app.database.anyone() as unit:
            user = unit.value("SELECT user_id FROM find_login(%s) WHERE NOT disabled", (people.check_email(email),))
            found = people.memberships(unit, user) if user else []
        homes = [one for one in found if team is None or one.slug == team]
        if not homes:
            raise NotFound(f"no user {email}" if not found else f"{email} is in no team '{team}'")
        home = homes[0]
        if wanted is not None and wanted > home.role:
            raise Forbidden(f"a token's role is at most its user's own, {home.role.name}")
        with app.database.team(home.team) as unit:
            made, secret = people.create_token(unit, home.team, user, name, wanted or home.role)
            detail = {"name": made.name, "role": made.role.name, "by": "dash-app", "email": email}
            people.record(unit, None, home.team, "token.create", str(made.id), detail)
            unit.commit()
    _say(as_json, {"id": str(made.id), "token": secret, "role": made.role.name, "team": home.slug}, secret)


def role_of(text: str) -> Role:
    try:
        return Role[text]
    except KeyError:
        raise BadRequest(f"--role: '{text[:40]}' is unknown; one of {', '.join(role.name for role in Role)}") from None


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadRequest("no terminal to ask for a password; give it with --password-stdin")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise BadRequest("the two passwords differ")
    return first


# Pipelines -----------------------------------------------------------------------------------------------------------


@pipelines.command("list")
def list_pipelines(team: TeamSlug = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Lists a team's pipelines with their counts."""
    with opened(data_dir) as app:
        with app.database.ingest() as unit:
            home = team_of(unit, team)
        with app.database.team(home) as unit:
            found = catalog.pipelines(unit, limit=100_000)
            stats = catalog.stats(unit, [one.id for one in found])
    rows = [
        {
            "id": str(one.id),
            "slug": one.slug,
            "name": one.name,
            "state": one.state,
            "source": one.source_kind,
            "mapping_version": one.mapping_version,
            **asdict(stats[one.id]),
        }
        for one in found
    ]
    if as_json:
        _print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("pipeline", "state", "source", "mapping"):
        table.add_column(title)
    for title in ("payloads", "records", "rejects", "waiting"):
        table.add_column(title, justify="right")
    for row in rows:
        version = f"v{row['mapping_version']}" if row["mapping_version"] else "none yet"
        counts = (f"{row[name]:,}" for name in ("payloads", "records", "rejects", "pending"))
        table.add_row(row["slug"], row["state"], row["source"], version, *counts)
    Console().print(table if rows else "No pipelines yet.")


@pipelines.command("preview")
def preview_mapping(
    slug: Annotated[str, typer.Argument(help="The pipeline's slug or id.")],
    mapping: Annotated[
        Path, typer.Option("--mapping", help="A mapping document in YAML or JSON; - for standard input.")
    ],
    payload: Annotated[
        list[Path] | None,
        typer.Option("--payload", help="A file to try it on; without one, the newest stored payloads."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many stored payloads.")] = 10,
    team: TeamSlug = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Tries a mapping out on payloads and saves nothing. Status 1 where the mapping is not valid."""
    spec = parse_mapping(load_mapping_text(_read(mapping)))
    plan = compile_mapping(spec)
    with opened(data_dir) as app:
        with app.database.ingest() as unit:
            home = team_of(unit, team)
        with app.database.team(home) as unit:
            found = catalog.pipeline(unit, slug)
            if payload:
                tried = [_payload(found.id, number, path) for number, path in enumerate(payload)]
            else:
                tried = bronze.newest(unit, app.objects, found.id, limit=limit)
    mapped = plan.run(tried)
    fields = {field.name: field for field in spec.fields}
    columns = record_columns({**SYSTEM, **fields})
    records = frame_items(mapped.frame.select([*SYSTEM, *fields]), columns)
    rejects = [asdict(one) | {"payload": str(one.payload)} for one in mapped.rejects]
    if as_json:
        _print_json({"payloads": len(tried), "records": records, "rejects": rejects})
        return
    console = Console()
    console.print(f"{len(tried)} payloads: {len(records)} records, {len(rejects)} rejects", highlight=False)
    if records:
        table = Table(box=None, pad_edge=False)
        for name in ("_time", *fields):
            table.add_column(name)
        for record in records[:20]:
            table.add_row(*(_cell(record[name]) for name in ("_time", *fields)))
        console.print(table)
    for group in group_rejects(mapped.rejects)[:20]:
        console.print(group.sentence(len(tried)), markup=False, highlight=False)


def _payload(pipeline: UUID, number: int, path: Path) -> Payload:
    now = datetime.now(UTC)
    kinds = {".csv": "text/csv", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}
    identity = (int(now.timestamp() * 1000) << PAYLOAD_SEQUENCE_BITS) + number
    kind = kinds.get(path.suffix.lower(), "application/json")
    try:
        return Payload(identity, pipeline, now, kind, {}, path.read_bytes(), str(path))
    except OSError as error:
        raise BadRequest(f"--payload: {path}: {error.strerror}") from None


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"--mapping: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadRequest(f"--mapping: {path} is not UTF-8") from None


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@pipelines.command("replay")
def replay_pipeline(
    slug: Annotated[str, typer.Argument(help="The pipeline's slug or id.")],
    mapping_version: Annotated[
        int | None,
        typer.Option("--mapping-version", min=1, help="The version to map with; the active one unless said."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Only payloads received from then on: ISO 8601, or now-7d.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Only payloads received before.")] = None,
    throttle: Annotated[int | None, typer.Option("--throttle", min=1, help="At most so many records a second.")] = None,
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until its end; status 1 where it does not get there.")
    ] = False,
    rollback: Annotated[
        bool,
        typer.Option("--rollback", help="Instead: go back to what was read before the last one, or forward again."),
    ] = False,
    team: TeamSlug = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Maps all that was received anew, and switches over at the end. It goes on by itself unless --wait is given."""
    now = datetime.now(UTC)
    reach = [parse_time(text, now, place=place) if text else None for text, place in ((start, "--from"), (end, "--to"))]
    with opened(data_dir) as app:
        with app.database.ingest() as unit:
            home = team_of(unit, team)
        with app.database.team(home) as unit:
            found = catalog.pipeline(unit, slug)
            if rollback:
                moved = rollout.roll_back(unit, found, "dash-app")
                unit.commit()
            else:
                version = mapping_version or found.mapping_version
                if version is None:
                    raise BadRequest(f"the pipeline '{slug}' has no mapping yet")
                made = rollout.begin_replay(
                    unit, found, version, "dash-app", start=reach[0], end=reach[1], throttle=throttle, note=note
                )
                unit.commit()
        if rollback:
            setup.close_view(app, found.id)
        setup.ring(app, found.id)
        if rollback:
            said = {"pipeline": str(found.id), "mapping_version": moved.mapping_version}
            _say(as_json, said, f"Version {moved.mapping_version} of {found.slug} is read now.")
            return
        if not wait:
            said = {"id": str(made), "pipeline": str(found.id), "mapping_version": version, "state": "queued"}
            _say(as_json, said, f"The replay {made} of {found.slug} under version {version} is queued.")
            return
        ended = follow(app, made, Console(stderr=True, quiet=as_json))
    document = {
        "id": str(ended.id),
        "pipeline": str(ended.pipeline),
        "mapping_version": ended.version,
        "state": ended.state,
        "payloads": ended.payloads,
        "records": ended.records,
        "rejects": ended.rejects,
        "seconds": round(ended.seconds, 3),
        "error": ended.error,
    }
    text = f"{ended.payloads:,} payloads in {ended.seconds:.1f} s: {ended.records:,} records, {ended.rejects:,} rejects"
    if ended.state == "done":
        _say(as_json, document, f"Version {ended.version} of {found.slug} is read now. {text}")
        return
    if as_json:
        _print_json(document)
    else:
        print(
            f"dash-app: the replay is {ended.state}{': ' if ended.error else ''}{ended.error}; {text}", file=sys.stderr
        )
    raise typer.Exit(1)


# Secrets -------------------------------------------------------------------------------------------------------------


@secrets.command("rotate")
def rotate_secrets(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Puts every stored secret of every team under the first key of DASH_SECRET_KEY, so that older keys can go.

    All of them or none: status 1, with nothing changed, where one cannot be read with any key.
    """
    with opened(data_dir) as app, app.database.ingest() as unit:
        count = app.vault.rotate_all(unit)
        for (team,) in unit.rows("SELECT DISTINCT team_id FROM secrets"):
            people.record(unit, None, team, "secrets.rotate", "", {"by": "dash-app"})
        unit.commit()
        keys = len(app.settings.secret_keys)
    older = "" if keys == 1 else f"; the {keys - 1} older of {keys} keys can go, once every node has the first one"
    _say(as_json, {"secrets": count, "keys": keys}, f"{count:,} stored secrets are under the newest key now{older}.")


# Doctor --------------------------------------------------------------------------------------------------------------


@cli.command("doctor")
def doctor(
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild-manifest", help="Instead: put lost rows of bronze's manifest back from its objects."),
    ] = False,
    hypertables: Annotated[
        bool,
        typer.Option("--hypertables", help="Instead: make hypertables of large plain tables, where TimescaleDB is."),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Looks at everything that Dash needs here. Status 1 where something fails."""
    if rebuild:
        _rebuild_manifest(data_dir, as_json)
        return
    if hypertables:
        _make_hypertables(data_dir, as_json)
        return
    findings = examine(lambda: load_settings(data_dir))
    if as_json:
        _print_json([asdict(one) for one in findings])
    else:
        console = Console()
        colours = {"ok": "green", "warn": "yellow", "fail": "red"}
        for one in findings:
            console.print(f"[{colours[one.state]}]{one.state:<4}[/]  {one.name:<16}  ", end="", highlight=False)
            console.print(one.text, markup=False, highlight=False, soft_wrap=True)
    if any(one.state == "fail" for one in findings):
        raise typer.Exit(1)


def _rebuild_manifest(data_dir: str | None, as_json: bool) -> None:
    with opened(data_dir) as app:
        done = bronze.rebuild_manifest(app.database, app.objects)
    if as_json:
        _print_json(asdict(done))
    else:
        for key in done.added:
            print(f"added    {key}")
        for key in done.damaged:
            print(f"damaged  {key}")
        for name in done.unknown:
            print(f"unknown  {name}: no such pipeline in this database; its objects are left alone")
        for name in done.busy:
            print(f"busy     {name}: its files are being changed just now; run this again")
        print(
            f"{done.objects:,} objects: {done.named:,} are in the manifest, {len(done.added):,} were added with "
            f"{done.payloads:,} payloads, {done.superfluous:,} hold nothing that is not counted already"
        )
    if done.damaged or done.busy:
        raise typer.Exit(1)


def _make_hypertables(data_dir: str | None, as_json: bool) -> None:
    """One after the other, the smallest first; what cannot be done at the moment is named and passed over."""
    moved: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with opened(data_dir) as app:
        with app.database.ingest() as unit:
            found = timescale.look(unit)
            if found.version is None:
                raise BadRequest(f"--hypertables: TimescaleDB is not used here: {found.reason}")
            large = timescale_upkeep.large(unit)
        for one in large:
            place = {"pipeline": one.pipeline, "version": one.version.version, "generation": one.version.generation}
            try:
                moved.append(place | {"rows": timescale_upkeep.move(app.database, one.version)})
            except DashError as error:
                failed.append(place | {"error": error.message})
    if as_json:
        _print_json({"moved": moved, "failed": failed})
    else:
        for row in moved:
            print(f"moved    {row['pipeline']}, version {row['version']}: {row['rows']:,} rows")
        for row in failed:
            print(f"left     {row['pipeline']}, version {row['version']}: {row['error']}")
        print(f"{len(moved)} large tables are hypertables now, {len(failed)} are as they were")
    if failed:
        raise typer.Exit(1)


# Saying --------------------------------------------------------------------------------------------------------------


def _say(as_json: bool, document: dict[str, Any], text: str) -> None:
    if as_json:
        _print_json(document)
    else:
        print(text)


def _print_json(document: Any) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def run(arguments: Sequence[str]) -> int:
    """Runs a command and answers its exit status: 0, 1 with one line of what went wrong, 2 for a wrong flag."""
    try:
        ended = cli(args=list(arguments), standalone_mode=False)
    except Invalid as error:
        lines = [f"{place}: {what}" if place else what for place, what in error.problems] or [error.message]
        print(f"dash-app: {'; '.join(lines)}", file=sys.stderr)
        return 1
    except DashError as error:
        print(f"dash-app: {' '.join(error.message.split())}", file=sys.stderr)
        return 1
    except _UsageError as error:
        print(f"dash-app: {' '.join(error.format_message().split()).rstrip('.')}; see --help", file=sys.stderr)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        print("dash-app: ended by hand", file=sys.stderr)
        return 1
    return ended if isinstance(ended, int) else 0


def main() -> None:
    """The console script."""
    # To standard error, as everywhere, and only what is amiss: what a command has done is in its answer.
    configure_logs("console", component="dash-app")
    logging.getLogger().setLevel(logging.WARNING)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
