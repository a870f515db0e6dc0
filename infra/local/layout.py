"""The data directory of one stack: what lies where, whose it is, and the secrets made at first start.

stack.json   format, deployment, partitions and ports, kept from start to start
lock         held while a stack runs on the directory
secrets/     keys and passwords, readable by the owner alone
logs/ run/   logs of the components; sockets, member names and status of the running stack
kafka/ s3/ postgres/ triton/   what the servers store
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from infra.local.errors import LocalError
from infra.local.ports import free_ports, is_free

FORMAT = 1
_LEAST_FREE_BYTES = 512 << 20
_TRITONS = ("triton-grpc", "triton-http", "triton-metrics", "quarantine-grpc", "quarantine-http", "quarantine-metrics")
_PORTS = ("kafka", "kafka-controller", "s3", "postgres", *_TRITONS)


@dataclass(frozen=True)
class Layout:
    """Paths below one data directory. Making it touches nothing."""

    root: Path

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def stack_file(self) -> Path:
        return self.root / "stack.json"

    @property
    def status_file(self) -> Path:
        return self.run / "status.json"

    def member_file(self, name: str) -> Path:
        """Where a process publishes its group membership: JSON with ``group`` and ``member_id``."""
        return self.run / f"{name}.member"

    def secret(self, name: str) -> str:
        """The text of a secret that `prepare` has made."""
        return (self.secrets / name).read_text(encoding="ascii").strip()


@dataclass(frozen=True)
class StackFile:
    """The content of ``stack.json``."""

    format: int
    deployment: str
    partitions: int
    url: str
    host: str
    port: int
    ports: dict[str, int]


class Lock:
    """The claim of one running stack on its directory. The kernel gives it back when the process ends."""

    def __init__(self, root: Path) -> None:
        self._file: IO[str] = (root / "lock").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise LocalError(
                f"Another stack runs on {root}: stop it, or give this one a directory of its own with --data."
            ) from error

    def release(self) -> None:
        self._file.close()


def is_running(layout: Layout) -> bool:
    """Whether a stack holds the directory now."""
    if not (layout.root / "lock").exists():
        return False
    try:
        Lock(layout.root).release()
    except LocalError:
        return True
    return False


def claim(layout: Layout) -> Lock:
    """Make the directory where it is missing, and claim it. Raises `LocalError` in one sentence."""
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
        lock = Lock(layout.root)
        for folder in (layout.logs, layout.run, layout.secrets):
            folder.mkdir(exist_ok=True)
        layout.secrets.chmod(0o700)
    except OSError as error:
        raise LocalError(
            f"The data directory {layout.root} cannot be used ({error.strerror}): name another one with --data."
        ) from error
    free_bytes = shutil.disk_usage(layout.root).free
    if free_bytes < _LEAST_FREE_BYTES:
        lock.release()
        raise LocalError(
            f"The disk under {layout.root} has {free_bytes >> 20} MiB left: free at least 512 MiB, or name a "
            "directory on another disk with --data."
        )
    return lock


def read_stack_file(layout: Layout) -> StackFile | None:
    """What an earlier start wrote; None before the first. Raises `LocalError` for another format."""
    if not layout.stack_file.exists():
        return None
    try:
        content = json.loads(layout.stack_file.read_text(encoding="utf-8"))
        found = content["format"]
        if found == FORMAT:
            return StackFile(**content)
    except (ValueError, KeyError, TypeError) as error:
        raise LocalError(f"{layout.stack_file} cannot be read: restore it, or name another --data.") from error
    raise LocalError(
        f"{layout.root} was written by a newer version (format {found}, this version knows {FORMAT}): update "
        "Darkroom, or name another --data."
    )


def write_stack_file(layout: Layout, content: StackFile) -> None:
    write_atomically(layout.stack_file, json.dumps(vars(content), indent=1) + "\n")


def plan_ports(known: StackFile | None, workers: tuple[str, ...]) -> dict[str, int]:
    """A port for each server and worker: those of the last start where they are free, others new."""
    names = (*_PORTS, *workers)
    kept = {name: port for name, port in (known.ports if known else {}).items() if name in names and is_free(port)}
    missing = [name for name in names if name not in kept]
    return {**kept, **dict(zip(missing, free_ports(len(missing), frozenset(kept.values())), strict=True))}


def make_secrets(layout: Layout) -> None:
    """Make each secret that is missing. The identifier key is never replaced: account ids are made of it."""
    for name, size in (("identifier.key", 32), ("wrapping.key", 32), ("address.key", 32), ("link.key", 32)):
        _make_secret(layout.secrets / name, secrets.token_hex(size))
    for name, size in (("admin-password", 16), ("s3-access-key", 10), ("s3-secret-key", 20), ("postgres-password", 16)):
        _make_secret(layout.secrets / name, secrets.token_hex(size))
    folder = layout.secrets / "jwt"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not any(folder.glob("*.pem")):
        make_signing_key(folder, int(time.time()))


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a whole file or none of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def make_signing_key(folder: Path, begins_s: int) -> str:
    """A new key that signs tokens from that second on (`infra.http.signing_keys`); its `kid`."""
    kid = f"{begins_s}-{secrets.token_hex(4)}"
    _make_secret(folder / f"{kid}.pem", _new_signing_key())
    return kid


def _make_secret(path: Path, text: str) -> None:
    if not path.exists():
        write_atomically(path, text + "\n", 0o600)


def _new_signing_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii").strip()
