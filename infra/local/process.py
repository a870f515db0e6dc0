"""One child process: its own process group, its end tied to ours, its exit awaited without threads.

A child is started between fork and exec with: a new session (so that its whole group can be signalled), the
kernel's parent-death signal (so that nothing outlives a killed supervisor), and, where asked, another user and a
lower priority.
Linux only: the stack uses ``prctl``, ``pidfd`` and /proc.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess  # nosec B404 # our own programs, no shell
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.priority import give_way

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class User:
    """The user that a child runs as. It may still enter folders of ours, which a stranger's home often forbids."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """What to run. ``environment`` is the whole environment, nothing is inherited beside it."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    working_dir: Path | None = None
    user: User | None = None
    death_signal: signal.Signals = signal.SIGKILL
    nice: int = 0


class Child:
    """A running child. `wait` may be awaited by several tasks; `signal_group` reaches its descendants too."""

    def __init__(self, command: Command, log: Path) -> None:
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # nosec B603 # a list of ours, no shell
                command.argv,
                env=dict(command.environment),
                cwd=command.working_dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_before_exec(command),
            )
        self._exited = asyncio.Event()
        self._pidfd = os.pidfd_open(self._popen.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._popen.returncode

    async def wait(self) -> int:
        await self._exited.wait()
        return self._popen.wait()

    def signal_group(self, signum: signal.Signals) -> None:
        """Signal the whole group; a group that is gone already is no error."""
        try:
            os.killpg(self._popen.pid, signum)
        except (ProcessLookupError, PermissionError):
            pass

    def signal_leader(self, signum: signal.Signals) -> None:
        """Signal the child alone, which is how a server is asked to stop its own helpers in order."""
        if self.returncode is None:
            self._popen.send_signal(signum)

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        self.signal_group(signal.SIGKILL)  # helpers that the leader left behind
        self._exited.set()


def run_as(command: Command) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end with the same precautions; output is captured."""
    return subprocess.run(  # nosec B603 # a list of ours, no shell
        command.argv,
        env=dict(command.environment),
        cwd=command.working_dir,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_before_exec(command),
    )


def inherited(extra: Mapping[str, str] | None = None, drop: Sequence[str] = ()) -> dict[str, str]:
    """Our own environment with ``extra`` on top and without ``drop``."""
    environment = {key: value for key, value in os.environ.items() if key not in drop}
    return {**environment, **(extra or {})}


def _before_exec(command: Command) -> Callable[[], None]:
    parent = os.getpid()
    user = command.user
    death_signal, nice = int(command.death_signal), command.nice

    def prepare() -> None:
        if nice:
            give_way(nice)
        if user is not None:
            _become(user)
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)  # after setuid, which clears it
        if os.getppid() != parent:
            os._exit(1)

    return prepare


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapSet(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _become(user: User) -> None:
    """Drop root for ``user``, keeping only the right to enter and read folders that are closed to others.

    Where the kernel refuses to keep it, the child runs without, and folders that it cannot enter are its error.
    """
    os.setgroups([])
    os.setgid(user.gid)
    _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)  # or access(2) would judge without the right
    os.setuid(user.uid)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    sets = (_CapSet * 2)(_CapSet(bit, bit, bit), _CapSet(0, 0, 0))
    if _libc.capset(ctypes.byref(header), ctypes.byref(sets)) == 0:
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
    else:
        sets = (_CapSet * 2)(_CapSet(0, 0, 0), _CapSet(0, 0, 0))
        _libc.capset(ctypes.byref(header), ctypes.byref(sets))
