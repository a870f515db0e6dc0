"""``darkroom audit``: every law, on the real topics and the read models."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.target import data_option, open_reader, running

if TYPE_CHECKING:
    from infra.cli.read_model_audit import ReadModelAudit
    from infra.settings import Settings
    from processors.partition_audit import AuditedPartition


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--quiet-log", is_flag=True, help="The log is at rest: every job must have ended.")
def audit(data: Path | None, as_json: bool, quiet_log: bool) -> None:
    """Check every law of the ledger on the real topics, and that state and read models are folds of the log.

    Exit code 0 when all hold, 1 with a line for each violation. Runs beside a live stack: all is compared at one
    position for each partition.
    """
    settings = running(data)
    partitions, read_models = asyncio.run(_audit(settings, quiet_log))
    violations = [v for found in partitions for v in found.violations]
    lines = [str(v) for v in violations] + read_models.violations
    summary = {
        "clean": not lines,
        "partitions": len(partitions),
        "commands": sum(found.audit.commands for found in partitions),
        "events": sum(found.audit.events for found in partitions),
        "accounts": sum(len(found.audit.books) for found in partitions),
        "decided_again": sum(found.decided_again for found in partitions),
        "rows_compared": read_models.rows_compared,
        "violations": lines,
    }
    if as_json:
        click.echo(json.dumps(summary))
    else:
        for line in lines:
            click.echo(line)
        click.echo(
            f"{'clean' if not lines else f'{len(lines)} violations'}: {summary['commands']} commands, "
            f"{summary['events']} events, {summary['decided_again']} decided again, "
            f"{summary['rows_compared']} rows of read models"
        )
    sys.exit(1 if lines else 0)


async def _audit(settings: Settings, quiet_log: bool) -> tuple[list[AuditedPartition], ReadModelAudit]:
    from infra.cli.read_model_audit import audit_read_models
    from processors.effects import Addressing
    from processors.partition_audit import audit_partition

    addressing = Addressing(settings.deployment, settings.partitions)
    async with open_reader(settings) as reader:
        partitions = [
            await audit_partition(reader, partition, addressing, quiet=quiet_log)
            for partition in range(settings.partitions)
        ]
        return partitions, await audit_read_models(settings.postgres_dsn, reader, settings.partitions)
