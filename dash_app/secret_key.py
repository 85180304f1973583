"""The key that encrypts stored secrets and signs cookies: what makes one good, and where the embedded set-up keeps it.

The embedded set-up makes a key at its first start and reads it at every later one. The file appears whole or not at
all, and of two first starts at once one wins and both use its key.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from itertools import pairwise
from pathlib import Path

from dash_app.domain.errors import SettingsError

FILE = "secret.key"
LENGTH = 32
ADVICE = "a random one, such as python3 -c 'import secrets; print(secrets.token_urlsafe(48))' prints"
SAMPLES = ("change", "example", "sample", "secret", "password", "your-", "your_", "default", "insecure", "placeholder")


def check_secret_key(key: str) -> None:
    """Raises ValueError, which never repeats the key, when it is short or looks like one from a manual."""
    if len(key) < LENGTH:
        raise ValueError(f"a key of {len(key)} characters is too short; at least {LENGTH}, {ADVICE}")
    if any(ord(character) <= 32 or ord(character) > 126 for character in key):
        raise ValueError(f"a key holds a character that is not printable ASCII, or a space; {ADVICE}")
    runs = key in (key + key)[1:-1] or _climbs(key)
    if runs or len(set(key)) < 8 or any(sample in key.lower() for sample in SAMPLES):
        raise ValueError(f"a key is a sample or easily guessed; {ADVICE}")


def _climbs(key: str) -> bool:
    """Whether most characters follow their neighbour, as in 0123456789abcdef."""
    steps = sum(ord(after) - ord(before) == 1 for before, after in pairwise(key))
    return steps > len(key) // 2


def stored_secret_key(data_dir: Path) -> str:
    """The key in `data_dir`, which must exist; made there, for this user's eyes alone, when there is none.

    Raises SettingsError when the file holds no good key (a new one would leave every stored secret unreadable), OSError
    when it cannot be read or written.
    """
    path = data_dir / FILE
    if not path.exists():
        fresh = data_dir / f".{FILE}.{secrets.token_hex(8)}"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)  # unlike a rename it does not replace what another start put there
        finally:
            fresh.unlink()
        folder = os.open(data_dir, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    key = path.read_text().strip()
    try:
        check_secret_key(key)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}; put the file back as it was, or set DASH_SECRET_KEY") from None
    return key
