"""What a planted bug is: one place in one file, and what is wrong there afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Catcher = Literal["simulation", "properties", "kafka", "store"]


@dataclass(frozen=True)
class Bug:
    """`before` stands once in `path`; with `after` in its place the promise in `breaks` no longer holds.

    `catchers` are asked in their order; the first that fails has caught it.
    """

    name: str
    breaks: str
    path: str
    before: str
    after: str
    catchers: tuple[Catcher, ...] = ("simulation", "properties")

    def plant(self, root: Path) -> None:
        """Change the file below `root`. Raises ValueError where the place is not there exactly once."""
        file = root / self.path
        text = file.read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ValueError(f"{self.name}: its place stands {text.count(self.before)} times in {self.path}")
        file.write_text(text.replace(self.before, self.after), encoding="utf-8")
