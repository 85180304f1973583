"""Passwords that take no time: what argon2 costs on purpose, tests would pay hundreds of times."""

from __future__ import annotations

import argon2

from dash_app.storage import people


def make_cheap() -> None:
    """Has this process hash passwords with the least that argon2 can do; fails where the product does so as well."""
    full = people._hasher
    assert (full.type, full.memory_cost >= 65536, full.time_cost >= 3) == (argon2.Type.ID, True, True)
    people._hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    people._NOBODY = people._hasher.hash("nobody")
