"""The command line: ``astroreel ...``. Thin: it reads arguments, calls the library, prints.

Exit status: 0 done; 2 a user's error, nothing done, one line on stderr; 3 done in part, each refused
input named. Heavy libraries are imported inside the commands that need them.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from astroreel import __version__
from astroreel.cli import (
    classify,
    configure,
    convert,
    doctor,
    inbox,
    registry,
    schedule,
    serve,
    server,
    simulate,
    study,
)
from astroreel.cli.console import USER_ERROR, output, say
from astroreel.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(configure.configure)
app.command()(simulate.simulate)
app.command()(classify.classify)
app.command()(serve.serve)
app.command()(server.server)
app.command()(doctor.doctor)
app.command()(study.study)
app.add_typer(convert.app, name="convert")
app.add_typer(inbox.app, name="inbox")
app.add_typer(registry.app, name="registry")
app.add_typer(schedule.app, name="schedule")


def main() -> NoReturn:
    """Entry point: whatever a user got wrong ends as one line on stderr and status 2."""
    try:
        status = app(prog_name="astroreel", standalone_mode=False)
    except UserError as error:
        status = _fail(str(error))
    except typer.Exit as stop:
        status = stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        status = _fail("interrupted")
    except typer.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        status = _fail(_with_way_out(message))
    except OSError as error:  # a full disk, a file that may not be read
        status = _fail(f"{error.filename or 'system'}: {error.strerror or error}")
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> int:
    if message:  # empty where a group's help was printed instead
        say(f"astroreel: {message}")
    return USER_ERROR


def _with_way_out(message: str) -> str:
    if message.startswith(("Missing ", "No such ")):
        return f"{message.rstrip('.')}; see `astroreel --help`"
    return message


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Classify astronomical objects from sequences of image stamps."""
    if version:
        output.print(f"astroreel {__version__}")
        raise typer.Exit()
