"""Tornado handlers: webhooks, REST, health, sessions."""
