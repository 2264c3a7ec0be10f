"""The command group, and how every command ends: with a status and, on failure, with one line.

Statuses: 0 done; 1 the command could not do it (configuration, address in use, nobody to connect to); 2 the command
line was wrong; 3 `portcast check` found settings that are valid and dangerous; 128 plus the signal's number after a
stop that a second signal cut short, and 130 after Ctrl-C in a command that has no orderly end of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from portcast import __version__
from portcast.cli.check import check
from portcast.cli.devices import command as send_command
from portcast.cli.devices import devices
from portcast.cli.key import key
from portcast.cli.record import record
from portcast.cli.send import send
from portcast.cli.serve import serve
from portcast.cli.simulate import simulate
from portcast.cli.stdout import discard_stdout
from portcast.cli.tail import tail
from portcast.errors import PortcastError
from portcast.observability import escape


@click.group(
    epilog="Try it: run `portcast serve` in one terminal, `portcast simulate` in another, `portcast tail` in a third."
)
@click.version_option(__version__, prog_name="portcast", message="%(prog)s %(version)s")
def portcast() -> None:
    """Raw TCP in, live WebSockets out.

    Devices connect to TCP ports; everything that they send appears live on a web page, on WebSockets and over HTTP.
    """


@portcast.command()
def version() -> None:
    """Print the version."""
    click.echo(f"portcast {__version__}")


for one in (serve, check, tail, send, simulate, devices, send_command, record, key):
    portcast.add_command(one)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its status.

    Args:
        arguments: the words after the program's name; those of this process if None.
    """
    sys.exit(_status(arguments))


def _status(arguments: Sequence[str] | None) -> int:
    try:
        result = _run(sys.argv[1:] if arguments is None else arguments)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        if error.ctx is not None and isinstance(error, click.exceptions.NoArgsIsHelpError):
            click.echo(error.ctx.get_help(), err=True)
            return 2
        command = error.ctx.command_path if error.ctx is not None else _command_in(arguments)
        return _fail(f"{error.format_message().rstrip('.')}; see {command} --help", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 1)
    except PortcastError as error:
        return _fail(str(error), 1)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        discard_stdout()
        return 0
    return result if isinstance(result, int) else 0


def _command_in(arguments: Sequence[str] | None) -> str:
    """Return the command that was meant; click's parser of options forgets it."""
    words = sys.argv[1:] if arguments is None else arguments
    return " ".join(["portcast", *[word for word in words if word in portcast.commands][:1]])


def _run(arguments: Sequence[str]) -> object:
    """Run the group, and return what its command returns."""
    if "_PORTCAST_COMPLETE" in os.environ:  # a shell asks click for completions
        return portcast.main(args=list(arguments), prog_name="portcast")
    # Not `Group.main`, which ends the process with status 1 when the reader of a pipe leaves.
    with portcast.make_context("portcast", list(arguments)) as context:
        return portcast.invoke(context)


def _fail(sentence: str, status: int) -> int:
    click.echo(f"portcast: error: {escape(sentence)}", err=True)
    return status
