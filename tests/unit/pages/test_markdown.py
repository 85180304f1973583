"""Text tiles: Markdown becomes HTML, and nothing in it can do more than be read."""

from __future__ import annotations

from typing import Any

import pytest

from dash_app.pages.markdown import render, with_html


def test_what_markdown_can_do() -> None:
    link = "[book](https://example.org/a?b=${site} 'Title')"
    text = f"## On call\n\nAsk **Kari**, see ~~fax~~ {link}.\n\n| a | b |\n| - | -: |\n| 1 | 2 |\n"
    html = render(text)
    assert "<h2>On call</h2>" in html
    assert "<strong>Kari</strong>" in html
    assert "<s>fax</s>" in html
    assert 'style="text-align:right"' in html.replace("text-align: right", "text-align:right")
    # The page knows the encoded braces too.
    assert 'href="https://example.org/a?b=$%7Bsite%7D"' in html
    assert 'rel="noopener noreferrer"' in html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "<a href='javascript:alert(1)'>x</a>",
        '![x](https://example.org/pixel.png "t")',
        "<svg><style>@import 'x'</style></svg>",
        "[x]( JaVaScRiPt:alert(1) )",
    ],
)
def test_nothing_runs_and_nothing_is_fetched(hostile: str) -> None:
    html = render(hostile)
    for word in ("<script", "<img", "<svg", "<style", 'href="javascript', 'href="data'):
        assert word not in html.lower()


def test_a_page_gets_html_beside_the_markdown_and_the_document_stays() -> None:
    document: dict[str, Any] = {
        "title": "T",
        "tiles": [
            {"id": 1, "kind": "text", "options": {"markdown": "*a*"}},
            {"id": 2, "kind": "line", "options": {"markdown": "*a*"}},
            {"id": 3, "kind": "text"},
        ],
    }
    shown = with_html(document)
    assert shown["tiles"][0]["options"] == {"markdown": "*a*", "html": "<p><em>a</em></p>\n"}
    assert shown["tiles"][1:] == document["tiles"][1:]
    assert document["tiles"][0]["options"] == {"markdown": "*a*"}
