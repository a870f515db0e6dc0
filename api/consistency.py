"""Read your writes (design section 2, point 22), decided before a query and costing none where nothing is demanded.

    before:   demanded position (header) and the gateway's own last one of the account -> wait until both are reached
    missing:  the last command on the log as of the request -> wait, look again: reached and missing is 404

Waits are bounded; what was not reached in time is 503 with Retry-After and never an older answer. Unknown ids and those
of strangers take the same path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request

from api.log_end import LogEnd, LogEndUnknown
from api.reached import Progress
from infra.http.cookies import POSITION_COOKIE, cookies_of, is_cookie_client
from infra.http.last_positions import LastPositions
from infra.http.problems import Problem, bad_field
from infra.http.requests import header_once
from schemas.identifiers import partition_of
from schemas.positions import Position, parse_position

WAIT_S = 1.0
HEADER = "Darkroom-Position"

T = TypeVar("T")


class Consistency:
    """Waits until the read models show what a request must see."""

    def __init__(
        self,
        progress: Progress,
        log_end: LogEnd,
        last_positions: LastPositions,
        partitions: int,
        wait_s: float = WAIT_S,
    ) -> None:
        self._progress, self._log_end, self._last_positions = progress, log_end, last_positions
        self._partitions, self._wait_s = partitions, wait_s

    async def ready(self, request: Request, account: str) -> None:
        """Return when the request may read. Raises Problem 400 for a position that cannot be, 503 after the wait."""
        demanded = header_once(request, "darkroom-position")
        own = self._last_positions.of(account)
        if demanded is None and is_cookie_client(request.scope):
            await self._reach_cookie(request, account)
        if demanded is not None:
            await self.reach(HEADER, demanded)
        if own is not None:
            await self._reach(own)

    async def _reach_cookie(self, request: Request, account: str) -> None:
        """Reach what another gateway has set as a cookie. One that cannot be, or of another account, is ignored."""
        position = parse_position(cookies_of(request.scope).get(POSITION_COOKIE, ""))
        if position is None or position.partition != partition_of(account, self._partitions):
            return
        try:
            await self.reach(HEADER, str(position))
        except Problem as problem:
            if problem.status != 400:
                raise

    async def reach(self, field: str, text: str) -> None:
        """Return when the position is reached. Raises Problem 400 naming the field where it cannot be, 503 later."""
        await self._reach(await self._checked(field, text))

    async def found(self, account: str, read: Callable[[], Awaitable[T | None]]) -> T | None:
        """What `read` finds; where it finds nothing, what it finds when all that is on the log now is applied."""
        result = await read()
        if result is None and await self.settle(account):
            return await read()
        return result

    async def settle(self, account: str) -> bool:
        """Return when every command that is on the account's log now is applied; False: there never was one.

        Raises Problem 503 after the wait.
        """
        partition = partition_of(account, self._partitions)
        last = await self._last_command(partition)
        if last is None:
            return False
        await self._reach(Position(partition, *last))
        return True

    async def _checked(self, field: str, text: str) -> Position:
        position = parse_position(text)
        if position is None or position.partition >= self._partitions:
            raise bad_field(field, "This must be a position as answers carry it: partition.offset.index.ordinal.")
        if not self._progress.has_reached(position.partition, position.source):
            last = await self._last_command(position.partition)
            if last is None or position.source > last:
                raise bad_field(field, "This position lies beyond the log's end.")
        return position

    async def _reach(self, position: Position) -> None:
        if self._progress.has_reached(position.partition, position.source):
            return
        if not await self._progress.wait(position.partition, position.source, self._wait_s):
            raise _not_yet(f"The read models have not come to {position} yet; try again.")

    async def _last_command(self, partition: int) -> tuple[int, int] | None:
        try:
            return await self._log_end.last_command(partition)
        except LogEndUnknown as error:
            raise _not_yet("The log did not answer in time; try again.") from error


def _not_yet(detail: str) -> Problem:
    return Problem(503, "not-reached", detail, headers={"Retry-After": "1"})
