"""``darkroom token``: a bearer token for one user of one product."""

from __future__ import annotations

import uuid

import click

from infra.cli.options import DAY_S, TTL_MAX_S, data_option, known_stack, make_token, plain_subject
from infra.local.layout import Layout
from schemas.identifiers import PRODUCTS


@click.command()
@data_option
@click.option("--product", required=True, type=click.Choice(PRODUCTS), help="Whose plan and API the user uses.")
@click.option("--subject", required=True, help="The user, as the product names it.")
@click.option("--workspace", default=None, type=click.UUID, help="A workspace that the user acts for.")
@click.option("--plan", default=None, help="A plan of the product; one that it has not counts as its default.")
@click.option("--role", default=None, type=click.Choice(["admin"]), help="Rights beyond the user's own account.")
@click.option("--session", is_flag=True, help="A session token: it also ends when it lies idle.")
@click.option("--idle", type=click.IntRange(1), help="Its idle limit in seconds. [default: 86400]")
@click.option(
    "--ttl",
    type=click.IntRange(1, TTL_MAX_S),
    help="Seconds until it expires. [default: 86400, of a session token 2592000]",
)
def token(
    layout: Layout,
    product: str,
    subject: str,
    workspace: uuid.UUID | None,
    plan: str | None,
    role: str | None,
    session: bool,
    idle: int | None,
    ttl: int | None,
) -> None:
    """Print a bearer token and nothing else; the stack need not run.

    \b
    curl -H "Authorization: Bearer $(darkroom token --product darkroom --subject ada)" \\
         http://127.0.0.1:8000/v1/account

    With --product workspace-images --workspace UUID it spends the credits of the workspace: those of
    the account workspace-images:UUID. In tokens of other products the workspace changes nothing.
    """
    if not subject.strip():
        raise click.BadParameter("must not be empty", param_hint="--subject")
    if idle is not None and not session:
        raise click.BadParameter("is the limit of a session token: add --session", param_hint="--idle")
    named = str(workspace) if workspace else None
    subject, stack = plain_subject(product, subject), known_stack(layout)
    ttl_s = ttl or (30 * DAY_S if session else DAY_S)
    idle_s = (idle or DAY_S) if session else None
    click.echo(
        make_token(layout, stack, product, subject, ttl_s=ttl_s, plan=plan, role=role, workspace=named, idle_s=idle_s)
    )
