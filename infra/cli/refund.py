"""``darkroom refund``: a job's charge given back."""

from __future__ import annotations

import urllib.parse

import click

from infra.cli.call import call
from infra.cli.options import account_option, data_option, known_stack
from infra.local.layout import Layout


@click.command()
@data_option
@account_option
@click.option("--job", required=True, metavar="ID", help="The job; it must have succeeded.")
@click.option("--reason", required=True, metavar="TEXT", help="Stands in the ledger beside the refund.")
def refund(layout: Layout, account: str, job: str, reason: str) -> None:
    """Give a job's charge back on a running stack and print the account's new balance.

    A charge is given back once. Exit code 1: the refund was refused.
    """
    path = f"/v1/jobs/{urllib.parse.quote(job, safe='')}:refund"
    click.echo(call(layout, known_stack(layout), path, {"account": account, "reason": reason})["balance"])
