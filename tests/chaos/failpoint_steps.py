"""How a running stack is made to pass each durable step of `infra.failpoints`: one way for each, by its name.

Most steps are passed by the load that goes on anyway; the rest needs somebody to ask for it. Ways of operators run a
command to its end, armed or not: what was cut off has to succeed when it is repeated.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import numpy as np
from PIL import Image

from infra.cli.target import open_reader
from infra.clock import SystemClock
from infra.failpoints import FAILPOINTS
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.kafka.dead_letters import read_dead_letters
from infra.s3.bucket import open_store
from schemas.commands import Envelope, GrantCredits, IdempotencyKey, encode_command
from schemas.identifiers import partition_of
from schemas.topics import COMMANDS
from tests.chaos import asset_steps, job_steps, money_steps
from tests.chaos.asker import Person
from tests.chaos.failpoint_field import Field, Ran, Way, asked, killed, told, upkeep
from tests.pictures import encoded

Lane = Literal["start", "gateway", "processor", "dispatcher", "projector", "operator", "rebuild"]
"""Whose processes a strike hits; lanes are swept side by side, and rebuilds beside the other commands of operators."""

GROUPED_JOBS = 12
IDLE_S = 20
REDRIVEN_UNITS = 3
_LISTED_WITHIN_S = 60.0
_TWO_DAYS_S = 2 * 86_400


async def _load(_: Field) -> None:
    """The load passes it."""
    await asyncio.sleep(0.2)


async def _group_with_texts(on: Field) -> None:
    await _group(on, on.person, (200, 202))


async def _group(on: Field, person: Person, allowed: tuple[int, ...]) -> None:
    """More jobs than a command holds texts of."""
    jobs = [{"model": "sandbox/echo", "metadata": {"n": n}} for n in range(GROUPED_JOBS)]
    path = "/v1/jobs:batch?atomic=true"
    body = await on.asker.ask("group", person, "POST", path, allowed, json={"jobs": jobs}, commands=GROUPED_JOBS)
    if body is not None:
        for result in body["results"]:
            person.owns(result["job"], body["group"])


async def _uploaded_twice(on: Field) -> None:
    """Under one key: the second one's bytes go."""
    person, before = on.person, len(on.asker.answered)
    await asset_steps.upload(on.asker, person)
    for answer in on.asker.answered[before:]:
        if answer.kind == "upload" and answer.person is person:
            await on.asker.send(person, answer.request)


async def _first_upload(on: Field) -> None:
    await asset_steps.upload(on.asker, on.newcomer())


async def _large_upload(on: Field) -> None:
    """More than a part of an upload holds; noise does not get smaller."""
    noise = np.random.default_rng(on.asker.seed).integers(0, 255, (1_400, 1_400, 3), np.uint8)
    files = {"file": ("noise.png", encoded(Image.fromarray(noise, "RGB"), "PNG"))}
    await on.asker.ask("upload", on.person, "POST", "/v1/assets", (201, 202), files=files)


async def _idle_session(on: Field) -> None:
    """A session that ends by itself is noted when it is used a quarter of its idle time later."""
    client = on.person.client
    token = on.stack.token(client.subject, idle_s=IDLE_S)
    async with httpx.AsyncClient(base_url=on.stack.url, headers={"Authorization": f"Bearer {token}"}) as http:
        await asyncio.sleep(IDLE_S / 3)
        await on.asker.read(lambda: http.get("/v1/account"), (200, 401))  # 401: it was too slow, and has ended
    await asyncio.sleep(0.5)


async def _published(on: Field) -> None:
    person = on.person
    if not person.assets:
        await asset_steps.upload(on.asker, person)
    await asset_steps.publish(on.asker, person)


async def _flaky_job(on: Field) -> None:
    """Its second attempt is due a little later, by a tick."""
    body = {"model": "sandbox/flaky", "params": {"failures": 1}}
    await job_steps.submit(on.asker, "card", on.person, body, job_steps.SUBMITTED, prefer="respond-async")
    await asyncio.sleep(0.5)


async def _slow_job(on: Field) -> None:
    """Longer than a lease is renewed."""
    body = {"model": "sandbox/slow", "params": {"seconds": 3}}
    await job_steps.submit(on.asker, "card", on.person, body, job_steps.SUBMITTED, prefer="respond-async")
    await asyncio.sleep(2)


async def _deleted(on: Field) -> None:
    """Its bytes go by the housekeepers."""
    person = on.person
    await asset_steps.upload(on.asker, person)
    if person.assets:
        path = f"/v1/assets/{person.assets.pop()}"
        await on.asker.ask("delete", person, "DELETE", path, (200, 202, *asset_steps.GONE))


async def _swept(on: Field) -> Ran:
    """An object of a known account that no event names, two days old."""
    account = await on.account_of(on.person)
    name = f"asset_orphan{next(on.numbers)}"
    async with open_store(on.settings.s3) as store:
        await store.put(f"{account}/{name}", b"nobody knows me", "image/png")
    path = on.stack.data / "s3" / "objects" / "darkroom" / account / name
    then = time.time() - _TWO_DAYS_S
    os.utime(path, (then, then))
    return await on.told("sweep")


async def _erased(on: Field) -> Ran:
    name = on.cut_off.pop("erase", None)
    if name is None:
        person = on.newcomer()
        await asset_steps.upload(on.asker, person)
        name = person.client.name
    return await _about(on, "erase", name, "--account", name)


async def _about(on: Field, command: str, whom: str, *arguments: str) -> Ran:
    ran = await on.told(command, *arguments)
    if "It was redriven as" in ran.stderr:
        return None  # its mark stood on the log already when the command was struck
    if ran.returncode != 0:
        on.cut_off[command] = whom
    return ran


async def _redriven(on: Field) -> Ran:
    source = on.cut_off.pop("redrive", None) or await _misplaced(on)
    return await _about(on, "redrive", source, source)


async def _misplaced(on: Field) -> str:
    """A grant that stands on another partition than its account's; where, once it is a dead letter."""
    settings, person, number = on.settings, on.person, next(on.numbers)
    account = await on.account_of(person)
    key = IdempotencyKey(f"misplaced-{number}", "some-fingerprint")
    command, now_ms = GrantCredits(REDRIVEN_UNITS, "redriven"), SystemClock().now_ms()
    grant = Envelope(f"cmd_misplaced{number}", account, person.client.product, command, now_ms, idempotency=key)
    away = 1 + number % (settings.partitions - 1)
    elsewhere = (partition_of(account, settings.partitions) + away) % settings.partitions
    client = await start_client(settings.kafka)
    appender = CommandAppender(client, COMMANDS)
    try:
        place = await appender.append(elsewhere, encode_command(grant))
    finally:
        await appender.close()
        await client.close()
    source = f"{elsewhere}.{place.offset}.{place.item_index}"
    async with open_reader(settings) as reader, asyncio.timeout(_LISTED_WITHIN_S):
        while source not in {letter.source for letter in await read_dead_letters(reader, settings.partitions)}:
            await asyncio.sleep(0.3)
    return source


async def _retired(on: Field) -> Ran:
    """A key that does not sign yet, so that no token dies with it."""
    kids = [kid for kid in _kids(on.stack.data) if int(kid.partition("-")[0]) > time.time()]
    if not kids:
        return await on.told("rotate-key", "--begin-after", "36000")
    return await on.told("rotate-key", "--retire", kids[-1])


def _kids(data: Path) -> list[str]:
    return sorted(path.stem for path in (data / "secrets" / "jwt").glob("[0-9]*.pem"))


_WAYS: Mapping[str, tuple[Lane, Way]] = {
    "start.topics": ("start", _load),
    "start.plan": ("start", _load),
    "gateway.append": ("gateway", asked(job_steps.card)),
    "gateway.append-many": ("gateway", asked(job_steps.batch)),
    "gateway.put-object": ("gateway", asked(asset_steps.upload)),
    "gateway.put-texts": ("gateway", _group_with_texts),
    "gateway.discard-object": ("gateway", _uploaded_twice),
    "gateway.put-key": ("gateway", _first_upload),
    "gateway.revoke-session": ("gateway", asked(money_steps.session)),
    "gateway.note-sessions": ("gateway", _idle_session),
    "gateway.note-accesses": ("gateway", _load),
    "gateway.note-views": ("gateway", _published),
    "store.put-part": ("gateway", _large_upload),
    "processor.fence": ("processor", killed("processor")),
    "processor.load": ("processor", killed("processor")),
    "processor.transaction": ("processor", _load),
    "processor.produce": ("processor", _load),
    "processor.end": ("processor", _load),
    "processor.decide": ("processor", _load),
    "processor.suspect": ("processor", _load),
    "processor.tick": ("processor", _flaky_job),
    "processor.trim": ("operator", upkeep("trim")),
    "dispatcher.offsets": ("dispatcher", _load),
    "dispatcher.started": ("dispatcher", _load),
    "dispatcher.lease": ("dispatcher", _slow_job),
    "dispatcher.put-result": ("dispatcher", _load),
    "dispatcher.outcome": ("dispatcher", _load),
    "dispatcher.delete-bytes": ("dispatcher", _deleted),
    "dispatcher.purged": ("dispatcher", _deleted),
    "projector.migrate": ("projector", killed("projector")),
    "projector.begin": ("projector", killed("projector")),
    "projector.transaction": ("projector", _load),
    "projector.archive": ("projector", _load),
    "projector.trail": ("projector", _load),
    "projector.beat": ("operator", upkeep("beat")),
    "rebuild.make": ("rebuild", told("rebuild")),
    "rebuild.fill": ("rebuild", told("rebuild")),
    "rebuild.indexes": ("rebuild", told("rebuild")),
    "rebuild.drop": ("rebuild", told("rebuild")),
    "rebuild.switch": ("rebuild", told("rebuild")),
    "rebuild-state.transaction": ("rebuild", told("rebuild-state")),
    "sweep.remove": ("operator", _swept),
    "sweep.forget": ("operator", _swept),
    "erase.append": ("operator", _erased),
    "erase.tombstones": ("operator", _erased),
    "redrive.append": ("operator", _redriven),
    "redrive.mark": ("operator", _redriven),
    "operator.append": ("operator", told("resume", "--partition", "0")),
    "operator.rotate-key": ("operator", told("rotate-key", "--begin-after", "36000")),
    "operator.retire-key": ("operator", _retired),
}

BESIDE: Mapping[str, str] = {"processor.suspect": "processor.decide.before=raise"}
"""What has to be armed too, for the step to be taken at all: here a decision that fails."""


@dataclass(frozen=True)
class Visit:
    """One failpoint to be struck in one way."""

    failpoint: str
    action: Literal["kill", "raise"]

    @property
    def step(self) -> str:
        """The durable step that it belongs to."""
        return self.failpoint.rpartition(".")[0]

    @property
    def lane(self) -> Lane:
        """Whose process it hits."""
        return _WAYS[self.step][0]

    @property
    def way(self) -> Way:
        """How the stack is made to pass it."""
        return _WAYS[self.step][1]


_ACTIONS: tuple[Literal["kill", "raise"], ...] = ("kill", "raise")


def every_visit() -> tuple[Visit, ...]:
    """Each failpoint, killed and raised; kills first."""
    return tuple(Visit(name, action) for action in _ACTIONS for name in FAILPOINTS)


def steps_with_ways() -> frozenset[str]:
    """The steps that somebody knows how to pass."""
    return frozenset(_WAYS)
