"""What an answer means where the usual reading is wrong: the option `response_actions`, with dlt's names.

Each entry names a status (`404`, or a class of them, `5xx`), a text in the body (`content`), or both, and what is to be
made of such an answer. The first entry that fits counts; where none does, the usual reading holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from dash_app.domain.errors import Invalid

Action = Literal["ignore", "retry", "fail", "stop"]
ACTIONS: tuple[Action, ...] = ("ignore", "retry", "fail", "stop")

#: How much of a body is searched, in bytes.
SEARCHED = 1 << 16
MAX_ENTRIES = 50
#: The JSON Schema of an entry.
ENTRY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["action"],
    "properties": {
        "status_code": {"description": "A status such as 404, or a class of them such as 5xx. Left out: any."},
        "content": {"type": "string", "default": "", "description": "A text in the body. Left out: any."},
        "action": {"enum": list(ACTIONS), "default": ACTIONS[0], "description": "What is made of such an answer."},
    },
}
_CLASS = re.compile(r"[1-5]xx")


@dataclass(frozen=True, slots=True)
class ResponseAction:
    """One entry. `status`: 404, or a class of them as its first digit; None: any. `content`: '' for any."""

    action: Action
    status: int | None = None
    content: str = ""

    def fits(self, status: int, text: str) -> bool:
        if self.status is not None and self.status not in (status, status // 100):
            return False
        return self.content in text


def parse_actions(documents: Sequence[Any], where: str = "response_actions") -> tuple[ResponseAction, ...]:
    """The entries; Invalid names every place that is wrong."""
    if len(documents) > MAX_ENTRIES:
        raise Invalid(problems=[(where, f"has {len(documents)} entries; {MAX_ENTRIES} are accepted")])
    problems: list[tuple[str, str]] = []
    found = []
    for number, document in enumerate(documents):
        place = f"{where}[{number}]"
        if not isinstance(document, Mapping):
            problems.append((place, "is not an object with status_code, content and action"))
            continue
        unknown = [str(name)[:60] for name in document if name not in ("status_code", "content", "action")]
        problems += [(f"{place}.{name}", "is unknown; there are status_code, content, action") for name in unknown]
        status, content = document.get("status_code"), document.get("content", "")
        action = document.get("action")
        if action not in ACTIONS:
            problems.append((f"{place}.action", f"is none of {', '.join(ACTIONS)}"))
        if not _is_status(status):
            problems.append((f"{place}.status_code", "is no status from 100 to 599, nor a class such as 5xx"))
        if not isinstance(content, str) or len(content) > 1000:
            problems.append((f"{place}.content", "is not a text of up to 1,000 characters"))
        if status is None and not content:
            problems.append((place, "fits every answer; name a status_code, a content, or both"))
        if not problems:
            number_of = int(status[0]) if isinstance(status, str) else status
            found.append(ResponseAction(cast(Action, action), number_of, content))
    if problems:
        raise Invalid(problems=problems)
    return tuple(found)


def action_for(actions: Sequence[ResponseAction], status: int, text: str) -> Action | None:
    """What is said about such an answer; None: nothing."""
    return next((one.action for one in actions if one.fits(status, text)), None)


def _is_status(status: Any) -> bool:
    if isinstance(status, str):
        return bool(_CLASS.fullmatch(status))
    return status is None or (isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599)
