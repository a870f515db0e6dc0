"""Arms and disarms failpoints of a stack that runs with DARKROOM_FAILPOINTS=@armed, and sees which have struck."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra.failpoints import FOLDER, VARIABLE

_FILE = "armed"
ENVIRONMENT = {VARIABLE: f"@{_FILE}"}
"""What lets a stack be armed while it runs."""


class Arming:
    """The armed entries of the stack in ``data``; for one event loop."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._entries: list[str] = []

    def arm(self, *entries: str) -> None:
        """Processes see it at the next failpoint that they pass."""
        self._entries += entries
        self._write()

    def disarm(self, *entries: str) -> None:
        """They strike no more."""
        self._entries = [entry for entry in self._entries if entry not in entries]
        self._write()

    def has_struck(self, entry: str) -> bool:
        """Whether its marker is there."""
        return (self._folder / "struck" / entry).is_file()

    def struck_pid(self, entry: str) -> int:
        """The process that was struck."""
        marker: dict[str, Any] = json.loads((self._folder / "struck" / entry).read_text(encoding="ascii") or "{}")
        return int(marker.get("pid", 0))

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / "fresh"
        fresh.write_text("\n".join(self._entries), encoding="ascii")
        fresh.replace(self._folder / _FILE)
