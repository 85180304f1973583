"""The README's first webhook, word for word against a server that runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, Served, data_folder, environment, served
from tests.waiting import wait_until

SECTION = "## Your first webhook"
#: The address in the README, which is the default one; a test's server listens on a free port.
ADDRESS = "http://127.0.0.1:5006"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section() -> str:
    text = (ROOT / "README.md").read_text()
    return text[text.index(SECTION) :].split("\n## ", 1)[0]


class Shell:
    """One shell, as somebody sits at it: what a command sets, the next one has."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "-uo", "pipefail"],
            cwd=folder,
            env=environment(DASH_DATA_DIR=str(data_dir)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )

    def run(self, commands: str) -> str:
        """What the commands print; the last one's status must be 0."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{commands}\nprintf '\\n--%s--\\n' $?\n")
        lines: list[str] = []
        while not re.fullmatch(r"--\d+--\n", line := self._process.stdout.readline()):
            assert line, "".join(lines)
            lines.append(line)
        assert line == "--0--\n", "".join(lines)
        return "".join(lines).strip()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in which `.venv/bin/dash-app` is the command that the project declares, wherever it is installed."""
    module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "dash-app"
    ].partition(":")
    command = tmp_path / ".venv" / "bin" / "dash-app"
    command.parent.mkdir(parents=True)
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from {module} import {function}; {function}()"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{program}" "$@"\n')
    command.chmod(0o755)
    return tmp_path


@pytest.fixture
def node() -> Iterator[tuple[Served, Path]]:
    with data_folder() as folder, served("--no-demo", "--workers", "1", "--data-dir", str(folder)) as running:
        yield running, folder


@pytest.mark.timeout(300)
def test_the_first_webhook_is_what_it_says(project: Path, node: tuple[Served, Path]) -> None:
    running, data_dir = node
    blocks = BLOCK.findall(section())
    make, post, query = [block.replace(ADDRESS, running.url) for block in blocks]
    shell = Shell(project, data_dir)
    try:
        made = json.loads(shell.run(make))
        assert made == json.loads((project / "greenhouse.json").read_text())
        assert made["webhook_url"] == f"{running.url}/webhooks/{made['id']}"
        assert made["secret"]

        answered = json.loads(shell.run(post))
        assert set(answered) == {"payload_id", "duplicate"}
        assert answered["duplicate"] is False

        # Until the first payload is mapped the pipeline has no fields, and the query says so.
        found = wait_until(lambda: json.loads(shell.run(query)).get("items"), why="for the record")
        ((site, number, mean),) = [
            (row["site"], row["count"], next(row[name] for name in row if "celsius" in name)) for row in found
        ]
        assert (site, number, mean) == ("roof", 1, 21.5)
    finally:
        shell.close()


def test_every_command_of_the_section_is_run() -> None:
    """So that a block that is added there is not left out here."""
    assert len(BLOCK.findall(section())) == section().count("```") // 2 == 3
    assert ADDRESS in section()
