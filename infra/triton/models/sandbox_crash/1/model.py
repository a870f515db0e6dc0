"""`sandbox/crash`: kills the process of its own model instance, and nothing else."""

from __future__ import annotations

import os
import signal
from typing import Any


class TritonPythonModel:
    """Does not survive a request."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Die at once, as a fault in native code would."""
        os.kill(os.getpid(), signal.SIGKILL)
        return []
