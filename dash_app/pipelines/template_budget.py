"""What one rendering of a template may spend: steps, characters, time. Charged before the work is done."""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from types import TracebackType


class OverBudget(Exception):
    """The template asks for more than it may have."""


class Budget:
    """What is left; within `with` it is what `spend` charges, in this thread."""

    __slots__ = ("_token", "characters", "most_characters", "most_steps", "steps", "until")

    def __init__(self, steps: int, characters: int, until: float) -> None:
        self.steps, self.most_steps = steps, steps
        self.characters, self.most_characters = characters, characters
        self.until = until
        self._token: Token[Budget | None] | None = None

    def __enter__(self) -> Budget:
        self._token = _budget.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _budget.reset(self._token)


_budget: ContextVar[Budget | None] = ContextVar("template_budget", default=None)


def spend(steps: int, characters: int = 0) -> None:
    """Charges the budget of the template that is being rendered. Raises OverBudget."""
    budget = _budget.get()
    if budget is None:
        raise OverBudget("a template is worked out while it is rendered, not before")
    budget.steps -= steps
    budget.characters -= characters
    if budget.characters < 0:
        raise OverBudget(f"the template makes more than {budget.most_characters:,} characters")
    if budget.steps < 0:
        raise OverBudget(f"the template takes more than {budget.most_steps:,} steps")
    if time.monotonic() > budget.until:
        raise OverBudget("the template takes too long")
