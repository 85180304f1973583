"""Kinds of tile: one file a kind. `TILES` has those of this folder and those announced as `dash_app.tiles`.

What is here says what a tile's options may be and what it needs of its query. How it is drawn is in `assets/tiles/`,
in a file of the same name.
"""

from __future__ import annotations

import sys

from dash_app.domain.kinds import Kinds
from dash_app.domain.tiles.base import TileKind

__all__ = ["TILES", "TileKind"]

#: Every kind of tile, by name.
TILES: Kinds[TileKind] = Kinds.load("tiles", sys.modules[__name__], TileKind)
