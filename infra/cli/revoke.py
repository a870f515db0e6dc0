"""``darkroom revoke``: end a session."""

from __future__ import annotations

import click

from infra.cli.call import call
from infra.cli.options import data_option, known_stack
from infra.local.layout import Layout


@click.command()
@data_option
@click.option("--session", required=True, metavar="ID|TOKEN", help="The session's id (`jti`), or its whole token.")
def revoke(layout: Layout, session: str) -> None:
    """End a session of a running stack: no gateway takes its token any more.

    Works for session tokens, for plain bearer tokens and for those that a DID has signed itself, which
    have to be given whole. Harmless where it has ended already. Prints the session's id.
    """
    from infra.http.tokens import is_session_id

    named = session.strip()
    if named.count(".") == 2:
        named = _id_in(named)
    if not is_session_id(named):
        raise click.BadParameter("is neither the id of a session nor a token", param_hint="--session")
    call(layout, known_stack(layout), f"/v1/sessions/{named}:revoke")
    click.echo(named)


def _id_in(token: str) -> str:
    """The session id of a token; whether it is genuine does not matter for ending it."""
    import jwt

    from infra.http.did import did_session_id, is_did_token
    from infra.http.tokens import TokenInvalid

    try:
        if is_did_token(token):
            return did_session_id(token)
        return str(jwt.decode(token, options={"verify_signature": False}).get("jti", ""))
    except (jwt.PyJWTError, TokenInvalid):
        return ""
