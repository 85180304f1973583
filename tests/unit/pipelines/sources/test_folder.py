"""A watched folder: what is put into the place of a folder meanwhile is not followed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dash_app.domain.errors import Transient
from dash_app.pipelines.sources.folder import FolderRefused, FolderSource


def test_a_link_in_the_place_of_a_folder_leads_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.csv").write_text("n\n1\n")
    # The very same file: what it is would give nothing away.
    (secret / "a.csv").hardlink_to(root / "sub" / "a.csv")
    source: Any = FolderSource.from_options({"folder": str(root), "recursive": True, "settled_seconds": 0})
    (found,) = source._lying(root, datetime.now(UTC) + timedelta(seconds=5))
    assert found.name == "sub/a.csv"
    with found.open() as reader:
        assert reader.read(0, 4) == b"n\n1\n"
    (root / "sub").rename(tmp_path / "away")
    (root / "sub").symlink_to(secret)
    with pytest.raises(Transient, match=r"a\.csv is gone"), found.open():
        pass
    assert list(source._files(root)) == []
    root.rename(tmp_path / "was")
    root.symlink_to(secret)
    with pytest.raises(FolderRefused, match="not the folder any more"):
        list(source._files(root))
