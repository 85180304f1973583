"""One frozen value holds everything a process is told from outside: flags first, then the environment, then defaults.

It is read once, checked whole and handed down; nothing else looks at the environment. A wrong setting is a
SettingsError of one line: the setting by the name it was given under, what is wrong with it, and what would be right.
Values that may carry a password are never repeated in it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from re import fullmatch
from typing import Literal, NoReturn, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

from dash_app.domain.errors import SettingsError
from dash_app.secret_key import check_secret_key, stored_secret_key

Program = Literal["serve", "worker", "cli"]
Role = Literal["web", "ingestor", "all"]
LogFormat = Literal["console", "json"]
Network = IPv4Network | IPv6Network
T = TypeVar("T")

# Every setting: the environment variable, the flag of the same meaning if there is one, and who takes the flag.
FLAGS: Mapping[str, tuple[str, frozenset[Program]]] = {
    "APP_ROLE": ("--role", frozenset({"serve"})),
    "DASH_PORT": ("--port", frozenset({"serve"})),
    "DASH_ADDRESS": ("--address", frozenset({"serve"})),
    "DASH_DATA_DIR": ("--data-dir", frozenset({"serve", "worker", "cli"})),
    "DASH_DEMO": ("--demo", frozenset({"serve"})),
    "DASH_WORKERS": ("--workers", frozenset({"serve", "worker"})),
}
VARIABLES = (
    *FLAGS,
    "DASH_DATABASE_URL",
    "DASH_BRONZE_URL",
    "DASH_S3_ENDPOINT",
    "DASH_SECRET_KEY",
    "DASH_ADMIN_EMAIL",
    "DASH_ADMIN_PASSWORD",
    "DASH_PUBLIC_URL",
    "DASH_SMTP_URL",
    "DASH_ALLOWED_NETWORKS",
    "DASH_WATCH_ROOTS",
    "DASH_WORKER_ROLES",
    "DASH_LOG_FORMAT",
)
#: What the processes of a worker do.
WORKER_ROLES = ("ingest", "replay", "io", "deliver", "streams", "alerts")
HELP = {
    "APP_ROLE": "web, ingestor or all (default: all)",
    "DASH_PORT": "port to listen on (default: 5006)",
    "DASH_ADDRESS": "address to listen on (default: 127.0.0.1)",
    "DASH_DATA_DIR": "folder for everything that is kept (default: ./var)",
    "DASH_WORKERS": "consumers that map payloads (default: 2)",
}


@dataclass(frozen=True)
class Settings:
    """Everything a process is told; `docs/settings.md` explains each."""

    role: Role
    port: int
    address: str
    data_dir: Path  # absolute
    demo: bool
    workers: int
    database_url: str | None = field(repr=False)  # postgresql://…; None: the embedded server under data_dir
    bronze_url: str  # file:///… or s3://bucket/prefix, without a slash at its end
    s3_endpoint: str | None
    secret_keys: tuple[str, ...] = field(repr=False)  # newest first, at least one
    admin_email: str | None
    admin_password: str | None = field(repr=False)
    public_url: str | None  # without a slash at its end
    smtp_url: str | None = field(repr=False)
    allowed_networks: tuple[Network, ...]
    watch_roots: tuple[Path, ...]  # absolute, without symbolic links; folders below which sources may watch
    worker_roles: tuple[str, ...]  # of WORKER_ROLES, in their order
    log_format: LogFormat

    @classmethod
    def load(cls, argv: Sequence[str], environ: Mapping[str, str] | None = None, *, program: Program) -> Settings:
        """Settings from flags (without the program's name) and environment (None: that of this process).

        Makes the data folder where it is needed and, with the embedded database, its secret key. Raises SettingsError.
        """
        given = _Given(_flags(argv, program), os.environ if environ is None else environ)
        role = given.get("APP_ROLE", _one_of("web", "ingestor", "all"), "all") if program == "serve" else "all"
        database_url = given.get("DASH_DATABASE_URL", _database_url, None)
        data_dir = given.get("DASH_DATA_DIR", _folder, Path("var").absolute())
        bronze_url = given.get("DASH_BRONZE_URL", _bronze_url, (data_dir / "bronze").as_uri())
        if program == "serve" and role != "all" and "DASH_WORKERS" in given.flags:
            raise SettingsError(f"--workers: a node of role {role} has no workers; start worker.py, or use --role all")
        settings = cls(
            role=cast(Role, role),
            port=given.get("DASH_PORT", _number(1, 65535, "a port"), 5006),
            address=given.get("DASH_ADDRESS", _address, "127.0.0.1"),
            data_dir=data_dir,
            # The demo is for who tries Dash on one machine; somebody's own database gets it only when asked for.
            demo=given.get("DASH_DEMO", _switch, role == "all" and database_url is None),
            workers=given.get("DASH_WORKERS", _number(1, 64, "a number of workers"), 2),
            database_url=database_url,
            bronze_url=bronze_url,
            s3_endpoint=given.get("DASH_S3_ENDPOINT", _web_url, None),
            secret_keys=given.get("DASH_SECRET_KEY", _secret_keys, ()),
            admin_email=given.get("DASH_ADMIN_EMAIL", _email, None),
            admin_password=given.get("DASH_ADMIN_PASSWORD", str, None),
            public_url=given.get("DASH_PUBLIC_URL", _web_url, None),
            smtp_url=given.get("DASH_SMTP_URL", _smtp_url, None),
            allowed_networks=given.get("DASH_ALLOWED_NETWORKS", _networks, ()),
            watch_roots=given.get("DASH_WATCH_ROOTS", _roots, ()),
            worker_roles=given.get("DASH_WORKER_ROLES", _worker_roles, WORKER_ROLES),
            log_format=cast(LogFormat, given.get("DASH_LOG_FORMAT", _one_of("console", "json"), "console")),
        )
        return settings._completed(given)

    def _completed(self, given: _Given) -> Settings:
        """With the data folder there and a secret key in place."""
        if self.database_url is not None and not self.secret_keys:
            raise SettingsError(
                "DASH_SECRET_KEY: missing, and with DASH_DATABASE_URL set none is made up; give one of at least "
                "32 characters, the same on every node"
            )
        if self.database_url is None or self.bronze_url == (self.data_dir / "bronze").as_uri():
            _make_folder(self.data_dir, given.name("DASH_DATA_DIR"))
        if self.secret_keys:
            return self
        try:
            key = stored_secret_key(self.data_dir)
        except OSError as error:
            raise SettingsError(
                f"{given.name('DASH_DATA_DIR')}: {error.filename or self.data_dir} cannot be used: {error.strerror}; "
                "make it readable and the folder writable for this user"
            ) from error
        return Settings(**{**self.__dict__, "secret_keys": (key,)})


@dataclass(frozen=True)
class _Given:
    flags: Mapping[str, str]
    environ: Mapping[str, str]

    def name(self, variable: str) -> str:
        """The name under which it was given."""
        return FLAGS[variable][0] if variable in self.flags else variable

    def get(self, variable: str, parse: Callable[[str], T], default: T) -> T:
        """The parsed value; an empty variable is an unset one. `parse` raises ValueError with what is wrong."""
        value = self.flags.get(variable)
        if value is None:
            value = self.environ.get(variable, "").strip()
            if not value:
                return default
        try:
            return parse(value)
        except ValueError as error:
            raise SettingsError(f"{self.name(variable)}: {error}") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message.removeprefix('argument ')}; see --help")


def _flags(argv: Sequence[str], program: Program) -> dict[str, str]:
    parser = _Parser(prog=f"{program}.py", allow_abbrev=False, description="docs/settings.md explains each setting.")
    known: list[str] = []
    for variable, (flag, programs) in FLAGS.items():
        if program not in programs:
            continue
        if variable == "DASH_DEMO":
            about = "sources with real data at the first start (default: with the embedded database)"
            parser.add_argument("--demo", dest=variable, action="store_const", const="true", help=about)
            parser.add_argument("--no-demo", dest=variable, action="store_const", const="false")
            known += ["--demo", "--no-demo"]
            continue
        parser.add_argument(flag, dest=variable, metavar=flag[2:].upper(), help=f"{HELP[variable]}; {variable}")
        known.append(flag)
    values, unknown = parser.parse_known_args(argv)
    if unknown:
        raise SettingsError(f"{unknown[0]!r}: not a flag of this program; it takes {', '.join(known)}")
    return {name: value for name, value in vars(values).items() if value is not None}


def _shown(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "...")


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in names:
            raise ValueError(f"{_shown(value)} is not known; one of {', '.join(names)}")
        return value

    return parse


def _worker_roles(value: str) -> tuple[str, ...]:
    names = {name.strip() for name in value.split(",") if name.strip()}
    if unknown := sorted(names - set(WORKER_ROLES)):
        raise ValueError(f"{_shown(unknown[0])} is not known; any of {', '.join(WORKER_ROLES)}, with commas between")
    return tuple(name for name in WORKER_ROLES if name in names) or WORKER_ROLES


def _number(low: int, high: int, what: str) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"{_shown(value)} is not {what}; a whole number from {low} to {high}")
        return int(value)

    return parse


def _switch(value: str) -> bool:
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"{_shown(value)} is neither yes nor no; true or false")


def _address(value: str) -> str:
    try:
        return str(ip_address(value.strip("[]")))
    except ValueError:
        label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        if fullmatch(rf"{label}(\.{label})*", value) and not fullmatch(r"[0-9.]+", value):
            return value
    raise ValueError(f"{_shown(value)} is not an address; such as 127.0.0.1, 0.0.0.0 or ::1")


def _folder(value: str) -> Path:
    if not value or "\0" in value:
        raise ValueError("is empty; a folder such as ./var")
    return Path(os.path.normpath(Path(value).expanduser().absolute()))


def _make_folder(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{name}: the folder {folder} cannot be made: {error.strerror}; a folder that this user can write to"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(f"{name}: the folder {folder} is not writable; a folder that this user can write to")


def _split(value: str) -> SplitResult | None:
    """The parts of a URL, or None where it has none; a bad port or bracket is a bad URL."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return None if any(ord(character) <= 32 for character in value) else parts


def _database_url(value: str) -> str:
    parts = _split(value)
    if parts is None or not fullmatch(r"postgres(ql)?://.*", value) or not parts.path.strip("/"):
        raise ValueError("not the URL of a PostgreSQL database; such as postgresql://user:password@host:5432/dash")
    return "postgresql://" + value.partition("://")[2]


def _bronze_url(value: str) -> str:
    parts = _split(value)
    if parts is not None and not parts.query and not parts.fragment:
        if parts.scheme == "file" and not parts.netloc and unquote(parts.path).startswith("/") and parts.path != "/":
            return value.rstrip("/")
        if parts.scheme == "s3" and fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc):
            return value.rstrip("/")
    raise ValueError("not a place for bronze; file:///absolute/folder or s3://bucket/prefix")


def _web_url(value: str) -> str:
    parts = _split(value)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("not a web address; such as https://dash.example.org")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user name or password; an address without them, such as https://dash.example.org")
    return value.rstrip("/")


def _smtp_url(value: str) -> str:
    parts = _split(value)
    if parts is None or parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("not a mail server; such as smtp://user:password@host:587 or smtps://user:password@host:465")
    return value


def _email(value: str) -> str:
    if not fullmatch(r"[^@\s]+@[^@\s]+", value) or len(value) > 254:
        raise ValueError(f"{_shown(value)} is not an e-mail address; such as owner@example.org")
    return value


def _networks(value: str) -> tuple[Network, ...]:
    networks: list[Network] = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError:
            try:
                right = str(ip_network(part, strict=False))
            except ValueError:
                right = "such as 10.0.0.0/8 or fd00::/8, separated by commas"
            raise ValueError(f"{_shown(part)} is not a network; {right}") from None
    return tuple(networks)


def _roots(value: str) -> tuple[Path, ...]:
    roots: list[Path] = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        if not part.startswith("/") or "\0" in part or Path(part).resolve() == Path("/"):
            raise ValueError(
                f"{_shown(part)} is not a folder to watch; absolute ones such as /srv/in, with commas between"
            )
        roots.append(Path(part).resolve())
    return tuple(roots)


def _secret_keys(value: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in value.split(","))
    for key in keys:
        check_secret_key(key)
    return keys
