"""Reconciling for as long as one likes: on a timer, at once when woken, and on through a server's absence."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import NoReturn

from astroreel.errors import UserError

#: Longest wait between two attempts to reach a registry that does not answer [s].
LONGEST_WAIT = 10.0


def watch(
    attempt: Callable[[], list[str]],
    every: float,
    wake: Event,
    say: Callable[[str], None],
) -> NoReturn:
    """Call ``attempt`` again and again, until it is interrupted, and say each line that it gives.

    Where it raises `UserError` that is said once, and it is tried again after ever longer waits.

    Parameters
    ----------
    every
        Seconds between two calls.
    wake
        Set by whoever knows that there is something to do.
    """
    trouble, wait = "", every
    while True:
        wake.clear()
        try:
            for line in attempt():
                say(line)
        except UserError as error:
            if str(error) != trouble:
                say(f"{error}; trying again")
            trouble, wait = str(error), min(2 * wait, max(every, LONGEST_WAIT))
        else:
            if trouble:
                say("the registry answers again")
            trouble, wait = "", every
        wake.wait(wait)
