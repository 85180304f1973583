"""Delivery: from a row in the outbox to an answer of the other side."""
