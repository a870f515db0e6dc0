"""A writing side whose decider knows assets and albums, and one picture on another server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from infra.remote.memory import MemoryFetcher
from schemas import commands as cmd
from schemas import refusals as no
from schemas.commands import Envelope
from schemas.replies import (
    AlbumAccepted,
    AnyAnswer,
    AssetAccepted,
    AssetDeletion,
    AssetsMovedAnswer,
    Done,
    JobDecided,
    Refused,
)
from tests.http.fakes import Side, make_side
from tests.http.test_writes import picture

PICTURE = picture("JPEG")
REMOTE = "https://pictures.example/a.jpg"
ASSET_1 = "asset_" + "a" * 26


class Decider:
    """Accepts what it is asked, and remembers registrations by their key as the real one does."""

    def __init__(self) -> None:
        self.registered: dict[str, AssetAccepted] = {}
        self.fingerprints: dict[str, str] = {}

    def __call__(self, envelope: Envelope) -> Sequence[AnyAnswer]:
        match envelope.command:
            case cmd.RegisterAsset() as command:
                assert envelope.idempotency is not None
                key, fingerprint = envelope.idempotency.key, envelope.idempotency.fingerprint
                if self.fingerprints.setdefault(key, fingerprint) != fingerprint:
                    return [Refused(no.IdempotencyMismatch(self.registered[key].asset))]
                return [self.registered.setdefault(key, AssetAccepted(command.asset, 1, command.object))]
            case cmd.DeleteAsset() as command:
                return [AssetDeletion(command.asset, command.cancel_jobs, 17)]
            case cmd.CreateAlbum() as command:
                return [AlbumAccepted(command.album)]
            case cmd.MoveAssets() as command:
                return [AssetsMovedAnswer(command.album, command.assets[:1], command.assets[1:2], command.assets[2:])]
            case cmd.SubmitJob() as command:
                return [JobDecided(command.job, "accepted", 1, 9)]
            case _:
                return [Done()]


@asynccontextmanager
async def asset_side(root: Path) -> AsyncIterator[Side]:
    """The writing side; one picture stands on another server."""
    made = make_side(root, remote=MemoryFetcher({REMOTE: PICTURE, "https://text.example/": b"no picture"}))
    made.decider.script = Decider()
    async with made.http:
        yield made


def commands(side: Side) -> list[Any]:
    """What the decider was asked."""
    return [envelope.command for envelope in side.decider.envelopes]
