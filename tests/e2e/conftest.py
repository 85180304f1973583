"""What all tests in a browser share."""

from __future__ import annotations

from playwright.sync_api import expect

# Several processes share the machine: what is waited for comes, and says so when it does not.
expect.set_options(timeout=20_000)
