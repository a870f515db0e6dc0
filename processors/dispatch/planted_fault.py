"""A fault that tests plant: work items and outcomes that get lost on their way, a share of each.

Only `DARKROOM_PLANTED_FAULT=drop:SHARE` arms it, and only where the deployment is `local`; elsewhere the process
refuses to start. The production path does not pass through here unless it is armed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

from infra.errors import OperatorError
from infra.logs import get_logger
from processors.dispatch.sender import CommandSender, DispatchCommand
from processors.dispatch.slots import Handle
from schemas.commands import RecordOutcome
from schemas.work import PurgeItem, WorkItem

VARIABLE = "DARKROOM_PLANTED_FAULT"
_log = get_logger(__name__)


class Loss:
    """Loses `share` (0 to 1) of what passes, by a seeded draw."""

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._draw = random.Random(seed)  # nosec B311 # a seeded draw, no secret

    def takes(self, what: str) -> bool:
        """Whether this one gets lost."""
        lost = self._draw.random() < self._share
        if lost:
            _log.warning("planted-loss", what=what)
        return lost


def planted_loss(deployment: str, seed: int) -> Loss | None:
    """What the environment plants; None without the variable. Raises OperatorError outside of local deployments."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return None
    if deployment != "local":
        raise OperatorError(f"{VARIABLE} is for tests: unset it, this deployment is {deployment}.")
    kind, _, share = text.partition(":")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if kind != "drop" or not 0 <= value <= 1:
        raise OperatorError(f"{VARIABLE} reads drop:SHARE with a share from 0 to 1, not {text}.")
    return Loss(value, seed)


class LossySender:
    """A `CommandSender` whose outcomes may get lost, as if the dispatcher had died before it told."""

    def __init__(self, sender: CommandSender, loss: Loss) -> None:
        self._sender, self._loss = sender, loss

    async def send(self, item: WorkItem | PurgeItem, commands: Sequence[DispatchCommand], until_ms: int) -> bool:
        kept = [command for command in commands if not self._loses(command)]
        return not kept or await self._sender.send(item, kept, until_ms)

    def _loses(self, command: DispatchCommand) -> bool:
        return isinstance(command, RecordOutcome) and self._loss.takes(f"outcome of {command.job}/{command.attempt}")


def lossy(take: Handle, loss: Loss) -> Handle:
    """``take`` that never sees some of the items."""

    async def taking(value: bytes | None) -> None:
        if not loss.takes("work item"):
            await take(value)

    return taking
