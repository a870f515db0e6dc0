"""``darkroom rotate-key``: the keys that sign tokens."""

from __future__ import annotations

import time
from pathlib import Path

import click

from infra import failpoints
from infra.cli.target import data_option, settings_for

BEGIN_AFTER_S = 30


@click.command()
@data_option
@click.option(
    "--begin-after",
    default=BEGIN_AFTER_S,
    show_default=True,
    type=click.IntRange(10),
    help="Seconds until the new key signs; all gateways must see the file by then.",
)
@click.option("--retire", metavar="KID", default=None, help="Take this key away instead of making one.")
def rotate_key(data: Path | None, begin_after: int, retire: str | None) -> None:
    """Make a new key to sign tokens with, and print its name (`kid`); the stack need not run.

    Tokens of older keys stay good until they end. Then --retire takes such a key away: within seconds
    no gateway takes its tokens any more, so retiring one at once is how to answer its theft.
    """
    from infra.errors import OperatorError
    from infra.http.signing_keys import KeyFolder, signing_kid
    from infra.local.layout import make_signing_key

    folder, now_s = settings_for(data).secrets_dir / "jwt", int(time.time())
    if not folder.is_dir():
        raise OperatorError(f"There is no folder {folder}: start the stack once, it makes it.")
    if retire is None:
        failpoints.passed("operator.rotate-key.before")
        kid = make_signing_key(folder, now_s + begin_after)
        failpoints.passed("operator.rotate-key.after")
        click.echo(kid)
        return
    kids = KeyFolder(folder).kids()
    if retire not in kids:
        raise click.BadParameter(f"is none of {', '.join(kids) or 'no keys'}", param_hint="--retire")
    if retire == signing_kid(kids, now_s):
        raise click.BadParameter("signs now: rotate first, and wait until the new key signs", param_hint="--retire")
    failpoints.passed("operator.retire-key.before")
    (folder / f"{retire}.pem").unlink()
    failpoints.passed("operator.retire-key.after")
    click.echo(retire)
