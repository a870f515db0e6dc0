"""The writing side as the holder of a DID meets it, with a decider that keeps accounts, and a read model that knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from infra.kafka.ports import Appended
from infra.postgres.outcomes import JobOutcome, KnownAsset
from infra.remote.memory import MemoryFetcher
from infra.samples import sample
from schemas import commands as cmd
from schemas import refusals as no
from schemas.commands import Envelope, StoredObject, decode_command
from schemas.identifiers import account_id
from schemas.replies import (
    AnyAnswer,
    AssetAccepted,
    AssetDeletion,
    JobCancelAccepted,
    JobDecided,
    JobEndedAnswer,
    JobHiddenAnswer,
    Refused,
    Reply,
)
from schemas.wire import pix_loom as wire
from schemas.wire.pix_loom_errors import ErrorAnswer
from tests.http.fakes import IDENTIFIER_KEY, NOW_MS, Side, make_side
from tests.http.test_writes import picture

DID = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
REMOTE, OTHER = "https://pictures.example/a.jpg", "https://pictures.example/b.jpg"
PICTURE = picture("JPEG")
SAMPLE = sample("photograph.jpg")
ACCOUNT = account_id(IDENTIFIER_KEY, "pix-loom", DID)
RESULT = StoredObject("result", 2048, "rr", "jpeg", 64, 48)
RAN_MS = 2_340


class Decider:
    """Decides as the real one does, for one account; `ends` is how jobs end, None: they go on."""

    def __init__(self, side: Side, credits: int = 5) -> None:
        self.side, self.credits = side, credits
        self.ends: str | None = "succeeded"
        self.reason = "engine-unavailable"
        self.read_model_knows = True
        self.keys: dict[str, tuple[str, AnyAnswer]] = {}
        self.live: set[str] = set()

    def __call__(self, envelope: Envelope) -> Sequence[AnyAnswer]:
        key = envelope.idempotency
        assert key is not None
        earlier = self.keys.get(key.key)
        if earlier is not None:
            return [earlier[1] if earlier[0] == key.fingerprint else Refused(no.IdempotencyMismatch("made"))]
        answers = self._decided(envelope.command)
        if not isinstance(answers[0], Refused):
            self.keys[key.key] = (key.fingerprint, answers[0])
        return answers

    def _decided(self, command: cmd.Command) -> list[AnyAnswer]:
        match command:
            case cmd.RegisterAsset():
                self.live.add(command.asset)
                self.note_asset(command.asset, command.object)
                return [AssetAccepted(command.asset, 1, command.object)]
            case cmd.DeleteAsset() if command.asset in self.live:
                self.live.remove(command.asset)
                known = self.side.read_side.assets[ACCOUNT, command.asset]
                self.side.read_side.assets[ACCOUNT, command.asset] = replace(known, gone="deleted")
                return [AssetDeletion(command.asset, (), self.credits)]
            case cmd.DeleteAsset():
                return [Refused(no.AssetUnknown(command.asset))]
            case cmd.SubmitJob():
                return self._submitted(command)
            case cmd.CancelJob() | cmd.HideJob():
                return self._ended_by_owner(command)
            case _:
                raise AssertionError(f"nobody asked for {command}")

    def _submitted(self, command: cmd.SubmitJob) -> list[AnyAnswer]:
        if command.input not in self.live:
            return [Refused(no.AssetUnknown(command.input or ""))]
        if self.credits < 1:
            return [Refused(no.InsufficientCredits(1, self.credits))]
        self.credits -= 1
        made: list[AnyAnswer] = [JobDecided(command.job, "accepted", 1, self.credits, NOW_MS)]
        self.note_job(command.job, command.model, command.input, self.ends or "accepted")
        if self.ends == "failed":
            self.credits += 1
            made.append(JobEndedAnswer(command.job, "failed", 0, self.credits, reason=self.reason, detail="English."))
        elif self.ends is not None:
            asset = command.job.replace("job_", "asset_")
            self.live.add(asset)
            self.note_asset(asset, RESULT)
            ended_ms = NOW_MS + RAN_MS
            made.append(JobEndedAnswer(command.job, self.ends, 1, self.credits, asset, RESULT, ended_ms=ended_ms))
        return made

    def _ended_by_owner(self, command: cmd.CancelJob | cmd.HideJob) -> list[AnyAnswer]:
        """A cancel, or what hides a job; of ended jobs the decider knows nothing."""
        place = ACCOUNT, command.job
        known = self.side.read_side.jobs.get(place)
        lives = known is not None and not known.has_ended
        if known is not None and lives:
            self.credits += 1
            known = self.side.read_side.jobs[place] = replace(known, status="canceled")
        if isinstance(command, cmd.CancelJob):
            return [JobCancelAccepted(command.job, self.credits) if lives else Refused(no.JobUnknown(command.job))]
        if known is not None:
            self.side.read_side.jobs[place] = replace(known, hidden_ms=NOW_MS)
        return [JobHiddenAnswer(command.job, lives, self.credits)]

    def note_asset(self, asset: str, stored: StoredObject) -> None:
        self.side.read_side.assets[ACCOUNT, asset] = KnownAsset(object=stored, position="0.0.0.0")

    def note_job(self, job: str, model: str, source: str, status: str) -> None:
        """The read model learns of a job."""
        if not self.read_model_knows:
            return
        has_ended, succeeded = status != "accepted", status == "succeeded"
        self.side.read_side.jobs[ACCOUNT, job] = JobOutcome(
            status=status,
            cost=1,
            charged=int(succeeded),
            balance=self.credits,
            asset=job.replace("job_", "asset_") if succeeded else None,
            result=RESULT if succeeded else None,
            reason=self.reason if status == "failed" else None,
            detail=None,
            position="0.0.0.0",
            accepted_at="0.0.0.0",
            accepted_ms=NOW_MS,
            ended_ms=NOW_MS + RAN_MS if has_ended else None,
            model=model,
            input=source,
        )


class Loom:
    """The side, its decider, and the documented requests."""

    def __init__(self, side: Side) -> None:
        self.side, self.decider = side, Decider(side)
        side.decider.script = self.decider
        side.decider.append = self.append  # type: ignore[method-assign]
        self.remote: MemoryFetcher
        self.decided_at: dict[str | None, int] = {}
        side.http.headers["Authorization"] = f"Bearer {side.token(DID, product='pix-loom')}"

    async def append(self, partition: int, item: bytes) -> Appended:
        """Decide at once, also what nobody waits for; a repeat is answered with the position of the first."""
        decider = self.side.decider
        if decider.fault is not None:
            raise decider.fault
        envelope, offset = decode_command(item), len(decider.envelopes)
        decider.envelopes.append(envelope)
        answers = decider.script(envelope)
        key = None if envelope.idempotency is None else envelope.idempotency.key
        position = f"{partition}.{self.decided_at.setdefault(key, offset)}.0.0"
        for answer in answers if envelope.reply is not None else ():
            assert envelope.reply is not None
            decider.waiters.deliver(Reply(envelope.reply.correlation, ACCOUNT, position, answer))
        if isinstance(answers[0], Refused):
            del self.decided_at[key]
        return Appended(offset, 0, NOW_MS)

    async def generate(self, url: str | None = REMOTE, operation: str = "colorization", **more: Any) -> httpx.Response:
        """POST generate; `key` is its Idempotency-Key, `prefer` its Prefer, all else members of the body."""
        names = {"key": "Idempotency-Key", "prefer": "Prefer"}
        headers = {name: more.pop(word) for word, name in names.items() if word in more}
        body = {"operationType": operation, **({} if url is None else {"originalImageUrl": url}), **more}
        return await self.side.http.post("/api/ai/generate", json=body, headers=headers)

    async def delete(self, generation: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.side.http.delete(f"/api/ai/generation/{generation}", headers=named)

    def commands(self, *kinds: type[Any]) -> list[Any]:
        """What the decider was asked, in order; only commands of these kinds where some are named."""
        asked = [envelope.command for envelope in self.side.decider.envelopes]
        return [command for command in asked if isinstance(command, kinds)] if kinds else asked

    def gone(self) -> set[str]:
        """Assets whose access has ended."""
        return {asset for (_, asset), known in self.side.read_side.assets.items() if known.gone is not None}


@asynccontextmanager
async def loom_side(root: Path, **changed: Any) -> AsyncIterator[Loom]:
    """A holder of a DID with 5 credits; two pictures stand on another server."""
    remote = MemoryFetcher({REMOTE: PICTURE, OTHER: picture("PNG"), "https://text.example/": b"no picture"})
    side = make_side(root, remote=remote, **changed)
    loom = Loom(side)
    loom.remote = remote
    async with side.http:
        yield loom


def data(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The answer's data, once the answer has been held against its model."""
    assert answer.status_code == status, answer.text
    model = wire.GENERATE.answers[status]
    assert isinstance(model, type)
    model.model_validate(answer.json())
    told: dict[str, Any] = answer.json()["data"]
    return told


def error(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The answer's error, once it has been held against its model."""
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    ErrorAnswer.model_validate(told)
    return told
