"""What somebody does to a mapping, with the way back: a text and its document, which are one, and those before it.

Pure: `edit` gives the history after an operation, and a moment is handed in. The text is what is kept; the document is
what it says. While a text cannot be read, the last document that could stays beside it, and only the text is edited.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping_edits import Operation, apply
from dash_app.domain.mapping_rewrite import rewrite
from dash_app.domain.mapping_text import MAX_TEXT_BYTES, TOO_LONG, check_plain, load_mapping_text, text_bytes

#: Steps back that are kept.
MAX_STEPS = 200
#: Bytes of text that the steps back hold at most; the newest one is kept whatever its length.
MAX_BYTES = 8 * 1024 * 1024
#: Changes of one thing that follow each other within so many seconds are one step.
TOGETHER = 1.2


@dataclass(frozen=True, slots=True)
class State:
    """`document`: that of `text`, or where it cannot be read (`problem` says why) that of `readable`, the last one that
    could."""

    text: str
    document: Mapping[str, Any]
    readable: str
    problem: str = ""
    #: Whether the last change in the form could not keep all comments.
    lost_comments: bool = False

    @property
    def blank(self) -> bool:
        """Whether there is nothing but comments."""
        return is_blank(self.text)


@dataclass(frozen=True, slots=True)
class History:
    present: State
    past: tuple[State, ...] = ()
    future: tuple[State, ...] = ()
    #: What the last step changed, and when.
    last: tuple[Any, float] = ((), float("-inf"))


def is_blank(text: str) -> bool:
    return all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())


def begin(text: str) -> History:
    return History(_read(text, State("", {}, "")))


def edit(history: History, operation: Operation, now: float) -> History:
    """The history after an operation of `mapping_edits`, or one of its own: `text` `text` (edited as text), `mend`
    (back to the last text that could be read). `now`: seconds of any clock. Raises Invalid where it cannot be done,
    and where the text would be longer than a mapping's may be."""
    check_plain(operation)
    state = history.present
    name = operation.get("op")
    if name == "text":
        text = operation.get("text")
        if not isinstance(text, str):
            raise Invalid("a text is needed")
        made = _read(_fitting(text), state)
    elif name == "mend":
        made = _read(state.readable, state)
    elif name == "replace" and isinstance(operation.get("text"), str):
        made = _read(_fitting(str(operation["text"])), state)
    else:
        if state.problem:
            raise Invalid("The text has a mistake; mend it there first.")
        document = apply(state.document, operation)
        empty = state.blank and not state.document
        text, kept = rewrite("" if empty else state.text, state.document, document)
        made = State(_fitting(text), document, text, lost_comments=not kept or (empty and bool(state.text.strip())))
    if made.text == state.text:
        return replace(history, present=made)
    what = (name, operation.get("index"), operation.get("key"))
    together = history.last[0] == what and now - history.last[1] < TOGETHER and name in ("text", "set", "where")
    past = history.past if together else _bounded((*history.past, state))
    return History(made, past, (), (what, now))


def undo(history: History) -> History:
    if not history.past:
        return history
    return History(history.past[-1], history.past[:-1], (history.present, *history.future))


def redo(history: History) -> History:
    if not history.future:
        return history
    return History(history.future[0], (*history.past, history.present), history.future[1:])


def _fitting(text: str) -> str:
    if text_bytes(text) > MAX_TEXT_BYTES:
        raise Invalid(TOO_LONG)
    return text


def _bounded(past: tuple[State, ...]) -> tuple[State, ...]:
    """The newest steps that fit."""
    size = 0
    for count, state in enumerate(reversed(past)):
        size += sys.getsizeof(state.text)
        if count == MAX_STEPS or (size > MAX_BYTES and count):
            return past[len(past) - count :]
    return past


def _read(text: str, before: State) -> State:
    if is_blank(text):
        return State(text, {}, text)
    try:
        return State(text, load_mapping_text(text), text)
    except Invalid as error:
        return State(text, before.document, before.readable, error.message)
