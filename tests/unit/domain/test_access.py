"""Who may do what: the whole table, so that a change of it is a change here."""

from __future__ import annotations

import pytest

from dash_app.domain.access import ACTIONS, Principal, Role
from dash_app.domain.errors import Forbidden
from dash_app.domain.ids import new_id

VIEWER = {
    "pipelines.read",
    "payloads.read",
    "query.run",
    "dashboards.read",
    "tokens.own",
    "members.read",
    "sinks.read",
    "alerts.read",
}
EDITOR = VIEWER | {"pipelines.write", "dashboards.write", "secrets.read", "sinks.write", "alerts.write"}
ADMIN = EDITOR | {"members.write", "audit.read"}


def principal(role: Role) -> Principal:
    return Principal(new_id(), "ada@example.org", "Ada", new_id(), "acme", "Acme", role)


@pytest.mark.parametrize(("role", "allowed"), [(Role.viewer, VIEWER), (Role.editor, EDITOR), (Role.admin, ADMIN)])
def test_each_role_may_do_exactly_this(role: Role, allowed: set[str]) -> None:
    who = principal(role)
    assert {action for action in ACTIONS if who.may(action)} == allowed
    assert set(ACTIONS) == ADMIN
    for action in allowed:
        who.require(action)
    for action in set(ACTIONS) - allowed:
        with pytest.raises(Forbidden, match=f"{action}.*{ACTIONS[action].name}.*{role.name}") as refused:
            who.require(action)
        assert refused.value.status == 403


def test_an_action_that_is_not_in_the_table_is_no_right_that_somebody_has() -> None:
    with pytest.raises(KeyError):
        principal(Role.admin).may("everything")
