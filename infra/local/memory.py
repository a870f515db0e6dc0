"""Memory that a process and its descendants really hold."""

from __future__ import annotations

import psutil


def resident_bytes(pid: int) -> int:
    """Private resident memory of the whole tree plus the largest shared part; 0 for a process that is gone."""
    try:
        leader = psutil.Process(pid)
        family = [leader, *leader.children(recursive=True)]
    except psutil.Error:
        return 0
    private, shared = 0, 0
    for process in family:
        try:
            info = process.memory_info()
        except psutil.Error:
            continue
        private += info.rss - info.shared
        shared = max(shared, info.shared)
    return private + shared
