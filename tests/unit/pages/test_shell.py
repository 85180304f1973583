"""The frame around every page."""

from __future__ import annotations

from uuid import UUID

import pytest
from jinja2 import meta

from dash_app.domain.access import Principal, Role
from dash_app.pages.boundary import Problem
from dash_app.pages.shell import HERE, STATIC, Place, Shell, in_script, modules_of

WHO = Principal(UUID(int=1), "ada@example.org", "Ada <b>", UUID(int=2), "main", "Main & Co", Role.viewer)


def test_names_are_escaped() -> None:
    made = Shell().problem(Problem(404, "Not <here>", "gone"), WHO, "token")
    assert "Ada &lt;b&gt;" in made
    assert "Main &amp; Co" in made
    assert "Not &lt;here&gt;" in made
    assert "<b>" not in made


def test_who_is_not_known_sees_no_rail() -> None:
    made = Shell().problem(Problem(503, "Away", "soon", (), "abc123"), None, "")
    assert "rail" not in made
    assert "abc123" in made


def test_data_in_a_script_element_cannot_end_it() -> None:
    made = str(in_script({"title": "</script><script>alert(1)</script><!-- &amp;"}))
    assert "<" not in made
    assert "&" not in made


def test_assets_change_their_address_with_their_content() -> None:
    shell = Shell()
    assert shell.assets == f"/assets/v-{shell.version}"
    assert len(shell.version) == 12


@pytest.mark.parametrize("name", sorted(path.relative_to(HERE).as_posix() for path in HERE.rglob("*.html")))
def test_every_template_compiles_and_names_only_files_that_are_there(name: str) -> None:
    shell = Shell()
    source = (HERE / name).read_text("utf-8")
    parsed = shell._environment.parse(source)
    assert shell.template(name)
    for referred in meta.find_referenced_templates(parsed):
        assert referred is None or (HERE / referred).is_file()
    for part in source.split("{{ assets }}/")[1:]:
        file = part.split('"')[0]
        assert any((folder / file).is_file() for folder in STATIC), file


@pytest.mark.parametrize("name", sorted(path.name for path in STATIC[0].glob("*.js")))
def test_every_module_imports_only_files_that_are_there(name: str) -> None:
    for line in (STATIC[0] / name).read_text("utf-8").splitlines():
        if line.startswith("import "):
            file = line.split('"')[1].removeprefix("./")
            assert any((folder / file).is_file() for folder in STATIC), line


def test_the_two_folders_of_assets_hide_nothing_of_each_other() -> None:
    own = {path.name for path in STATIC[0].iterdir()}
    assert not own & {path.name for path in STATIC[1].iterdir()}


def test_the_rail_lights_the_section() -> None:
    made = Shell().render("problem.html", Place("pipelines", "X"), WHO, "t", {"problem": Problem(404, "X", "y")})
    assert made.count('aria-current="page"') == 1


def test_a_page_tells_of_all_its_modules_at_once() -> None:
    found = modules_of("dashboard-page.js")
    assert found[0] == "dashboard-page.js"
    assert {"dashboard.js", "dashboard/state.js", "tiles/line.js", "dashboard-page/keys.js", "page.js"} <= set(found)
    assert len(set(found)) == len(found)


def test_every_module_imports_what_is_there() -> None:
    for folder in STATIC:
        for file in folder.rglob("*.js"):
            assert modules_of(file.relative_to(folder).as_posix())
