"""Who am I, who else is here, tokens, and who did what."""

from __future__ import annotations

from typing import Any

from dash_app.domain.access import ACTIONS, Role
from dash_app.domain.errors import Forbidden
from dash_app.storage import people
from dash_app.web.api import shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation, uuid_of
from dash_app.web.api.schema import object_of, page_of


def get_session(call: Call) -> Any:
    who = call.principal
    return shapes.session(who, [action for action in ACTIONS if who.may(action)], call.xsrf)


def list_teams(call: Call) -> Any:
    # Which teams somebody is in is known before a team is chosen, so it is asked outside this team's unit.
    with call.app.database.anyone() as unit:
        found = people.memberships(unit, call.principal.user)
    return call.page_of_all(found, shapes.team, lambda one: one.team)


def list_members(call: Call) -> Any:
    return call.page_of_all(people.members(call.unit), shapes.member, lambda one: one.user)


def list_tokens(call: Call) -> Any:
    return call.page_of_all(people.tokens(call.unit, call.principal.user), shapes.token, lambda one: one.id)


def create_token(call: Call) -> Any:
    who = call.principal
    role = Role[call.body["role"]] if call.body.get("role") else who.role
    if role > who.role:
        raise Forbidden(f"a token's role is at most your own, {who.role.name}")
    made, secret = people.create_token(call.unit, who.team, who.user, call.body["name"], role)
    people.record(call.unit, who, who.team, "token.create", str(made.id), {"name": made.name, "role": role.name})
    return {**shapes.token(made), "token": secret}


def revoke_token(call: Call) -> Any:
    who = call.principal
    made = people.revoke_token(call.unit, uuid_of(call.path["token"]), who.user)
    people.record(call.unit, who, who.team, "token.revoke", str(made.id), {"name": made.name})
    return Answer()


def list_audit(call: Call) -> Any:
    found = people.audit(call.unit, limit=call.query["limit"] + 1, before=call.after_id())
    return call.page(found, lambda entry: entry, lambda entry: entry["id"])


_TAG = "People"

OPERATIONS = (
    Operation("GET", "/session", "get_session", _TAG, "Who am I", None, get_session, shapes.SESSION),
    Operation(
        "GET",
        "/teams",
        "list_teams",
        _TAG,
        "The teams that I am in",
        None,
        list_teams,
        page_of(shapes.TEAM),
        query=PAGED,
    ),
    Operation(
        "GET",
        "/members",
        "list_members",
        _TAG,
        "Who is in this team",
        "members.read",
        list_members,
        page_of(shapes.MEMBER),
        query=PAGED,
    ),
    Operation(
        "GET",
        "/tokens",
        "list_tokens",
        _TAG,
        "My tokens, newest first",
        "tokens.own",
        list_tokens,
        page_of(shapes.TOKEN),
        query=PAGED,
        detail="Revoked ones are listed too.",
    ),
    Operation(
        "POST",
        "/tokens",
        "create_token",
        _TAG,
        "Make a token",
        "tokens.own",
        create_token,
        shapes.NEW_TOKEN,
        status=201,
        keyed=True,
        body=object_of(
            {
                "name": {"type": "string", "minLength": 1, "maxLength": 100},
                "role": {**shapes.ROLE, "description": "At most your own, which is also the default."},
            },
            required=("name",),
            closed=True,
        ),
    ),
    Operation(
        "DELETE",
        "/tokens/{token}",
        "revoke_token",
        _TAG,
        "Revoke a token of mine",
        "tokens.own",
        revoke_token,
        status=204,
        detail="What uses it is refused within a second.",
    ),
    Operation(
        "GET",
        "/audit",
        "list_audit",
        _TAG,
        "Who did what, newest first",
        "audit.read",
        list_audit,
        page_of(shapes.AUDIT),
        query=PAGED,
    ),
)
