"""A stack of its own for one command: started on a free port, stopped at the end whatever happens."""

from __future__ import annotations

import signal
import subprocess  # nosec B404 # our own programs, no shell
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from infra.local.errors import LocalError
from infra.local.layout import Layout
from infra.local.ports import free_ports

_STOP_LIMIT_S = 60


@contextmanager
def own_stack(layout: Layout) -> Iterator[None]:
    """Run ``darkroom up`` on the data directory while the block runs. Its progress goes to standard error."""
    (port,) = free_ports(1)
    argv = (sys.executable, "-m", "infra.cli.main", "up", "--port", str(port), "--data", str(layout.root))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as up:  # nosec B603 # ours
        try:
            assert up.stdout is not None
            line = up.stdout.readline()
            if not line.startswith("ready "):
                raise LocalError("The stack did not start: the sentence above says why.")
            click.echo(line, nl=False)
            yield
        finally:
            up.send_signal(signal.SIGTERM)
            try:
                up.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                up.kill()
    if up.returncode != 0:
        raise LocalError(f"The stack ended with exit code {up.returncode}: read the logs in {layout.logs}.")
