"""The sweeper on the running stack: an orphan goes once it is old, whatever an event names stays."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from infra.cli.target import open_reader, settings_for
from infra.cli.upkeep import SWEEP_LOCK, exclusive, keep_up
from infra.s3.bucket import open_store
from infra.settings import Settings, SweepSettings
from schemas.topics import KEYS
from tests.client import Client, ok
from tests.stack import Stack

TWO_DAYS_S = 2 * 86_400


def _folder(stack: Stack, account: str) -> Path:
    """Where the local object store keeps the account's objects."""
    return stack.data / "s3" / "objects" / "darkroom" / account


def _objects(stack: Stack, account: str) -> set[str]:
    folder = _folder(stack, account)
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _age(stack: Stack, account: str) -> None:
    """Make every object of the account two days old."""
    then = time.time() - TWO_DAYS_S
    for path in _folder(stack, account).rglob("*"):
        os.utime(path, (then, then))


async def _put(stack: Stack, *keys: str) -> None:
    async with open_store(settings_for(stack.data).s3) as store:
        for key in keys:
            await store.put(key, b"nobody knows me", "image/png")


async def _sweep(stack: Stack, *options: str) -> list[str]:
    """The keys that a sweep printed."""
    ran = await asyncio.to_thread(stack.darkroom, "sweep", *options)
    assert ran.returncode == 0, ran.stderr
    return [line.split()[0] for line in ran.stdout.splitlines() if line.endswith(" bytes")]


async def test_orphans_go_and_whatever_an_event_names_stays(stack: Stack, user: Client) -> None:
    account = (await user.account())["account"]
    asset = ok(await user.upload())
    job: dict[str, Any] = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    named = _objects(stack, account)
    assert len(named) >= 2
    orphans = {"incoming/asset_never_completed", f"{job['id']}/1-cutoff", "group_refused"}
    await _put(stack, *(f"{account}/{name}" for name in orphans))
    _age(stack, account)
    await _put(stack, f"{account}/asset_still_coming")

    printed = await _sweep(stack, "--dry-run")
    assert {key for key in printed if key.startswith(account)} == {f"{account}/{name}" for name in orphans}
    assert _objects(stack, account) == named | orphans | {"asset_still_coming"}

    assert set(await _sweep(stack)) >= {f"{account}/{name}" for name in orphans}
    assert _objects(stack, account) == named | {"asset_still_coming"}
    assert (await user.http.get(asset["url"])).status_code == 200
    assert (await user.http.get(job["result"]["url"])).status_code == 200
    assert [key for key in await _sweep(stack) if key.startswith(account)] == []


async def test_a_stranger_in_the_store_stays_until_an_operator_says_so(stack: Stack) -> None:
    account = "acct_" + "z" * 26
    await _put(stack, f"{account}/asset_1")
    _age(stack, account)
    ran = await asyncio.to_thread(stack.darkroom, "sweep")
    assert "1 objects of accounts that this log does not know left alone" in ran.stdout
    assert _objects(stack, account) == {"asset_1"}
    assert f"{account}/asset_1" in await _sweep(stack, "--unknown-accounts")
    assert _objects(stack, account) == set()


async def test_one_process_sweeps_at_each_mark_and_moves_the_keys_along(stack: Stack, user: Client) -> None:
    account = (await user.account())["account"]
    ok(await user.upload())
    await _put(stack, f"{account}/asset_lost")
    _age(stack, account)
    settings = settings_for(stack.data).model_copy(update={"sweep": SweepSettings(every_s=1)})
    before = await _key_ends(settings)
    async with exclusive(settings, SWEEP_LOCK) as ours:
        assert ours
        beside = [asyncio.create_task(keep_up(settings, beat_every_s=1)) for _ in range(2)]
        ran = await asyncio.to_thread(stack.darkroom, "sweep")
        assert ran.returncode == 2
        assert "Another sweep is running" in ran.stderr
        await asyncio.sleep(1.5)
        assert len(_objects(stack, account)) == 2
    async with asyncio.timeout(20):
        while len(_objects(stack, account)) == 2:
            await asyncio.sleep(0.1)
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    assert all(end > before[partition] for partition, end in (await _key_ends(settings)).items())


async def _key_ends(settings: Settings) -> dict[int, int]:
    async with open_reader(settings) as reader:
        return {partition: await reader.end_offset(KEYS, partition) for partition in range(settings.partitions)}


async def test_an_age_below_an_hour_is_refused(stack: Stack) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "sweep", "--older-than", "59m")
    assert ran.returncode == 2
    assert "is 1h at least" in ran.stderr
