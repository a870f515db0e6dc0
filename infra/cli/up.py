"""``darkroom up``: the whole stack on this machine, supervised, until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import click

from infra import failpoints
from infra.cli.progress import PlainProgress, Progress, TerminalProgress
from infra.local.component import Component
from infra.local.layout import Layout, StackFile, claim, write_atomically
from infra.local.stack import NAMES, Hooks, Options, components, open_stack
from infra.local.supervisor import Supervisor
from infra.settings import Settings


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port of the HTTP API.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the HTTP API listens on.")
@click.option("--public-url", default=None, help="How clients reach the HTTP API, where that differs.")
@click.option(
    "--data",
    default="var",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for everything that the stack stores.",
)
@click.option("--only", default=None, metavar="NAMES", help=f"Serve a part alone, with commas: {', '.join(NAMES)}.")
def up(port: int, host: str, public_url: str | None, data: Path, only: str | None) -> None:
    """Serve everything on this machine until Ctrl-C.

    Starts Kafka, S3, PostgreSQL and Triton, then the workers of the pipeline, and prints
    "ready http://..." on a line of its own when all of them are healthy. A component that dies is
    started again. A second start on the same directory goes on where the first one stopped.
    """
    names = tuple(name.strip() for name in only.split(",")) if only else NAMES
    layout = Layout(data.resolve())
    lock = claim(layout)
    try:
        options = Options(host=host, port=port, public_url=public_url, only=names)
        stack = open_stack(layout, options)
        made = components(layout, stack, options, hooks())
        asyncio.run(_serve(layout, stack, made))
    finally:
        lock.release()


def hooks() -> Hooks:
    """What the local stack needs of the rest: topics, and the group protocol for dead members."""

    async def make_topics(settings: Settings) -> None:
        from infra.cli.plan import publish_plan
        from infra.kafka.topics import ensure_topics

        failpoints.arm(settings.deployment, settings.data_dir)
        failpoints.passed("start.topics.before")
        await ensure_topics(settings)
        failpoints.passed("start.topics.after")
        await publish_plan(settings)

    async def leave_group(settings: Settings, group: str, member_id: str) -> None:
        from infra.kafka.groups import leave_group

        await leave_group(settings, group, member_id)

    return Hooks(make_topics=make_topics, leave_group=leave_group)


async def _serve(layout: Layout, stack: StackFile, made: tuple[Component, ...]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, stop.set)
    names = [component.name for component in made]
    progress: Progress = TerminalProgress(names) if sys.stderr.isatty() else PlainProgress()
    supervisor = Supervisor(made, layout.logs, progress.changed)
    running = asyncio.create_task(supervisor.run(stop))
    helpers = [
        asyncio.create_task(_announce(supervisor, progress, stack.url)),
        asyncio.create_task(_write_status(supervisor, layout, stack.url)),
    ]
    try:
        await running
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        progress.close()
        layout.status_file.unlink(missing_ok=True)


async def _announce(supervisor: Supervisor, progress: Progress, url: str) -> None:
    await supervisor.all_healthy()
    progress.close()
    click.echo(f"ready {url}")
    sys.stdout.flush()


async def _write_status(supervisor: Supervisor, layout: Layout, url: str) -> None:
    """Keep the status file true, within a tenth of a second."""
    last = ""
    while True:
        rows = [vars(row) for row in supervisor.rows()]
        text = json.dumps({"url": url, "pid": os.getpid(), "components": rows})
        if text != last:
            write_atomically(layout.status_file, text)
            last = text
        await asyncio.sleep(0.1)
