"""Stored secrets: written once, read by the code that needs them, shown to nobody.

Each key of DASH_SECRET_KEY gives, by HKDF-SHA256 (RFC 5869; no salt, the purpose as info), one key for every purpose:
what is known of one purpose's key says nothing of another's. Secrets are Fernet tokens (AES-128-CBC and HMAC-SHA256)
under the newest key; older keys still read. Errors name the setting and never a value.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dash_app.domain.errors import Permanent
from dash_app.storage.unit import Unit

_PURPOSE = "stored secrets, version 1"


class UnreadableSecret(Permanent):
    """A stored secret cannot be read with any key of DASH_SECRET_KEY; add the one it was stored under at the end."""

    status = 500
    title = "Secret not readable"


class Vault:
    """Encrypts and reads secrets under `keys`, newest first, at least one."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or not all(keys):
            raise ValueError("a vault needs at least one key, and none that is empty")
        self._keys = tuple(keys)
        self._fernet = MultiFernet([Fernet(urlsafe_b64encode(_derive(key, _PURPOSE))) for key in self._keys])

    def __repr__(self) -> str:
        return f"Vault({len(self._keys)} keys)"

    def encrypt(self, text: str) -> bytes:
        """`text` under the newest key; no two results are alike."""
        return self._fernet.encrypt(text.encode())

    def decrypt(self, value: bytes) -> str:
        """The text of `encrypt`, whichever key it was under. Raises UnreadableSecret."""
        try:
            return self._fernet.decrypt(value).decode()
        except InvalidToken:
            raise UnreadableSecret from None

    def rotate(self, value: bytes) -> bytes:
        """The same secret under the newest key. Raises UnreadableSecret."""
        try:
            return self._fernet.rotate(value)
        except InvalidToken:
            raise UnreadableSecret from None

    def derive(self, purpose: str) -> bytes:
        """32 bytes for this purpose alone, such as signing cookies, from the newest key; the same in every process."""
        return self.derive_all(purpose)[0]

    def derive_all(self, purpose: str) -> tuple[bytes, ...]:
        """`derive` for each key, newest first: sign with the first, accept any, and a rotation logs nobody out."""
        if purpose == _PURPOSE:
            raise ValueError("this purpose is the vault's own")
        return tuple(_derive(key, purpose) for key in self._keys)

    def put(self, unit: Unit, team: UUID, owner: UUID, name: str, value: str, slot: int = 0) -> None:
        """Stores the secret `name` of `owner` (a pipeline, a sink). Slots 0 and 1 are two that are live at once."""
        unit.execute(
            "INSERT INTO secrets (team_id, owner, name, slot, value) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (owner, name, slot) DO UPDATE SET value = excluded.value, created_at = now()",
            (team, owner, name, slot, self.encrypt(value)),
        )

    def get_all(self, unit: Unit, owner: UUID, name: str) -> list[str]:
        """The live secrets of that name in order of slot; empty where there are none. Raises UnreadableSecret."""
        found = unit.rows("SELECT value FROM secrets WHERE owner = %s AND name = %s ORDER BY slot", (owner, name))
        return [self.decrypt(bytes(value)) for (value,) in found]

    def delete(self, unit: Unit, owner: UUID, name: str | None = None, slot: int | None = None) -> int:
        """Removes one slot, all slots of a name, or (name None) every secret of the owner; answers how many went."""
        return unit.execute(
            "DELETE FROM secrets WHERE owner = %(owner)s AND (%(name)s::text IS NULL OR name = %(name)s) "
            "AND (%(slot)s::int IS NULL OR slot = %(slot)s)",
            {"owner": owner, "name": name, "slot": slot},
        ).rowcount

    def rotate_all(self, unit: Unit) -> int:
        """Puts every stored secret that the unit sees under the newest key, after which older keys can go; how many."""
        found = unit.rows("SELECT owner, name, slot, value FROM secrets FOR UPDATE")
        unit.executemany(
            "UPDATE secrets SET value = %s WHERE owner = %s AND name = %s AND slot = %s",
            [(self.rotate(bytes(value)), owner, name, slot) for owner, name, slot, value in found],
        )
        return len(found)


def _derive(key: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"dash: {purpose}".encode()).derive(key.encode())
