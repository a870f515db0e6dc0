"""``darkroom set-plan``: another plan for an account."""

from __future__ import annotations

import urllib.parse

import click

from infra.cli.call import call
from infra.cli.options import account_option, data_option, known_stack
from infra.local.layout import Layout


@click.command()
@data_option
@account_option
@click.argument("name")
def set_plan(layout: Layout, account: str, name: str) -> None:
    """Put an account of a running stack under the plan NAME of its product and print its balance.

    Jobs that come from now on are decided by it. Exit code 1: there is no such plan.
    """
    path = f"/v1/accounts/{urllib.parse.quote(account, safe='')}:plan"
    click.echo(call(layout, known_stack(layout), path, {"plan": name})["balance"])
