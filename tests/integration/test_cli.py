"""The command against a real database: what it prints, where, and with which status."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dash_app import cli
from dash_app.domain.events import Arrival
from dash_app.pipelines import setup
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import bronze, embedded, payloads
from tests.integration.rest import KEY

PASSWORD = "correct horse battery 9"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as a shell would: (status, standard output, standard error)."""
    monkeypatch.setenv("DASH_DATABASE_URL", database_url)
    monkeypatch.setenv("DASH_SECRET_KEY", KEY)
    monkeypatch.setenv("DASH_DATA_DIR", str(tmp_path / "data"))

    def command(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = cli.run(arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def user(run: Run, email: str = "ada@example.org", *more: str) -> tuple[int, str, str]:
    return run("user", "create", "--email", email, "--name", "Ada", "--password-stdin", *more, stdin=PASSWORD + "\n")


def failed(answer: tuple[int, str, str], status: int, word: str) -> None:
    code, out, err = answer
    assert (code, out) == (status, "")
    assert err.count("\n") == 1
    assert err.startswith("dash-app: ")
    assert word in err


def test_the_first_user_has_the_first_team_and_tokens_are_printed_alone(run: Run) -> None:
    failed(run("token", "create", "--email", "ada@example.org", "--name", "t"), 1, "no user ada@example.org")
    status, out, _ = user(run)
    assert (status, out) == (0, "ada@example.org can log in as admin.\n")
    failed(user(run), 1, "already")
    status, out, err = run("token", "create", "--email", "ADA@example.org ", "--name", "t")
    assert (status, err) == (0, "")
    assert out.startswith("dash_")
    assert out == out.strip() + "\n"
    status, out, _ = run("token", "create", "--email", "ada@example.org", "--name", "t", "--role", "viewer", "--json")
    assert {"id", "token", "role", "team"} <= json.loads(out).keys()
    assert json.loads(out)["role"] == "viewer"
    assert user(run, "vic@example.org", "--role", "viewer")[0] == 0
    failed(run("token", "create", "--email", "vic@example.org", "--name", "t", "--role", "admin"), 1, "at most")
    failed(run("token", "create", "--email", "vic@example.org", "--name", "t", "--team", "nowhere"), 1, "nowhere")


def test_what_is_wrong_is_one_line_and_a_status(run: Run) -> None:
    failed(run("token", "create"), 2, "--email")
    failed(run("nonsense"), 2, "nonsense")
    failed(run(), 2, "Missing command")
    failed(run("user", "create", "--email", "no-address", "--password-stdin", stdin="x" * 12), 1, "no-address")
    failed(run("user", "create", "--email", "a@b.c", "--password-stdin", stdin="short"), 1, "10 characters")
    failed(run("user", "create", "--email", "a@b.c", "--role", "king", "--password-stdin", stdin="x" * 12), 1, "king")
    failed(run("user", "create", "--email", "a@b.c"), 1, "--password-stdin")
    failed(run("pipeline", "list"), 1, "user create")


def test_pipelines_are_listed_and_mappings_tried_out(run: Run, tmp_path: Path) -> None:
    user(run)
    assert run("pipeline", "list")[1].strip() == "No pipelines yet."
    with cli.opened(None) as app:
        from dash_app.pipelines.setup import create_pipeline

        with app.database.ingest() as unit:
            document = {"name": "Weather", "source": {"kind": "webhook"}}
            create_pipeline(unit, app, cli.team_of(unit, None), document, "test")
            unit.commit()
    status, out, _ = run("pipeline", "list")
    assert status == 0
    assert "weather" in out
    (listed,) = json.loads(run("pipeline", "list", "--json")[1])
    assert {"slug", "state", "payloads", "records", "rejects"} <= listed.keys()
    mapping, payload = tmp_path / "m.yaml", tmp_path / "p.json"
    mapping.write_text("fields:\n  - {name: n, path: $.n, type: number}\n")
    payload.write_text('[{"n": 1}, {"n": "x"}]')
    arguments = ("pipeline", "preview", "weather", "--mapping", str(mapping))
    tried = json.loads(run(*arguments, "--payload", str(payload), "--json")[1])
    assert [record["n"] for record in tried["records"]] == [1]
    assert [reject["field"] for reject in tried["rejects"]] == ["n"]
    assert "1 records, 1 rejects" in run(*arguments, "--payload", str(payload))[1]
    assert "0 payloads" in run(*arguments)[1]
    failed(run("pipeline", "preview", "nowhere", "--mapping", str(mapping)), 1, "nowhere")
    failed(run("pipeline", "preview", "weather", "--mapping", str(tmp_path / "none")), 1, "none")
    mapping.write_text("fields:\n  - {name: n, path: $.n, type: numbr}\n")
    failed(run(*arguments), 1, "fields[0].type")


def replayable(run: Run, *bodies: bytes) -> None:
    """A pipeline `weather` with a second version that nobody reads yet, and payloads mapped under the first."""
    user(run)
    with cli.opened(None) as app:
        with app.database.ingest() as unit:
            fields = [{"name": "n", "path": "$.n", "type": "number"}]
            given = {"name": "Weather", "source": {"kind": "webhook"}, "mapping": {"fields": fields}}
            made, _ = setup.create_pipeline(unit, app, cli.team_of(unit, None), given, "test")
            payloads.accept(unit, [Arrival(made.id, made.team, body) for body in bodies])
            unit.commit()
        Ingest(app).run(made.id)
        with app.database.team(made.team) as unit:
            twice = {"name": "twice", "sql": "n * 2", "type": "number"}
            setup.save_mapping(unit, made.id, {"fields": [*fields, twice]}, "test", activate="no")
            unit.commit()


def test_a_replay_is_begun_waited_for_and_taken_back(run: Run) -> None:
    replayable(run, b'{"n": 1}', b'{"n": "x"}')
    # No worker runs here: the command does the work.
    status, out, _ = run("pipeline", "replay", "weather", "--mapping-version", "2", "--wait", "--note", "twice")
    assert (status, out.startswith("Version 2 of weather is read now. 2 payloads in ")) == (0, True)
    assert out.endswith(": 1 records, 1 rejects\n")
    assert json.loads(run("pipeline", "list", "--json")[1])[0]["mapping_version"] == 2
    status, out, _ = run("pipeline", "replay", "weather", "--rollback", "--json")
    assert (status, json.loads(out)["mapping_version"]) == (0, 1)
    assert run("pipeline", "replay", "weather", "--rollback")[1] == "Version 2 of weather is read now.\n"
    status, out, _ = run("pipeline", "replay", "weather", "--from", "now-1d", "--to", "now+1d", "--wait", "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["state"], told["mapping_version"], told["payloads"], told["records"]) == ("done", 2, 2, 1)


def test_a_replay_that_is_not_waited_for_is_queued_and_a_second_refused(run: Run) -> None:
    replayable(run, b'{"n": 1}')
    status, out, _ = run("pipeline", "replay", "weather", "--throttle", "5", "--json")
    assert (status, json.loads(out)["state"], json.loads(out)["mapping_version"]) == (0, "queued", 1)
    failed(run("pipeline", "replay", "weather"), 1, "under way")
    failed(run("pipeline", "replay", "nowhere"), 1, "nowhere")
    failed(run("pipeline", "replay", "weather", "--rollback"), 1, "nothing to go back to")
    failed(run("pipeline", "replay", "weather", "--from", "sometime"), 1, "--from")
    failed(run("pipeline", "replay", "weather", "--throttle", "0"), 2, "--throttle")


def test_a_replay_that_fails_says_why_with_status_1(run: Run) -> None:
    replayable(run, b'{"n": 1}')
    with cli.opened(None) as app:
        with app.database.ingest() as unit:
            pipeline = unit.value("SELECT id FROM pipelines")
        bronze.archive(app.database, app.objects, pipeline)
        with app.database.ingest() as unit:
            key = unit.value("SELECT key FROM bronze_files")
            unit.execute("DELETE FROM payloads")
            unit.commit()
        app.objects.delete(key)
    status, out, err = run("pipeline", "replay", "weather", "--mapping-version", "2", "--wait")
    assert (status, out) == (1, "")
    assert "the replay is failed" in err
    assert key in err


def findings(answer: tuple[int, str, str]) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(answer[1])}


def test_the_doctor_names_each_part_and_fails_where_one_fails(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test's own server is set up for speed and not to keep what it is told, which the doctor must not let pass.
    status, out, _ = run("doctor")
    assert "durability" in out
    found = findings(run("doctor", "--json"))
    assert found["durability"]["state"] == "fail"
    assert status == 1
    wanted = {
        "settings",
        "disk",
        "open files",
        "database",
        "timescaledb",
        "migrations",
        "workers",
        "queue",
        "secrets",
        "object store",
    }
    assert wanted <= found.keys()
    assert found["workers"]["state"] == "warn"
    assert all(found[name]["state"] == "ok" for name in ("settings", "database", "migrations", "queue", "object store"))
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO dash.secrets SELECT gen_random_uuid(), gen_random_uuid(), 's', 0, 'other key'")
    assert findings(run("doctor", "--json"))["secrets"]["state"] == "fail"
    monkeypatch.setenv("DASH_PORT", "many")
    answer = run("doctor")
    assert answer[0] == 1
    assert "DASH_PORT" in answer[1]


def test_without_timescaledb_there_is_no_hypertable_to_make(run: Run) -> None:
    failed(run("doctor", "--hypertables"), 1, "TimescaleDB is not used here: not there")
    assert findings(run("doctor", "--json"))["timescaledb"]["text"] == "not used, tables are plain: not there"


def test_the_doctor_says_what_cannot_be_reached(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DASH_DATABASE_URL", "postgresql://nobody:canary@127.0.0.1:1/dash")
    answer = run("doctor", "--json")
    assert answer[0] == 1
    assert findings(answer)["database"]["state"] == "fail"
    assert "canary" not in answer[1]
    monkeypatch.delenv("DASH_DATABASE_URL")
    monkeypatch.setenv("DASH_DATA_DIR", str(tmp_path / "empty"))
    answer = run("doctor", "--json")
    assert answer[0] == 0
    assert findings(answer)["database"]["state"] == "warn"
    assert not (tmp_path / "empty" / "postgres").exists()


def test_an_unmigrated_database_is_no_error(run: Run, postgres: str) -> None:
    # Roles are the cluster's, and the template has made them: the schema is what is missing here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASH_DATABASE_URL", postgres)
        found = findings(run("doctor", "--json"))
    assert found["migrations"]["state"] in ("warn", "fail")
    assert "serve.py" in found["migrations"]["text"]


def test_an_embedded_database_is_used_as_it_runs_and_stopped_where_it_did_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="dash-test-"))
    try:
        for name in ("DASH_DATABASE_URL", "DASH_SECRET_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
        arguments = ["--email", "ada@example.org", "--data-dir", str(folder)]
        assert cli.run(["user", "create", *arguments, "--password-stdin"]) == 0
        assert embedded.running(folder) is None
        server = embedded.start(folder)
        try:
            assert cli.run(["token", "create", *arguments, "--name", "t"]) == 0
            assert server.alive
        finally:
            server.stop()
        assert capsys.readouterr().out.splitlines()[-1].startswith("dash_")
    finally:
        shutil.rmtree(folder)


def test_secrets_come_under_the_newest_key_all_or_none(
    run: Run, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user(run)
    with cli.opened(None) as app, app.database.ingest() as unit:
        team = cli.team_of(unit, None)
        pipelines = [
            setup.create_pipeline(unit, app, team, {"name": name, "source": {"kind": "webhook"}}, "test")[0].id
            for name in ("One", "Two")
        ]
        before = [app.vault.get_all(unit, one, "webhook") for one in pipelines]
        unit.commit()
    newer = "mT8kQ2vX9bLw4ZcR7nYp3HsJ6dGfA1eU5iOq"
    monkeypatch.setenv("DASH_SECRET_KEY", newer)
    failed(run("secrets", "rotate"), 1, "DASH_SECRET_KEY")
    monkeypatch.setenv("DASH_SECRET_KEY", f"{newer},{KEY}")
    status, out, err = run("secrets", "rotate", "--json")
    assert (status, err, json.loads(out)) == (0, "", {"secrets": 2, "keys": 2})
    assert not any(secret in out for found in before for secret in found)
    monkeypatch.setenv("DASH_SECRET_KEY", newer)
    with cli.opened(None) as app, app.database.ingest() as unit:
        assert [app.vault.get_all(unit, one, "webhook") for one in pipelines] == before
        assert unit.value("SELECT count(*) FROM audit WHERE action = 'secrets.rotate'") == 1
    assert run("secrets", "rotate")[1] == "2 stored secrets are under the newest key now.\n"
