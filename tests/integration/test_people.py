"""Who may come in: passwords, sessions, tokens; and the trail of what was done, which only grows."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from dash_app.domain.access import Principal, Role
from dash_app.domain.changes import AccessChanged, decode
from dash_app.domain.errors import Conflict, Invalid, NotFound
from dash_app.domain.ids import new_id
from dash_app.storage import people
from tests.integration.conftest import House

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def hashed() -> str:
    """PASSWORD's hash, made once: it takes long on purpose."""
    return people._hasher.hash(PASSWORD)


@pytest.fixture
def ada(house: House, hashed: str) -> UUID:
    """Ada, editor of the house's team."""
    return somebody(house, "ada@example.org", hashed, Role.editor)


def somebody(house: House, email: str, hashed: str, role: Role, team: UUID | None = None) -> UUID:
    user = new_id()
    with house.app.database.ingest() as unit:
        unit.execute(
            "INSERT INTO users (id, email, name, password_hash) VALUES (%s, %s, 'Somebody', %s)", (user, email, hashed)
        )
        people.add_member(unit, team or house.team, user, role)
        unit.commit()
    return user


def change(house: House, sql: str, *params: object) -> None:
    with house.app.database.ingest() as unit:
        assert unit.execute(sql, params).rowcount > 0
        unit.commit()


def verify(house: House, email: str, password: str) -> people.Login | None:
    with house.app.database.anyone() as unit:
        return people.verify_password(unit, email, password)


def by_session(house: House, secret: str) -> Principal | None:
    with house.app.database.anyone() as unit:
        return people.session_principal(unit, secret)


def by_token(house: House, secret: str) -> Principal | None:
    with house.app.database.anyone() as unit:
        return people.token_principal(unit, secret)


def session(house: House, user: UUID) -> str:
    with house.app.database.team(house.team) as unit:
        secret = people.open_session(unit, house.team, user, user_agent="a browser")
        unit.commit()
    return secret


def token(house: House, user: UUID, role: Role, name: str = "script") -> tuple[people.Token, str]:
    with house.app.database.team(house.team) as unit:
        made = people.create_token(unit, house.team, user, name, role)
        unit.commit()
    return made


# Passwords -----------------------------------------------------------------------------------------------------------


def test_the_right_password_of_a_known_user_and_nothing_else(house: House, ada: UUID) -> None:
    found = verify(house, "Ada@Example.org ", PASSWORD)
    assert found is not None
    assert (found.user, found.email) == (ada, "ada@example.org")
    for email, password in (
        ("ada@example.org", PASSWORD + "!"),
        ("ada@example.org", PASSWORD.upper()),
        ("ada@example.org", ""),
        ("bob@example.org", PASSWORD),
        ("", PASSWORD),
        ("ada@example.org' OR true --", PASSWORD),
    ):
        assert verify(house, email, password) is None
    change(house, "UPDATE users SET disabled = true WHERE id = %s", ada)
    assert verify(house, "ada@example.org", PASSWORD) is None


def test_an_unknown_user_costs_a_verification_too(house: House, ada: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Noting:
        def verify(self, stored: str, _password: str) -> bool:
            asked.append(stored)
            return True

    monkeypatch.setattr(people, "_hasher", Noting())
    assert verify(house, "nobody@example.org", PASSWORD) is None
    assert asked == [people._NOBODY]


def test_a_user_is_made_once_and_the_password_is_nowhere(house: House) -> None:
    with house.app.database.ingest() as unit:
        made = people.create_user(unit, " Ärne@Example.org", PASSWORD)
        with pytest.raises(Conflict):
            people.create_user(unit, "ärne@example.ORG", PASSWORD)
        stored = unit.row("SELECT email, name, password_hash FROM users WHERE id = %s", (made,))
        unit.commit()
    assert stored is not None
    assert stored[:2] == ("ärne@example.org", "ärne")
    assert stored[2].startswith("$argon2id$")
    assert PASSWORD not in stored[2]
    # Whatever the database's locale makes of letters like these.
    assert verify(house, "ÄRNE@EXAMPLE.ORG", PASSWORD) is not None


@pytest.mark.parametrize("email", ["", "ada", "@example.org", "ada@", "a b@example.org", "a\n@example.org", "a" * 255])
def test_what_is_no_address_is_refused(house: House, email: str) -> None:
    with house.app.database.ingest() as unit, pytest.raises(Invalid, match="e-mail"):
        people.create_user(unit, email, PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_a_password_has_bounds(house: House, password: str) -> None:
    with house.app.database.ingest() as unit, pytest.raises(Invalid, match="password"):
        people.create_user(unit, "ada@example.org", password)


# Sessions ------------------------------------------------------------------------------------------------------------


def test_a_session_stands_for_its_user_until_log_out(house: House, ada: UUID) -> None:
    secret, other = session(house, ada), session(house, ada)
    who = by_session(house, secret)
    assert who is not None
    assert (who.user, who.team, who.team_slug, who.role, who.via) == (ada, house.team, "acme", Role.editor, "session")
    assert by_session(house, secret + "x") is None
    assert by_token(house, secret) is None
    with house.app.database.connect("app") as connection:
        connection.execute("LISTEN dash_changes")
        with house.app.database.team(house.team) as unit:
            people.close_session(unit, ada, secret)
            unit.commit()
        (heard,) = connection.notifies(timeout=10, stop_after=1)
    assert decode(heard.payload) == AccessChanged(str(ada))
    assert by_session(house, secret) is None
    assert by_session(house, other) is not None


def test_a_session_ends_by_itself(house: House, ada: UUID) -> None:
    secret = session(house, ada)
    ((left,),) = house.rows("SELECT expires_at - now() FROM dash.browser_sessions")
    assert timedelta(days=13) < left <= people.SESSION_LIFETIME
    change(house, "UPDATE browser_sessions SET expires_at = now() - interval '1 second'")
    assert by_session(house, secret) is None


def test_being_seen_is_noted_now_and_then(house: House, ada: UUID) -> None:
    secret = session(house, ada)
    before = house.rows("SELECT last_seen_at FROM dash.browser_sessions")
    by_session(house, secret)
    assert house.rows("SELECT last_seen_at FROM dash.browser_sessions") == before
    change(house, "UPDATE browser_sessions SET last_seen_at = now() - interval '2 minutes'")
    by_session(house, secret)
    assert house.rows("SELECT last_seen_at > now() - interval '1 minute' FROM dash.browser_sessions") == [(True,)]


@pytest.mark.parametrize(
    "sql", ["UPDATE users SET disabled = true WHERE id = %s", "DELETE FROM members WHERE user_id = %s"]
)
def test_who_is_disabled_or_no_member_is_nobody_at_once(house: House, ada: UUID, sql: str) -> None:
    browser, (_, script) = session(house, ada), token(house, ada, Role.editor)
    assert by_session(house, browser) is not None
    assert by_token(house, script) is not None
    change(house, sql, ada)
    assert by_session(house, browser) is None
    assert by_token(house, script) is None


# Tokens --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "role"), [(Role.viewer, Role.viewer), (Role.editor, Role.editor), (Role.admin, Role.editor)]
)
def test_a_token_has_the_lesser_of_its_role_and_the_members(house: House, ada: UUID, given: Role, role: Role) -> None:
    made, secret = token(house, ada, given)
    who = by_token(house, secret)
    assert who is not None
    assert (who.user, who.role, who.via, who.credential) == (ada, role, "token", str(made.id))


def test_a_token_follows_its_member_down(house: House, ada: UUID) -> None:
    _, secret = token(house, ada, Role.editor)
    with house.app.database.ingest() as unit:
        people.add_member(unit, house.team, ada, Role.viewer)
        unit.commit()
    who = by_token(house, secret)
    assert who is not None
    assert who.role is Role.viewer


def test_a_token_is_kept_as_a_hash_and_told_by_its_beginning(house: House, ada: UUID) -> None:
    made, secret = token(house, ada, Role.viewer)
    assert secret.startswith(made.hint)
    assert len(made.hint) < 12
    ((stored,),) = house.rows("SELECT t::text FROM dash.api_tokens t")
    assert secret not in stored
    assert secret.encode().hex() not in stored
    assert made.last_used_at is None
    by_token(house, secret)
    with house.app.database.team(house.team) as unit:
        (listed,) = people.tokens(unit, ada)
    assert listed.last_used_at is not None


def test_a_revoked_token_is_nobody(house: House, ada: UUID, hashed: str) -> None:
    made, secret = token(house, ada, Role.viewer)
    _, other = token(house, ada, Role.viewer, "another")
    bob = somebody(house, "bob@example.org", hashed, Role.viewer)
    with house.app.database.team(house.team) as unit:
        with pytest.raises(NotFound):
            people.revoke_token(unit, made.id, bob)
        with pytest.raises(NotFound):
            people.revoke_token(unit, new_id())
        assert people.revoke_token(unit, made.id, ada).revoked_at is not None
        unit.commit()
    assert by_token(house, secret) is None
    assert by_token(house, other) is not None


def test_another_teams_people_tokens_and_trail_are_not_there(house: House, ada: UUID, hashed: str) -> None:
    made, _ = token(house, ada, Role.viewer)
    with house.app.database.ingest() as unit:
        theirs = people.create_team(unit, "globex", "Globex")
        unit.commit()
    eve = somebody(house, "eve@example.org", hashed, Role.admin, theirs)
    with house.app.database.team(house.team) as unit:
        people.record(unit, None, house.team, "pipeline.create", "one")
        unit.commit()
    with house.app.database.team(theirs) as unit:
        assert [member.user for member in people.members(unit)] == [eve]
        assert people.tokens(unit) == []
        assert people.audit(unit) == []
        with pytest.raises(NotFound):
            people.revoke_token(unit, made.id)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            unit.execute(
                "INSERT INTO audit (team_id, action) VALUES (%s, 'forged')",
                (house.team,),
            )


# The trail -----------------------------------------------------------------------------------------------------------


def test_the_trail_is_newest_first_and_in_pages(house: House, ada: UUID) -> None:
    who = by_session(house, session(house, ada))
    with house.app.database.team(house.team) as unit:
        for number in range(5):
            people.record(unit, who, house.team, "pipeline.update", str(number), {"number": number})
            unit.session.flush()
        unit.commit()
    with house.app.database.team(house.team) as unit:
        first = people.audit(unit, limit=3)
        rest = people.audit(unit, limit=3, before=int(first[-1]["id"]))
    assert [line["target"] for line in (*first, *rest)] == ["4", "3", "2", "1", "0"]
    assert first[0]["actor"] == "ada@example.org"
    assert first[0]["detail"] == {"number": 4}


def test_a_line_goes_with_what_was_done_or_not_at_all(house: House) -> None:
    with house.app.database.team(house.team) as unit:
        people.record(unit, None, house.team, "pipeline.update")
        unit.session.flush()
        unit.rollback()
        assert people.audit(unit) == []


@pytest.mark.parametrize("role", ["app", "ingest"])
@pytest.mark.parametrize("sql", ["UPDATE audit SET action = 'other'", "DELETE FROM audit"])
def test_no_line_of_the_trail_is_changed_or_removed(house: House, role: str, sql: str) -> None:
    with house.app.database.team(house.team) as unit:
        people.record(unit, None, house.team, "pipeline.update")
        unit.commit()
    database = house.app.database
    with database.team(house.team) if role == "app" else database.ingest() as unit:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            unit.execute(sql)
        unit.rollback()
    assert house.rows("SELECT action FROM dash.audit") == [("pipeline.update",)]


def test_the_application_cannot_empty_the_trail_either(house: House) -> None:
    with house.app.database.team(house.team) as unit, pytest.raises(psycopg.errors.InsufficientPrivilege):
        unit.execute("TRUNCATE audit")
