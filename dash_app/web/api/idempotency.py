"""Idempotency keys: a POST that is sent again with the same key gets the answer of the first and does nothing anew.

The key is stored in the transaction of what it guards. Of two at once the second waits for the first to commit; what
failed left no key behind, so that it can be tried again. Answers can hold a secret that is shown once, and are kept
encrypted, for a day.
"""

from __future__ import annotations

import base64
import hashlib
import json
from uuid import UUID

from dash_app.domain.errors import BadRequest, Invalid
from dash_app.storage.unit import Unit
from dash_app.storage.vault import Vault

HEADER = "Idempotency-Key"
KEEP_HOURS = 24
_MAX_KEY = 200


def fingerprint(method: str, path: str, query: str, body: bytes) -> bytes:
    """What makes two requests the same one."""
    head = json.dumps([method, path, query]).encode()
    return hashlib.sha256(len(head).to_bytes(4, "big") + head + body).digest()


class IdempotencyKey:
    """One key of one user; others may use the same text for something else."""

    def __init__(self, vault: Vault, team: UUID, user: UUID, text: str, request: bytes) -> None:
        if not 1 <= len(text) <= _MAX_KEY or not text.isascii() or not text.isprintable():
            raise BadRequest(f"{HEADER} takes 1 to {_MAX_KEY} printable ASCII characters")
        self._vault = vault
        self._team = team
        self._key = f"{user}:{text}"
        self._request = request

    def answered(self, unit: Unit) -> tuple[int, bytes, dict[str, str]] | None:
        """The answer that this request got before; None where it is new, and then it is noted in this transaction.

        Raises Invalid where the key belongs to another request.
        """
        unit.execute(
            "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => %s)", (KEEP_HOURS,)
        )
        noted = unit.row(
            "INSERT INTO idempotency_keys (team_id, key, request) VALUES (%s, %s, %s) "
            "ON CONFLICT DO NOTHING RETURNING 1",
            (self._team, self._key, self._request),
        )
        if noted:
            return None
        found = unit.row("SELECT request, status, answer FROM idempotency_keys WHERE key = %s", (self._key,))
        if found is None:  # forgotten between the two statements
            return self.answered(unit)
        if bytes(found[0]) != self._request:
            raise Invalid(f"this {HEADER} was used for another request; take a new one")
        kept = json.loads(self._vault.decrypt(bytes(found[2])))
        return found[1], base64.b64decode(kept["body"]), kept["headers"]

    def keep(self, unit: Unit, status: int, body: bytes, headers: dict[str, str]) -> None:
        kept = json.dumps({"body": base64.b64encode(body).decode(), "headers": headers})
        unit.execute(
            "UPDATE idempotency_keys SET status = %s, answer = %s WHERE key = %s",
            (status, self._vault.encrypt(kept), self._key),
        )
