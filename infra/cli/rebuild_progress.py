"""How a rebuild is shown: a bar with events a second, percent and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 5.0


class RebuildProgress:
    """Implements `projections.rebuild.Progress` on standard error; a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._name, self._total, self._events, self._begun_s, self._told_s = "", 0, 0, 0.0, 0.0

    def __enter__(self) -> RebuildProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def phase(self, name: str, total: int) -> None:
        """See the port."""
        if self._task is not None:
            self._bar.update(self._task, total=self._total or 1, completed=self._total or 1)
        self._name, self._total, self._events = name, total, 0
        self._begun_s = time.monotonic()
        self._task = self._bar.add_task(name, total=total or None, rate="")
        self._line("begun")

    def at(self, done: int, events: int) -> None:
        """See the port."""
        self._events += events
        passed_s = max(time.monotonic() - self._begun_s, 1e-9)
        rate = f"{self._events / passed_s:,.0f} events/s" if self._events else f"{done / passed_s:,.0f} rows/s"
        if self._task is not None:
            self._bar.update(self._task, completed=done, rate=rate)
        if time.monotonic() - self._told_s > _LINE_EVERY_S:
            percent = f"{100 * done / self._total:.0f} %, " if self._total else ""
            left = f", {passed_s * (self._total - done) / done:.0f} s left" if 0 < done < self._total else ""
            self._line(f"{percent}{rate}{left}")

    def _line(self, text: str) -> None:
        self._told_s = time.monotonic()
        if not self._console.is_terminal:
            self._console.print(f"{self._name}: {text}", highlight=False, markup=False)
