"""``darkroom grant``: credits for an account."""

from __future__ import annotations

import datetime
import urllib.parse

import click

from infra.cli.call import call
from infra.cli.options import account_option, data_option, known_stack
from infra.local.layout import Layout


@click.command(context_settings={"ignore_unknown_options": True})
@data_option
@account_option
@click.option("--expires", default=None, metavar="RFC3339|DAYS", help="When what is left of the credits is gone.")
@click.option("--priority", default=0, show_default=True, help="Credits of a lower priority are spent first.")
@click.argument("amount", type=int)
def grant(layout: Layout, account: str, expires: str | None, priority: int, amount: int) -> None:
    """Add AMOUNT credits to an account of a running stack and print its new balance.

    An account opens with its product's terms at its first grant or use. A negative amount takes
    credits back, down to zero. Exit code 1: the grant was refused.
    """
    body: dict[str, object] = {"amount": amount, "priority": priority}
    if expires is not None:
        body["expires_at"] = _moment(expires).isoformat()
    path = f"/v1/accounts/{urllib.parse.quote(account, safe='')}:grant"
    click.echo(call(layout, known_stack(layout), path, body)["balance"])


def _moment(text: str) -> datetime.datetime:
    """A time with its zone, or so many days from now."""
    if text.isdecimal():
        try:
            return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=int(text))
        except OverflowError:
            raise click.BadParameter("is too many days", param_hint="--expires") from None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = "is a number of days, or a time with its zone such as 2027-01-31T12:00:00Z"
        raise click.BadParameter(message, param_hint="--expires")
    return moment
