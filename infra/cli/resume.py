"""``darkroom resume``: let a partition go on that stopped itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from infra.cli.target import data_option, running


@click.command()
@data_option
@click.option("--partition", required=True, type=click.IntRange(0), help="Number of the partition.")
def resume(data: Path | None, partition: int) -> None:
    """Let a partition go on after more than 5 of its last 1,000 commands had to be put aside.

    Look at `darkroom dead-letters` first: it lists those commands and why they could not be decided.
    """
    from infra.cli.operator import append_to_partitions
    from schemas.commands import ResumePartition

    settings = running(data)
    if partition >= settings.partitions:
        raise click.BadParameter(f"is a number from 0 to {settings.partitions - 1}", param_hint="--partition")
    asyncio.run(append_to_partitions(settings, [partition], ResumePartition()))
    click.echo(f"partition {partition} goes on")
