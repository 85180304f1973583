"""Installs the locked dependencies into .venv; `script/bootstrap` calls it when something changed.

Standard library only: it runs on the machine's own Python, before anything is installed. pip installs uv first
(pinned and hashed like everything else) because uv fetches in parallel; should uv fail, pip does the whole work. Where
packages come from is told by the machine's pip configuration alone, which uv does not read: it is handed on.
"""

from __future__ import annotations

import ast
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def uv_environment(listing: str) -> dict[str, str]:
    """What uv must be told so that it looks where pip looks, from the output of `pip config list`."""
    values: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # the later wins, as in pip
        for line in listing.splitlines():
            name, found, value = line.partition("=")
            if found and name.startswith(section):
                values[name.removeprefix(section)] = str(ast.literal_eval(value))
    told = {
        "UV_DEFAULT_INDEX": values.get("index-url", ""),
        "UV_EXTRA_INDEX_URL": " ".join(values.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(values.get("find-links", "").split()),
        "UV_INSECURE_HOST": " ".join(values.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": values.get("timeout") or values.get("default-timeout", ""),
        "UV_NO_INDEX": "1" if values.get("no-index", "").lower() in {"1", "true", "yes", "on"} else "",
        "SSL_CERT_FILE": values.get("cert", ""),
        "SSL_CLIENT_CERT": values.get("client-cert", ""),
        "HTTPS_PROXY": values.get("proxy", ""),
        "HTTP_PROXY": values.get("proxy", ""),
    }
    if told["UV_EXTRA_INDEX_URL"]:
        # As pip does: any index may serve a pin. The hashes decide what is accepted.
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in told.items() if value}


# What a start imports. Compiling these, and not the other two thirds, costs what the first start would cost anyway; but
# where PYTHONDONTWRITEBYTECODE is set, every start would pay it again.
WARM = """\
    alembic.command argon2 bokeh.plotting boto3 cryptography.fernet httpx huey limits orjson panel
    polars prometheus_client psutil psycopg pyarrow.parquet sqlalchemy.orm sqlalchemy.dialects.postgresql
    standardwebhooks structlog tornado.websocket typer yaml zstandard
"""


def run(*command: str | Path, env: dict[str, str] | None = None) -> bool:
    """Whether the command went well; its output goes to stderr, so that stdout stays the caller's."""
    return subprocess.run([str(part) for part in command], stdout=sys.stderr, env=env).returncode == 0


def fail(message: str) -> None:
    raise SystemExit(f"script/bootstrap: {message}")


def make_environment(venv: Path) -> None:
    if not run(sys.executable, "-m", "venv", "--clear", venv):
        shutil.rmtree(venv, ignore_errors=True)
        fail(f"{sys.executable} cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv")


def install(root: Path, level: str) -> None:
    venv = root / ".venv"
    python, uv = venv / "bin" / "python", venv / "bin" / "uv"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    tools = root / "script" / "bootstrap.lock"
    lock = root / ("requirements-test.lock" if level == "test" else "requirements.lock")

    listing = subprocess.run([*map(str, pip), "config", "list"], capture_output=True, text=True).stdout
    env = {**os.environ, "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    env = {**env, **uv_environment(listing)}

    if not run(*pip, "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes", "-r", tools):
        fail(f"pip could not install {tools.name}; what it said stands above")
    sync = (uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", lock, tools)
    if not run(*sync, env=env):
        print("script/bootstrap: uv could not; trying with pip", file=sys.stderr)
        if not run(*pip, "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes", "-r", lock):
            fail(f"could not install {lock.name}; what pip said stands above")
    warm = "import importlib, sys; sys.dont_write_bytecode = False; [importlib.import_module(n) for n in sys.argv[1:]]"
    if not run(python, "-W", "ignore", "-c", warm, *WARM.split()):
        fail("what was installed cannot be imported; the reason stands above")
    project = ("--quiet", "--no-deps", "--no-build-isolation", "--editable", root)
    if not run(uv, "pip", "install", "--python", python, *project, env=env) and not run(*pip, "install", *project):
        fail("could not install the project itself; what pip said stands above")


def main(root: Path, level: str, want: str) -> None:
    venv = root / ".venv"
    began = time.monotonic()
    folder = os.open(root, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # two starts at once: the second finds the work done
    stamps = {name: venv / f".stamp-{name}" for name in ("runtime", "test")}
    if stamps["test"].exists():
        level = "test"
    if stamps[level].exists() and stamps[level].read_text() == want and (venv / "bin" / "python").exists():
        return
    print(f"script/bootstrap: installing into {venv.name}", file=sys.stderr)
    # An installation that was cut short leaves a half-written package that looks whole: begin again.
    busy = venv / ".installing"
    usable = (venv / "bin" / "python").exists() and run(venv / "bin" / "python", "-c", "import pip")
    if busy.exists() or not usable:
        make_environment(venv)
    busy.touch()
    for stamp in stamps.values():
        stamp.unlink(missing_ok=True)
    install(root, level)
    stamps[level].write_text(want)
    busy.unlink()
    print(f"script/bootstrap: installed in {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
