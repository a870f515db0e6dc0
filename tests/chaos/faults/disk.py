"""A full log directory: Kafka cannot write, dies of it, and comes back when there is room again.

Where mounting is allowed its log lies on a small file system in memory, which a ballast file fills. Elsewhere the
kernel refuses its writes: the size of files that the process may write is limited to nothing.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Kind, Struck

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

_DIES_WITHIN_S = 60.0
_CHUNK = bytes(1 << 20)


class FullDisk:
    """Implements `tests.chaos.faults.fault.Fault` and `Prepared`."""

    name = "full-disk"
    kind: Kind = "lost server"
    detour = None

    def __init__(self, size_mib: int = 2048, *, may_mount: bool = True) -> None:
        self._size_mib, self._may_mount = size_mib, may_mount
        self._mounted: Path | None = None

    def prepare(self, data: Path) -> None:
        folder = data / "kafka" / "log"
        folder.mkdir(parents=True, exist_ok=True)
        if self._may_mount and _succeeds("mount", "-t", "tmpfs", "-o", f"size={self._size_mib}m", "tmpfs", str(folder)):
            self._mounted = folder

    def clean(self) -> None:
        if self._mounted is not None:
            kept = self._mounted.with_name("kept")  # for whoever looks into a failure
            shutil.copytree(self._mounted, kept, ignore_dangling_symlinks=True)
            assert _succeeds("umount", "--lazy", str(self._mounted)), f"{self._mounted} is still mounted"
            self._mounted.rmdir()
            kept.rename(self._mounted)
            self._mounted = None

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        _, pid = await arena.healthy_one(("kafka",))
        if self._mounted is None:
            return await self._refuse_writes(arena, pid)
        ballast = self._mounted.parent / "log" / "ballast"
        try:
            await asyncio.to_thread(_fill, ballast)
            died = await arena.is_replaced("kafka", pid, _DIES_WITHIN_S)
        finally:
            ballast.unlink(missing_ok=True)
        return Struck({"full log directory (tmpfs)": 1} if died else {})

    async def _refuse_writes(self, arena: Arena, pid: int) -> Struck:
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        if await arena.is_replaced("kafka", pid, _DIES_WITHIN_S):
            return Struck({"full log directory (injected write errors)": 1})
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
        return Struck({})


def _fill(ballast: Path) -> None:
    """Write until there is no room left, byte by byte at the end."""
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for chunk in (_CHUNK, _CHUNK[:4096], _CHUNK[:1]):
            while True:
                try:
                    os.write(descriptor, chunk)
                except OSError:
                    break
    finally:
        os.close(descriptor)


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
