"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "dash_app"
NAMES = {"environ", "environb", "getenv", "getenvb"}


def reads_of_environment(source: str) -> list[int]:
    """Lines that reach for the process's environment."""
    lines: list[int] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            if node.attr in NAMES:
                lines.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            if any(alias.name in NAMES for alias in node.names):
                lines.append(node.lineno)
        elif isinstance(node, ast.Import) and any(alias.name == "os" and alias.asname for alias in node.names):
            lines.append(node.lineno)  # under another name the first rule would not see it
    return lines


@pytest.mark.parametrize(
    "source",
    ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ", "import os as system"],
)
def test_the_rule_sees(source: str) -> None:
    assert reads_of_environment(source)


def test_only_settings_read_the_environment() -> None:
    found = {
        str(path.relative_to(HOUSE)): lines
        for path in HOUSE.rglob("*.py")
        if path != HOUSE / "settings.py" and (lines := reads_of_environment(path.read_text()))
    }
    assert not found


def test_a_worker_loads_no_screen_and_no_server() -> None:
    program = "import sys, worker; print(sorted({'panel', 'bokeh', 'tornado', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
