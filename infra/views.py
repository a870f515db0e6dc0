"""Views of public pictures: counted in the gateway, packed per account, and sent as commands.

Theory of operation. A view costs the answer nothing: a number in memory. Once a second, or when `VIEWS_MAX` views wait,
what has gathered leaves: one `record-views` command an account (or more, at `ASSETS_MAX` assets each), nobody waits for
its decision. What is certainly not on the log goes back to be sent again; what may be on it is not sent twice, because
a view too few is better than one that never was. At most `WAITING_MAX` assets wait; views of others are dropped then.

At most once: a gateway that is killed loses the views of its last second. One that stops in order sends what it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from infra import failpoints
from infra.clock import Clock
from infra.ids import IdSource
from infra.kafka.ports import Appender, NotAppended, OutcomeUnknown
from infra.logs import get_logger
from schemas.commands import Envelope, RecordViews, encode_command
from schemas.identifiers import partition_of

EVERY_S = 1.0
VIEWS_MAX = 500
ASSETS_MAX = 500
WAITING_MAX = 10_000
_log = get_logger(__name__)

Viewed = tuple[str, str, str]


class Views(Protocol):
    """Where views are noted."""

    def note(self, account: str, product: str, asset: str) -> None:
        """Somebody other than its owner has read a public asset of the account."""
        ...


class MemoryViews:
    """`Views` that are kept; `counted` has them."""

    def __init__(self) -> None:
        self.counted: Counter[Viewed] = Counter()

    def note(self, account: str, product: str, asset: str) -> None:
        self.counted[account, product, asset] += 1


class ViewSender:
    """`Views` on the log. Run `run` beside the application, and `flush` after it."""

    def __init__(self, appender: Appender, clock: Clock, ids: IdSource, partitions: int) -> None:
        self._appender, self._clock, self._ids, self._partitions = appender, clock, ids, partitions
        self._waiting: Counter[Viewed] = Counter()
        self._total = self.dropped = 0
        self._some, self._many = asyncio.Event(), asyncio.Event()

    def note(self, account: str, product: str, asset: str) -> None:
        """See `Views`."""
        viewed = (account, product, asset)
        if viewed not in self._waiting and len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            return
        self._waiting[viewed] += 1
        self._total += 1
        self._some.set()
        if self._total >= VIEWS_MAX:
            self._many.set()

    async def run(self) -> None:
        """Send what gathers, until cancelled."""
        while True:
            await self._some.wait()
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._many.wait()
            except TimeoutError:
                pass
            if not await self.flush():
                await asyncio.sleep(EVERY_S)

    async def flush(self) -> bool:
        """Send all that has gathered; False when some of it waits for the next call."""
        waiting, self._waiting, self._total = self._waiting, Counter(), 0
        self._some.clear()
        self._many.clear()
        if self.dropped:
            _log.warning("views-dropped", views=self.dropped)
            self.dropped = 0
        return all(await asyncio.gather(*map(self._sent, self._packed(waiting))))

    async def _sent(self, envelope: Envelope) -> bool:
        try:
            failpoints.passed("gateway.note-views.before")
            await self._appender.append(partition_of(envelope.account, self._partitions), encode_command(envelope))
            failpoints.passed("gateway.note-views.after")
        except NotAppended:
            self._put_back(envelope)
            return False
        except OutcomeUnknown:
            _log.warning("views-maybe-lost", account=envelope.account)
        except Exception as error:  # nobody foresaw it; the views that come after it are still to be sent
            _log.error("views-maybe-lost", account=envelope.account, exc_info=error)
        return True

    def _packed(self, waiting: Mapping[Viewed, int]) -> Iterator[Envelope]:
        accounts: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for (account, product, asset), times in waiting.items():
            accounts.setdefault((account, product), []).append((asset, times))
        for (account, product), views in accounts.items():
            for at in range(0, len(views), ASSETS_MAX):
                yield Envelope(
                    id=self._ids.mint("cmd"),
                    account=account,
                    product=product,
                    command=RecordViews(tuple(views[at : at + ASSETS_MAX])),
                    sent_ms=self._clock.now_ms(),
                    actor="gateway",
                )

    def _put_back(self, envelope: Envelope) -> None:
        assert isinstance(envelope.command, RecordViews)
        for asset, times in envelope.command.views:
            viewed = (envelope.account, envelope.product, asset)
            if viewed in self._waiting or len(self._waiting) < WAITING_MAX:
                self._waiting[viewed] += times
                self._total += times
            else:
                self.dropped += times
        self._some.set()


@asynccontextmanager
async def open_views(appender: Appender, clock: Clock, ids: IdSource, partitions: int) -> AsyncIterator[ViewSender]:
    """A sender that runs while the block does, and sends what it has at its end."""
    views = ViewSender(appender, clock, ids, partitions)
    running = asyncio.create_task(views.run(), name="send views")
    try:
        yield views
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await views.flush()
