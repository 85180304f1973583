"""Which part of the system used how much of the processors: CPU seconds by process, PostgreSQL's by its client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import psutil

from bench._ground import Ground


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def look(ground: Ground) -> dict[tuple[str, int], float]:
    """CPU seconds used so far, by part and process."""
    seen: dict[tuple[str, int], float] = {}
    # Each process of a worker says what it is in its heartbeat.
    parts = {int(node.rpartition(":")[2]): role for node, role in ground.rows("SELECT node, role FROM dash.heartbeats")}
    for name, started in ground.processes.items():
        main = psutil.Process(started.pid)
        seen[name, started.pid] = _seconds(main)
        for child in main.children(recursive=True):
            if child.pid in parts:
                seen[f"{name}: {parts[child.pid]}", child.pid] = _seconds(child)
    clients = {
        pid: application or kind
        for pid, application, kind in ground.rows("SELECT pid, application_name, backend_type FROM pg_stat_activity")
    }
    for backend in psutil.Process(ground.server.pid).children(recursive=True):
        client = clients.get(backend.pid, "gone")
        seen[f"postgres: {client}", backend.pid] = _seconds(backend)
    return seen


def split(before: Mapping[tuple[str, int], float], after: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """CPU seconds between two looks by part, the greatest first; what is below a hundredth of a second is left out."""
    used: defaultdict[str, float] = defaultdict(float)
    for key, seconds in after.items():
        used[key[0]] += seconds - before.get(key, 0.0)
    return {part: round(s, 2) for part, s in sorted(used.items(), key=lambda item: -item[1]) if s >= 0.01}
