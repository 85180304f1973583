"""Streams: one owner each, frames packed into payloads."""
