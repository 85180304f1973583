"""What is installed is pinned and hashed, comes from nowhere in particular, and every setting is documented."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from dash_app.settings import FLAGS, VARIABLES

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.lock", "requirements-test.lock", "script/bootstrap.lock"]


def pins(lock: str) -> dict[str, list[str]]:
    """Each name with the text of its entries: pin, marker and hashes."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            found.setdefault(re.split(r"[=\[ ]", line, maxsplit=1)[0], []).append(line)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_pinned_and_hashed(lock: str) -> None:
    entries = [entry for entries in pins(lock).values() for entry in entries]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address(lock: str) -> None:
    assert not re.search(r"://|^\s*-(-index|-extra|-find|i |f )| @ ", (ROOT / lock).read_text(), re.MULTILINE)


def normal(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")


def test_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = {normal(each) for each in project["project"]["dependencies"]}
    test = {normal(each) for each in project["project"]["optional-dependencies"]["test"]}
    assert runtime <= pins("requirements.lock").keys()
    assert runtime | test <= pins("requirements-test.lock").keys()
    assert {normal(each) for each in project["dependency-groups"]["bootstrap"]} == pins("script/bootstrap.lock").keys()


def test_both_locks_agree() -> None:
    runtime, test = pins("requirements.lock"), pins("requirements-test.lock")
    assert {name: test.get(name) for name in runtime} == runtime


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \|([^|]*)\|", page, re.MULTILINE))
    assert set(rows) == set(VARIABLES)
    for variable, (flag, _) in FLAGS.items():
        assert f"`{flag}`" in rows[variable], variable
