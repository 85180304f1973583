"""Markdown of text tiles as HTML that is safe to show.

CommonMark with tables and struck-out words; HTML in the text is shown as it is written. What comes out of that is
cleaned once more to the elements that Markdown itself makes, and the page takes over those alone
(`assets/tiles/text.js`). `${name}` is left in place: the page puts values in as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
_ELEMENTS = {
    *("a", "blockquote", "br", "code", "em", "hr", "li", "ol", "p", "pre", "s", "strong", "ul"),
    *("table", "thead", "tbody", "tr", "th", "td"),
    *(f"h{level}" for level in range(1, 7)),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"style"}, "td": {"style"}}


@lru_cache(maxsize=512)
def render(markdown: str) -> str:
    """Clean HTML of a Markdown text; links lead to http, https and mail addresses or stay within the house."""
    return nh3.clean(
        _MARKDOWN.render(markdown),
        tags=_ELEMENTS,
        attributes=_ATTRIBUTES,
        filter_style_properties={"text-align"},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
    )


def with_html(dashboard: Mapping[str, Any]) -> dict[str, Any]:
    """A dashboard's document for a page: text tiles have `html` beside their `markdown`; the original is left alone."""
    return {**dashboard, "tiles": [tile_with_html(tile) for tile in dashboard.get("tiles", ())]}


def tile_with_html(tile: Mapping[str, Any]) -> dict[str, Any]:
    """One tile likewise."""
    options = tile.get("options")
    markdown = options.get("markdown") if isinstance(options, Mapping) else None
    if tile.get("kind") != "text" or not isinstance(markdown, str):
        return dict(tile)
    return {**tile, "options": {**options, "html": render(markdown)}}  # type: ignore[dict-item]
