"""``darkroom grant``: credits for an account."""

from __future__ import annotations

import urllib.parse

import click

from infra.cli.call import call
from infra.cli.options import PRODUCTS, data_option, known_stack
from infra.local.layout import Layout


@click.command(context_settings={"ignore_unknown_options": True})
@data_option
@click.option("--account", required=True, metavar="PRODUCT:SUBJECT", help="Whose balance to change.")
@click.argument("amount", type=int)
def grant(layout: Layout, account: str, amount: int) -> None:
    """Add AMOUNT credits to an account of a running stack and print its new balance.

    An account opens with its product's terms at its first grant or use. A negative amount takes
    credits back, down to zero. Exit code 1: the grant was refused.
    """
    product, colon, subject = account.partition(":")
    if product not in PRODUCTS or not colon or not subject:
        raise click.BadParameter(f"is PRODUCT:SUBJECT with a product of {', '.join(PRODUCTS)}", param_hint="--account")
    stack = known_stack(layout)
    answer = call(layout, stack, f"/v1/accounts/{urllib.parse.quote(account, safe='')}:grant", {"amount": amount})
    click.echo(answer["balance"])
