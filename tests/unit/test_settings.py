"""Every setting can be given, flags win over the environment, and a wrong one is one line that helps."""

from __future__ import annotations

import os
import stat
from ipaddress import ip_network
from pathlib import Path

import pytest

from dash_app.domain.errors import SettingsError
from dash_app.secret_key import FILE, check_secret_key, stored_secret_key
from dash_app.settings import WORKER_ROLES, Settings

KEY = "kT3v9QmZ7xW2pLr8nBf5cYh1sDg6jUa0eXo4iR"
OTHER = "Zq8LwN2eVb6TyHu4KmJx9CsPd1GaRf7oIt3EzX"
OWN = {"DASH_DATABASE_URL": "postgresql://me:hidden@db.example.org/dash", "DASH_SECRET_KEY": KEY}


def load(tmp_path: Path, *argv: str, program: str = "serve", **environ: str) -> Settings:
    return Settings.load(argv, {"DASH_DATA_DIR": str(tmp_path / "var"), **environ}, program=program)  # type: ignore[arg-type]


def test_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.role, settings.port, settings.address, settings.workers) == ("all", 5006, "127.0.0.1", 2)
    assert settings.data_dir == tmp_path / "var"
    assert settings.bronze_url == (tmp_path / "var" / "bronze").as_uri()
    assert settings.database_url is None
    assert settings.demo
    assert settings.allowed_networks == ()
    assert settings.log_format == "console"


def test_default_data_dir_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.load([], {}, program="serve").data_dir == tmp_path / "var"


def test_flags_win_over_environment(tmp_path: Path) -> None:
    environ = {"DASH_PORT": "1", "APP_ROLE": "web", "DASH_DEMO": "true", "DASH_WORKERS": "9"}
    settings = load(tmp_path, "--port=8080", "--role", "all", "--no-demo", "--workers", "3", **environ)
    assert (settings.port, settings.role, settings.demo, settings.workers) == (8080, "all", False, 3)


def test_environment_alone(tmp_path: Path) -> None:
    environ = {
        **OWN,
        "APP_ROLE": "ingestor",
        "DASH_ADDRESS": "::1",
        "DASH_BRONZE_URL": "s3://bucket/some/prefix/",
        "DASH_S3_ENDPOINT": "http://127.0.0.1:9000/",
        "DASH_SECRET_KEY": f"{KEY}, {OTHER}",
        "DASH_ADMIN_EMAIL": "owner@example.org",
        "DASH_ADMIN_PASSWORD": "correct horse",
        "DASH_PUBLIC_URL": "https://dash.example.org/",
        "DASH_SMTP_URL": "smtp://a:b@mail.example.org:587",
        "DASH_ALLOWED_NETWORKS": "10.0.0.0/8, fd00::/8",
        "DASH_WATCH_ROOTS": f"{tmp_path}/in/../in, /srv/drop",
        "DASH_LOG_FORMAT": "json",
    }
    settings = load(tmp_path, **environ)
    assert settings.role == "ingestor"
    assert settings.bronze_url == "s3://bucket/some/prefix"
    assert settings.s3_endpoint == "http://127.0.0.1:9000"
    assert settings.secret_keys == (KEY, OTHER)
    assert settings.public_url == "https://dash.example.org"
    assert settings.allowed_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.watch_roots == ((tmp_path / "in").resolve(), Path("/srv/drop").resolve())
    assert settings.log_format == "json"
    assert not settings.demo
    assert not (tmp_path / "var").exists(), "nothing of this node rests in the data folder"


def test_empty_variable_is_unset(tmp_path: Path) -> None:
    assert load(tmp_path, DASH_PORT=" ", DASH_DATABASE_URL="").port == 5006


def test_postgres_scheme_is_normalized(tmp_path: Path) -> None:
    settings = load(tmp_path, **{**OWN, "DASH_DATABASE_URL": "postgres:///dash?host=/run/pg"})
    assert settings.database_url == "postgresql:///dash?host=/run/pg"


def test_demo_on_own_database_only_when_asked(tmp_path: Path) -> None:
    assert not load(tmp_path, **OWN).demo
    assert load(tmp_path, "--demo", **OWN).demo


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("APP_ROLE", "worker", "web, ingestor, all"),
        ("DASH_PORT", "0", "1 to 65535"),
        ("DASH_PORT", "65536", "1 to 65535"),
        ("DASH_PORT", "http", "1 to 65535"),
        ("DASH_PORT", "٥٠٠٦", "1 to 65535"),
        ("DASH_ADDRESS", "300.1.1.1", "127.0.0.1"),
        ("DASH_ADDRESS", "a b", "127.0.0.1"),
        ("DASH_WORKERS", "0", "1 to 64"),
        ("DASH_WORKERS", "-1", "1 to 64"),
        ("DASH_DEMO", "maybe", "true or false"),
        ("DASH_DATABASE_URL", "mysql://host/dash", "postgresql://"),
        ("DASH_DATABASE_URL", "postgresql:dash", "postgresql://"),
        ("DASH_DATABASE_URL", "postgresql://host:port/dash", "postgresql://"),
        ("DASH_DATABASE_URL", "postgresql://host", "postgresql://"),
        ("DASH_DATABASE_URL", "postgresql+asyncpg://host/dash", "postgresql://"),
        ("DASH_BRONZE_URL", "/bronze", "file:///"),
        ("DASH_BRONZE_URL", "file://bronze", "file:///"),
        ("DASH_BRONZE_URL", "s3:///prefix", "s3://bucket/prefix"),
        ("DASH_BRONZE_URL", "gs://bucket", "s3://bucket/prefix"),
        ("DASH_S3_ENDPOINT", "minio:9000", "https://"),
        ("DASH_PUBLIC_URL", "dash.example.org", "https://"),
        ("DASH_PUBLIC_URL", "https://me:hidden@dash.example.org", "without"),
        ("DASH_SMTP_URL", "mail.example.org", "smtp://"),
        ("DASH_ADMIN_EMAIL", "owner", "owner@example.org"),
        ("DASH_ALLOWED_NETWORKS", "10.0.0.0/8,10.0.0.1/8", "10.0.0.0/8"),
        ("DASH_ALLOWED_NETWORKS", "internal", "10.0.0.0/8"),
        ("DASH_WATCH_ROOTS", "drop", "/srv/in"),
        ("DASH_WATCH_ROOTS", "/srv/in,/", "/srv/in"),
        ("DASH_SECRET_KEY", "short", "32"),
        ("DASH_SECRET_KEY", f"{KEY},", "32"),
        ("DASH_SECRET_KEY", "changeme" * 5, "random"),
        ("DASH_LOG_FORMAT", "xml", "console, json"),
    ],
)
def test_wrong_value_is_one_helpful_line(tmp_path: Path, variable: str, value: str, right: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, **{**OWN, variable: value})
    message = caught.value.message
    assert message.startswith(f"{variable}: ")
    assert right in message
    assert "\n" not in message
    assert "hidden" not in message


def test_flag_is_named_as_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--port: 'x' is not a port"):
        load(tmp_path, "--port", "x")


@pytest.mark.parametrize(
    ("program", "argv"),
    [
        ("serve", ["--colour"]),
        ("serve", ["extra"]),
        ("serve", ["--por", "1"]),
        ("serve", ["--port"]),
        ("worker", ["--port", "1"]),
        ("worker", ["--role", "web"]),
    ],
)
def test_unknown_or_incomplete_flag(tmp_path: Path, program: str, argv: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, *argv, program=program)
    assert argv[0] in caught.value.message
    assert "\n" not in caught.value.message


def test_a_worker_has_all_roles_or_those_that_are_named(tmp_path: Path) -> None:
    assert load(tmp_path, program="worker").worker_roles == WORKER_ROLES
    named = load(tmp_path, program="worker", DASH_WORKER_ROLES="io, ingest").worker_roles
    assert named == ("ingest", "io")
    with pytest.raises(SettingsError, match=r"^DASH_WORKER_ROLES: 'mail' is not known; any of ingest, "):
        load(tmp_path, program="worker", DASH_WORKER_ROLES="io,mail")


def test_workers_flag_needs_role_all(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--workers: "):
        load(tmp_path, "--workers", "2", "--role", "web")
    assert load(tmp_path, "--workers", "5", program="worker").workers == 5


def test_data_dir_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(SettingsError, match=r"^DASH_DATA_DIR: the folder .* cannot be made"):
        load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_data_dir_that_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o500)
    with pytest.raises(SettingsError, match=r"^DASH_DATA_DIR: .* not writable"):
        load(tmp_path)


def test_own_database_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^DASH_SECRET_KEY: missing"):
        load(tmp_path, DASH_DATABASE_URL=OWN["DASH_DATABASE_URL"])


@pytest.mark.parametrize(
    "key",
    [
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdefghijklmnopqrstuvwxyz",
        "a" * 64,
        "please-change-this-key-" + KEY,
        KEY + " ",
    ],
)
def test_sample_keys_are_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="random") as caught:
        check_secret_key(key)
    assert key not in str(caught.value)


def test_embedded_key_is_made_once(tmp_path: Path) -> None:
    first = load(tmp_path)
    path = tmp_path / "var" / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == [FILE]
    assert first.secret_keys == (path.read_text().strip(),)
    assert load(tmp_path).secret_keys == first.secret_keys
    assert load(tmp_path, DASH_SECRET_KEY=KEY).secret_keys == (KEY,)


def test_damaged_key_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("cut")
    with pytest.raises(SettingsError, match="too short"):
        stored_secret_key(tmp_path)
    assert (tmp_path / FILE).read_text() == "cut"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = repr(load(tmp_path, **OWN, DASH_ADMIN_PASSWORD="hidden", DASH_SMTP_URL="smtp://me:hidden@mail.example.org"))
    assert "hidden" not in shown
    assert KEY not in shown
