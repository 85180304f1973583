"""How many files this process may have open: each viewer and each caller is one.

What a shell grants at first is often 1,024. A process may raise that itself, as far as the hard limit goes.
"""

from __future__ import annotations

import resource

#: Enough for anybody, and few enough that nobody who walks through them all takes long.
MOST = 1 << 20


def attainable() -> int:
    """The limit that a node has once it has raised it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST
    return max(soft, MOST if hard == resource.RLIM_INFINITY else min(hard, MOST))


def raise_limit() -> int:
    """Raises the limit as far as it goes, and answers it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = attainable()
    if soft not in (wanted, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # a kernel may grant less than the hard limit says
            return soft
    return wanted
