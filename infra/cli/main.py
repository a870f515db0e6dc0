"""The ``darkroom`` command. Each subcommand lives in a module of its own that is imported when it is used."""

from __future__ import annotations

import importlib
import logging
import re
import sys

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("infra.cli.up", "Serve everything on this machine until Ctrl-C."),
    "status": ("infra.cli.status", "Show the components of a stack and their health."),
    "token": ("infra.cli.token", "Print a bearer token for one user of one product."),
    "revoke": ("infra.cli.revoke", "End a session: its token counts no more."),
    "rotate-key": ("infra.cli.rotate_key", "Make a new key to sign tokens with, or retire an old one."),
    "grant": ("infra.cli.grant", "Add credits to an account and print its new balance."),
    "refund": ("infra.cli.refund", "Give a job's charge back and print the new balance."),
    "set-plan": ("infra.cli.set_plan", "Put an account under another plan of its product."),
    "audit": ("infra.cli.audit", "Check every law of the ledger on the real topics and read models."),
    "events": ("infra.cli.events", "Print the log as CloudEvents, one JSON object a line."),
    "resume": ("infra.cli.resume", "Let a partition go on that stopped itself."),
    "rebuild": ("infra.cli.rebuild", "Make the read models anew from the log, beside the live ones."),
    "rebuild-state": ("infra.cli.rebuild_state", "Make the decision state anew from the events."),
    "sweep": ("infra.cli.sweep", "Remove objects that no event names."),
    "erase": ("infra.cli.erase", "Erase what an account has stored, for good."),
    "dead-letters": ("infra.cli.dead_letters", "List what could not be read or decided."),
    "redrive": ("infra.cli.dead_letters", "Put dead letters on the log again."),
    "demo": ("infra.cli.demo", "Send a photograph through a running stack and show what happened."),
    "serve": ("infra.cli.serve", "Serve one role of the pipeline; configured by DARKROOM_* variables."),
}

_OF_A_VALUE = re.compile(r"^Invalid value for '?(?P<option>--[a-z-]+)'?: (?=is |must |signs )")


class LazyGroup(click.Group):
    """Knows its commands by name and help line; the module is imported by the first use of the command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]} has no command of the name {cmd_name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 it ran and found something wrong; 2 it could not do what was asked.",
)
@click.version_option(package_name="darkroom")
def cli() -> None:
    """Darkroom: image jobs, accepted once, charged once, explained by their events.

    \b
    Begin with      darkroom up --port 8000 --data var
    then            darkroom demo --data var
    as a client     darkroom token --data var --product darkroom --subject ada
    """


def main() -> None:
    """Entry point: whatever fails is one sentence on standard error, with exit code 1 where it was refused, else 2."""
    from infra.errors import OperatorError, ServerUnreachable

    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # a broker that is away is told once, by us
    try:
        code = cli.main(prog_name="darkroom", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"darkroom: {_sentence(error)}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except (OperatorError, ServerUnreachable) as error:
        click.echo(f"darkroom: {error}", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _sentence(error: click.ClickException) -> str:
    """What click has to say in one line, with the help that explains it."""
    text = " ".join(error.format_message().split()).removesuffix(".")
    text = _OF_A_VALUE.sub(r"\g<option> ", text)
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
    return f"{text} (see `{where} --help`)." if where else f"{text}."


if __name__ == "__main__":
    main()
