"""Ticks again and again, for a machine without a scheduler of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

from astroreel.errors import UserError
from astroreel.parameters import read_parameters
from astroreel.schedule.task import Stopped
from astroreel.schedule.tick import tick


def run(root: Path, stop: Event, say: Callable[[str], None]) -> None:
    """Tick every ``schedule.every_minutes`` until ``stop`` is set; a pass at work ends after its step.

    What is the same as at the tick before is said once.

    Raises `UserError` where params.yaml is wrong at the start; later that is said, and tried again.
    """
    pause, said = 60.0 * read_parameters(root).schedule.every_minutes, ""
    while not stop.is_set():
        try:
            message = tick(root, say=say, stopped=stop.is_set).told
            pause = 60.0 * read_parameters(root).schedule.every_minutes
        except (UserError, Stopped) as error:
            message = str(error)
        if message != said:
            say(message)
        said = message
        stop.wait(pause)
