"""The Replays tab where no version is live."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from dash_app.pages.replayed import Standing, VersionLine
from dash_app.pages.shell import Shell

MADE = datetime(2026, 3, 4, tzinfo=UTC)


def drawn(template: str, active: Any, back: Any = None) -> str:
    version: Any = SimpleNamespace(version=1, note="first", author="a@b.c", created_at=MADE)
    standing = Standing(active, MADE, back, None, [], [VersionLine(version, "none", False)], {})
    detail = SimpleNamespace(dashboard=None, pipeline=SimpleNamespace(slug="weather"))
    who = SimpleNamespace(may=lambda action: True)
    return (
        Shell()
        .template(f"parts/{template}")
        .render(standing=standing, detail=detail, who=who, address="/pipelines/weather")
    )


@pytest.mark.parametrize("active", [None, SimpleNamespace(version=None, generation=1)])
def test_a_version_that_was_only_saved_is_not_read(active: Any) -> None:
    text = drawn("replays.html", active)
    assert "None" not in text
    assert "Nothing is read yet." in text
    assert "Make a version live first" in text
    assert "data-replay-form" not in text
    back: Any = SimpleNamespace(version=1, grace_until=MADE)
    assert "None" not in drawn("replay_notice.html", active, back)


def test_the_version_that_is_read_is_what_the_dialog_begins_with() -> None:
    text = drawn("replays.html", SimpleNamespace(version=1, generation=1))
    assert "<strong>Version 1</strong> is what dashboards" in text
    assert '<option value="1" selected>' in text
    assert "Make a version live first" not in text
