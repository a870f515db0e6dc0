"""``darkroom grant``: credits for an account."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request

import click

from infra.cli.options import PRODUCTS, admin_token, data_option, known_stack
from infra.local.errors import LocalError
from infra.local.layout import Layout

_LIMIT_S = 30


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
    request = urllib.request.Request(
        f"{stack.url}/v1/accounts/{urllib.parse.quote(account, safe='')}:grant",
        data=json.dumps({"amount": amount}).encode(),
        headers={"Authorization": f"Bearer {admin_token(layout, stack)}", "Content-Type": "application/json"},
        method="POST",
    )
    click.echo(_send(request)["balance"])


def _send(request: urllib.request.Request) -> dict[str, object]:
    try:
        with urllib.request.urlopen(request, timeout=_LIMIT_S) as answer:
            content: dict[str, object] = json.load(answer)
            return content
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(_problem(error)) from error
    except OSError as error:
        raise LocalError(f"Nothing answers at {request.host}: start the stack with `darkroom up`.") from error


def _problem(error: urllib.error.HTTPError) -> str:
    try:
        content = json.load(error)
        return f"{content.get('title', error.reason)}: {content.get('detail', '')}"
    except ValueError:
        return f"HTTP {error.code}"
