"""Secrets are unreadable at rest, readable under any live key, and never in an error."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.ids import new_id
from dash_app.storage.engine import Database
from dash_app.storage.vault import UnreadableSecret, Vault

OLD, NEW, OTHER = "old-key-" + "k3J9" * 8, "new-key-" + "Zp5x" * 8, "other-key-" + "Wq7r" * 8


@given(st.text())
def test_what_goes_in_comes_out(text: str) -> None:
    vault = Vault((NEW,))
    value = vault.encrypt(text)

    assert vault.decrypt(value) == text
    assert len(text) < 8 or text.encode() not in value


def test_the_same_secret_never_looks_the_same() -> None:
    assert Vault((NEW,)).encrypt("s") != Vault((NEW,)).encrypt("s")


def test_older_keys_still_read_and_the_newest_writes() -> None:
    before = Vault((OLD,)).encrypt("secret")
    both = Vault((NEW, OLD))

    assert both.decrypt(before) == "secret"
    assert Vault((NEW,)).decrypt(both.encrypt("secret")) == "secret"
    with pytest.raises(UnreadableSecret):
        Vault((OLD,)).decrypt(both.encrypt("secret"))


def test_a_rotated_secret_needs_the_old_key_no_more() -> None:
    rotated = Vault((NEW, OLD)).rotate(Vault((OLD,)).encrypt("secret"))

    assert Vault((NEW,)).decrypt(rotated) == "secret"


@pytest.mark.parametrize(
    "value",
    [b"", b"not a token", Fernet(Fernet.generate_key()).encrypt(b"x")],
    ids=["nothing", "no token", "another's"],
)
def test_what_no_key_reads_names_the_setting_and_nothing_else(value: bytes) -> None:
    for call in (Vault((NEW, OLD)).decrypt, Vault((NEW, OLD)).rotate):
        with pytest.raises(UnreadableSecret, match="DASH_SECRET_KEY") as caught:
            call(value)
        shown = f"{caught.value!r} {caught.value.__cause__!r}"
        assert NEW not in shown
        assert OLD not in shown
        assert not value or value.decode() not in shown


def test_a_changed_token_is_refused() -> None:
    value = bytearray(Vault((NEW,)).encrypt("secret"))
    value[20] ^= 1

    with pytest.raises(UnreadableSecret):
        Vault((NEW,)).decrypt(bytes(value))


def test_derived_keys_differ_by_purpose_and_key_and_are_stable() -> None:
    vault = Vault((NEW, OLD))

    assert vault.derive("cookies") == Vault((NEW,)).derive("cookies")
    assert len({vault.derive("cookies"), vault.derive("xsrf"), Vault((OLD,)).derive("cookies")}) == 3
    assert vault.derive_all("cookies") == (Vault((NEW,)).derive("cookies"), Vault((OLD,)).derive("cookies"))
    assert len(vault.derive("cookies")) == 32
    # Pinned: another result would log everybody out and lose every secret with an update.
    assert Vault(("k" * 40,)).derive("cookies").hex() == PINNED


PINNED = "9ec163fb77cf53fa20f2df569c03874d9bba492ed0ea3d07c63d0b28ad61ef55"


def test_the_vaults_own_purpose_is_not_given_out() -> None:
    with pytest.raises(ValueError, match="own"):
        Vault((NEW,)).derive("stored secrets, version 1")


@pytest.mark.parametrize("keys", [(), ("",), (NEW, "")])
def test_a_vault_without_a_key_is_none(keys: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="key"):
        Vault(keys)


def test_a_vault_shows_no_key() -> None:
    assert NEW not in repr(Vault((NEW,)))


# The table -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, pool_size=2)
    yield database
    database.close()


def _team(database: Database, slug: str) -> UUID:
    team = new_id()
    with database.ingest() as unit:
        unit.execute("INSERT INTO teams (id, slug, name) VALUES (%s, %s, %s)", (team, slug, slug))
        unit.commit()
    return team


def test_two_secrets_are_live_at_once(database: Database) -> None:
    team, owner, vault = _team(database, "one"), new_id(), Vault((NEW,))
    with database.team(team) as unit:
        vault.put(unit, team, owner, "signing", "second", slot=1)
        vault.put(unit, team, owner, "signing", "first")
        vault.put(unit, team, owner, "password", "another")
        unit.commit()
    with database.ingest() as unit:
        assert vault.get_all(unit, owner, "signing") == ["first", "second"]
        assert vault.get_all(unit, owner, "password") == ["another"]
        assert vault.get_all(unit, owner, "absent") == []
        assert vault.get_all(unit, new_id(), "signing") == []
        stored = unit.rows("SELECT value FROM secrets")
        assert not any(word in bytes(value) for (value,) in stored for word in (b"first", b"second", b"another"))

        vault.put(unit, team, owner, "signing", "third")
        assert vault.get_all(unit, owner, "signing") == ["third", "second"]
        assert vault.delete(unit, owner, "signing", slot=0) == 1
        assert vault.get_all(unit, owner, "signing") == ["second"]
        assert vault.delete(unit, owner) == 2
        assert unit.value("SELECT count(*) FROM secrets") == 0


def test_a_team_sees_its_own_secrets_alone(database: Database) -> None:
    mine, theirs, owner, vault = _team(database, "mine"), _team(database, "theirs"), new_id(), Vault((NEW,))
    with database.team(theirs) as unit:
        vault.put(unit, theirs, owner, "signing", "theirs")
        unit.commit()
    with database.team(mine) as unit:
        assert vault.get_all(unit, owner, "signing") == []
        assert vault.delete(unit, owner, "signing") == 0


def test_rotating_everything_frees_the_old_key(database: Database) -> None:
    team, owner = _team(database, "one"), new_id()
    with database.ingest() as unit:
        for slot in (0, 1):
            Vault((OLD,)).put(unit, team, owner, "signing", f"secret {slot}", slot)
        with pytest.raises(UnreadableSecret):
            Vault((NEW,)).get_all(unit, owner, "signing")
        assert Vault((NEW, OLD)).rotate_all(unit) == 2
        assert Vault((NEW,)).get_all(unit, owner, "signing") == ["secret 0", "secret 1"]
        with pytest.raises(UnreadableSecret):
            Vault((OTHER,)).rotate_all(unit)
