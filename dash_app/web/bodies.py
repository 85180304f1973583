"""What a request's body is once its Content-Encoding is undone.

The receiver checks signatures on the bytes as they came over the wire, and stores what `decode_body` makes of them.
The decoder itself lives with the sources, because polled pages pass through the same one.
"""

from __future__ import annotations

from dash_app.pipelines.sources.encodings import decode_body

__all__ = ["decode_body"]
