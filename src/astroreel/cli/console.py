"""What the commands print: results on stdout, all else on stderr, a bar for what takes long."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Exit statuses: a user's error, and a command done in part.
USER_ERROR, PARTIAL = 2, 3
#: Columns of a listing that no terminal shows: wider than any.
PLAIN_WIDTH = 1000

errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
output = Console(highlight=False, soft_wrap=True, emoji=False)


def who() -> str:
    """Who gives the command, as far as that can be known."""
    return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()


def say(message: str) -> None:
    """Print on stderr, always one line."""
    errors.print(" ".join(message.split()), markup=False)


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, shown on a terminal only; yields ``progress(done, total)``."""
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as shown:
        task = shown.add_task(name, total=None)

        def update(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield update
