"""Words."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from dash_app.domain.tiles.base import TileKind

#: Characters of a text tile.
LONGEST = 20_000


class Text(TileKind):
    """Text in Markdown: what the tiles beside it mean, whom to ask, where to look further."""

    kind = "text"
    title = "Text"
    summary = "Words, lists and links in Markdown: what the others mean."
    needs = "nothing: it has no query"
    queries = "none"
    example: ClassVar[dict[str, Any]] = {
        "kind": "text",
        "title": "About",
        "options": {"markdown": "**On call:** see the [runbook](https://example.org/runbook). Site: ${site}"},
    }

    markdown = param.String(
        default="",
        doc="The text, in Markdown (CommonMark with tables). `${name}` becomes the value of a variable.",
    )

    def problems(self) -> list[tuple[str, str]]:
        if len(self.markdown) > LONGEST:
            return [("markdown", f"at most {LONGEST:,} characters are meant, not {len(self.markdown):,}")]
        return []
