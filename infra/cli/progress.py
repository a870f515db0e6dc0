"""How a start is shown: a live list on a terminal, plain lines elsewhere. Both write to standard error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import click

from infra.local.supervisor import State


class Progress(Protocol):
    """Told of every change of state; `close` ends the live part, later changes are lines."""

    def changed(self, name: str, state: State) -> None: ...

    def close(self) -> None: ...


class PlainProgress:
    """One line a change."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def changed(self, name: str, state: State) -> None:
        click.echo(f"{time.monotonic() - self._started:6.1f} s  {name} {state}", err=True)

    def close(self) -> None:
        return None


class TerminalProgress:
    """All components on one line that is rewritten until the stack is ready."""

    def __init__(self, names: Sequence[str]) -> None:
        self._states: dict[str, State] = dict.fromkeys(names, "waiting")
        self._live = True
        self._plain = PlainProgress()

    def changed(self, name: str, state: State) -> None:
        if not self._live:
            self._plain.changed(name, state)
            return
        self._states[name] = state
        colours = {"healthy": "green", "starting": "yellow", "down": "red", "waiting": "white", "stopped": "white"}
        words = " ".join(click.style(known, fg=colours[state]) for known, state in self._states.items())
        click.echo(f"\r\x1b[K{words}", nl=False, err=True)

    def close(self) -> None:
        if self._live:
            self._live = False
            click.echo("", err=True)
