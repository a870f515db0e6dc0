"""``darkroom status``: what runs and how it feels."""

from __future__ import annotations

import json
import os

import click

from infra.cli.options import data_option, known_stack
from infra.local.layout import Layout, StackFile, is_running


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def status(layout: Layout, as_json: bool) -> None:
    """Show the components of a stack. Exit code 0: all are healthy; 1: not all, or none runs."""
    stack = known_stack(layout)
    rows = component_rows(layout)
    if as_json:
        click.echo(json.dumps({"url": stack.url, "components": rows}))
    else:
        _print_table(layout, stack, rows)
    if not rows or not all(row["healthy"] for row in rows):
        raise SystemExit(1)


def component_rows(layout: Layout) -> list[dict[str, object]]:
    """A row for each component of the stack that runs on the layout; none where none runs."""
    if not is_running(layout):
        return []
    try:
        found = json.loads(layout.status_file.read_text(encoding="utf-8"))["components"]
    except (OSError, ValueError, KeyError):
        return []
    return [_row(**row) for row in found]


def _row(name: str, pid: int | None, endpoint: str, healthy: bool, restarts: int) -> dict[str, object]:
    alive = pid is not None and _lives(pid)
    return {
        "name": name,
        "pid": pid if alive else None,
        "endpoint": endpoint,
        "healthy": healthy and alive,
        "restarts": restarts,
    }


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _print_table(layout: Layout, stack: StackFile, rows: list[dict[str, object]]) -> None:
    if not rows:
        click.echo(f"No stack runs on {layout.root}.")
        return
    click.echo(stack.url)
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        word = click.style("healthy", fg="green") if row["healthy"] else click.style("down   ", fg="red")
        again = f"  restarts {row['restarts']}" if row["restarts"] else ""
        click.echo(f"{row['name']:<{width}}  {word}  pid {row['pid'] or '-':<8} {row['endpoint']}{again}")
