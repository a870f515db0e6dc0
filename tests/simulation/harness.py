"""How tests of single owners run: in virtual time, one owner until everything is applied."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from processors import batch as batch_module
from processors.decide import decide
from processors.draft import Draft
from processors.loop import PartitionOwner
from schemas import commands as cmd
from schemas import events as ev
from tests.simulation.cluster import Cluster
from tests.simulation.virtual import run_virtually


def simulated(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the test in virtual time, where a real one may take minutes."""

    def run(**arguments: Any) -> None:
        run_virtually(lambda: test(**arguments))

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run


@asynccontextmanager
async def owner_fed_by_hand(cluster: Cluster) -> AsyncIterator[PartitionOwner]:
    """An owner that has taken over and hears what the test offers it, and no more. It has to live as long as that."""
    owner = cluster.new_owner()
    owning = asyncio.create_task(owner.run())
    await owner.taken_over()
    try:
        yield owner
        assert not owning.done()
    finally:
        owning.cancel()
        await asyncio.wait({owning})


async def run_until_applied(cluster: Cluster, owner: PartitionOwner | None = None) -> BaseException | None:
    """Run one owner until every command is applied, or it ends by itself; what it ended with."""
    owning = asyncio.create_task(cluster.own(owner))
    await asyncio.sleep(0)
    applied = asyncio.create_task(cluster.until_applied())
    await asyncio.wait({owning, applied}, return_when=asyncio.FIRST_COMPLETED)
    applied.cancel()
    if owning.done():
        return owning.result()
    owning.cancel()
    await asyncio.wait({owning})
    return None


async def types(cluster: Cluster) -> list[str]:
    """The types of all committed events."""
    return [ev.event_type(event.data) for event in await cluster.events()]


def poisoned(monkeypatch: pytest.MonkeyPatch, job: str) -> list[int]:
    """Deciding a submit of `job` raises; the list grows with each time it was tried."""
    tried: list[int] = []

    def decide_or_raise(read: Any, envelope: cmd.Envelope, *rest: Any) -> Draft:
        if isinstance(envelope.command, cmd.SubmitJob) and envelope.command.job == job:
            tried.append(1)
            raise ZeroDivisionError("a bug")
        return decide(read, envelope, *rest)

    monkeypatch.setattr(batch_module, "decide", decide_or_raise)
    return tried
