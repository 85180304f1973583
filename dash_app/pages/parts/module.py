# mypy: disable-error-code="no-untyped-call"
"""Components whose browser side is a module of ours under `/assets`, so that it is cached, linted and tested like
the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import orjson
import param
from panel.custom import JSComponent

_LOAD = """
export function render({ model, el }) {
  const box = document.createElement("div");
  box.style.width = "100%";
  import(new URL(model.module, document.baseURI).href).then((made) => made.render({ model, box }));
  return box;
}
"""


class Module(JSComponent):
    """Renders with `render({model, box})` of the module at the address `module`; `data` is what it shows."""

    _esm: ClassVar[str] = _LOAD

    module = param.String(default="")
    data: Any = param.Dict(default={})


class Talking(Module):
    """A module that talks with its session: `send` says something to it, `heard` is called with what it says.

    What is said is one JSON text, which costs a fraction of what Bokeh's own encoding of lists and objects does.
    """

    def __init__(self, *, heard: Callable[[Any], None], **params: Any) -> None:
        self._heard = heard
        super().__init__(**params)

    def _handle_msg(self, data: Any) -> None:
        self._heard(data)

    def send(self, message: Any) -> None:
        self._send_msg(orjson.dumps(message, default=str, option=orjson.OPT_NON_STR_KEYS).decode())
