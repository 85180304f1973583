"""What stays alive in a cell: a frame whose page is the node's own, with a short-lived address of its own.

Each showing asks for a new address, so that running a cell again revives it. The notebook's file gets that address,
which shows one dashboard for minutes; the token of the connection it never gets.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any


class LiveView:
    """Shown by Jupyter where it is a cell's last expression, and by Panel wherever it is placed."""

    def __init__(self, what: str, height: int, address: Callable[[], str]) -> None:
        self._what = what
        self._height = int(height)
        self._address = address

    def __repr__(self) -> str:
        return f"<{self._what[0].upper()}{self._what[1:]}, alive where it is shown>"

    def iframe(self) -> str:
        """The frame as HTML, with an address that is valid from now on."""
        return (
            f'<iframe src="{escape(self._address(), quote=True)}" title="{escape(self._what, quote=True)}" '
            f'style="width: 100%; height: {self._height}px; border: 0" loading="lazy" '
            'referrerpolicy="no-referrer"></iframe>'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.iframe(), "text/plain": repr(self)}

    def __panel__(self) -> Any:
        import panel as pn

        frame = pn.pane.HTML(self.iframe(), sizing_mode="stretch_width", height=self._height)  # type: ignore[no-untyped-call]
        frame.margin = 0
        return frame
