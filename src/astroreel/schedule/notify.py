"""Telling people what a pass came to: a line, a webhook, a command; what cannot be told stops nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict

import requests

from astroreel.schedule.config import ScheduleConfig
from astroreel.schedule.journal import Pass

_SECONDS = 30.0


def notify(done: Pass, config: ScheduleConfig, say: Callable[[str], None]) -> None:
    """Tell of a pass by every way that is configured."""
    say(done.told)
    for name, way in ("webhook", config.webhook), ("command", config.command):
        try:
            if isinstance(way, str):
                requests.post(way, json=asdict(done), timeout=_SECONDS).raise_for_status()
            elif way:
                _run(way, done.told)
        except (requests.RequestException, OSError, subprocess.SubprocessError) as error:
            say(f"schedule.{name}: not told ({type(error).__name__})")


def _run(command: Sequence[str], message: str) -> None:
    subprocess.run(
        command, input=message + "\n", text=True, check=True, timeout=_SECONDS, capture_output=True
    )
