"""Drawing again whatever may not be, for many objects at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError

_ROUNDS = 2000


def redraw(
    n: int, attempt: Callable[[NDArray[np.int64]], NDArray[np.bool_]], model: str, demand: str
) -> None:
    """Call ``attempt`` with the objects still to be drawn until it has accepted all ``n``.

    ``attempt`` takes object indices (k,), draws those objects, keeps what it accepts and returns
    which it accepted, (k,). Raises `UserError` where some object is never accepted.
    """
    pending = np.arange(n)
    for _ in range(_ROUNDS):
        if not len(pending):
            return
        pending = pending[~attempt(pending)]
    raise UserError(
        f"{model}: {demand} was not met for {len(pending)} of {n} objects in {_ROUNDS} draws: "
        "give more or deeper exposures"
    )
