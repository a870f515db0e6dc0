"""The local plan with leases of seconds, so that what a dead dispatcher held comes back while a test looks on."""

from __future__ import annotations

import re
from pathlib import Path

from infra.settings import Settings

_LEASES = {"start_ms": "4_000", "running_ms": "3_000", "retry_backoff_ms": "200"}


def plan_with_short_leases(folder: Path) -> Path:
    """A plan file in ``folder``: an attempt may be silent for seconds only."""
    text = Settings().plan_path.read_text(encoding="utf-8")
    for name, value in _LEASES.items():
        text, changed = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert changed == 1, f"the plan file has no {name}"
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path
