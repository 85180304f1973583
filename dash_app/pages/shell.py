"""The frame around every page: rail, title line, theme, user menu. One Jinja template serves plain pages and Panel
documents.

What a page shows first is HTML that comes with the first answer: nothing waits for a script. Assets are served below an
address that holds the digest of all of them, so that a browser keeps them for ever and never mixes two releases.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from dash_app.domain.access import Principal
from dash_app.pages import alerted, delivered, reported, words
from dash_app.pages.boundary import Problem
from dash_app.pages.replayed import REPLAY_BADGES, VERSION_BADGES

HERE = Path(__file__).parent
_IMPORT = re.compile(r"""^\s*(?:import|export)\b[^;"']*?["'](\.{1,2}/[^"']+)["']""", re.MULTILINE)
#: The page's own scripts and rules, and those that every screen shares; the first hides the second.
STATIC = (HERE / "static", HERE.parent / "assets")
ECHARTS = "/static/extensions/panel/bundled/echarts/echarts@6.0.0/dist/echarts.min.js"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page stands: the rail's item that is lit, the title, and the way back as (words, address)."""

    section: str
    title: str
    back: tuple[str, str] | None = None


def in_script(value: Any) -> Markup:
    """A value as JSON that can stand inside a <script type="application/json"> element."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def modules_of(name: str) -> tuple[str, ...]:
    """The modules that a module imports, directly or by others, in the order in which they are met: a browser that is
    told of them at once need not read one to know of the next."""
    found = [name]
    for module in found:  # grows while it is walked
        file = next((folder / module for folder in STATIC if (folder / module).is_file()), None)
        if file is None:
            raise FileNotFoundError(f"{found[0]} leads to {module}, which is not there")
        for address in _IMPORT.findall(file.read_text("utf-8")):
            wanted = posixpath.normpath(posixpath.join(posixpath.dirname(module), address))
            if wanted not in found:
                found.append(wanted)
    return tuple(found)


def preloads(assets: str, name: str) -> Markup:
    """Elements that have a page's modules fetched at once; `assets`: where they are served."""
    link = Markup('<link rel="modulepreload" href="{}/{}">')
    return Markup("").join(link.format(assets, module) for module in modules_of(name))


class Shell:
    """Renders pages. Made once; templates are compiled at first use and kept."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(HERE),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "count": words.count,
            "plural": words.plural,
            "size": words.size,
            "seconds": words.seconds,
            "every": words.every,
            "ago": words.ago,
            "in_script": in_script,
            "as_json": lambda value: json.dumps(value, default=str, ensure_ascii=False),
            "cell": words.cell,
            "moment": words.moment,
            "left": words.left,
            "sentence": words.sentence,
            "share": words.share,
            **alerted.FILTERS,
            **delivered.FILTERS,
            **reported.FILTERS,
        }
        self._environment.globals |= {
            "HEALTH": words.HEALTH,
            "RUN_BADGES": words.RUN_BADGES,
            "STREAM_BADGES": words.STREAM_BADGES,
            "PAYLOAD_BADGES": words.PAYLOAD_BADGES,
            "REPLAY_BADGES": REPLAY_BADGES,
            "VERSION_BADGES": VERSION_BADGES,
            "echarts": ECHARTS,
            "preloads": preloads,
            **alerted.GLOBALS,
            **delivered.GLOBALS,
            **reported.GLOBALS,
        }

    @cached_property
    def version(self) -> str:
        """Digest of all assets."""
        found = hashlib.sha256()
        for folder in STATIC:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                found.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
        return found.hexdigest()[:12]

    @property
    def assets(self) -> str:
        return f"/assets/v-{self.version}"

    def template(self, name: str) -> Template:
        return self._environment.get_template(name)

    def variables(self, place: Place, principal: Principal | None, xsrf: str) -> dict[str, Any]:
        """What shell.html itself asks for."""
        return {"place": place, "who": principal, "xsrf": xsrf, "assets": self.assets}

    def render(self, name: str, place: Place, principal: Principal | None, xsrf: str, values: Mapping[str, Any]) -> str:
        return self.template(name).render(**self.variables(place, principal, xsrf), **values)

    def problem(self, problem: Problem, principal: Principal | None, xsrf: str) -> str:
        """The page of an error: in the shell for who is known, alone in the middle for who is not."""
        name = "problem.html" if principal else "problem_alone.html"
        return self.render(name, Place("", problem.title), principal, xsrf, {"problem": problem})
