"""Which simulated set a template belongs to, for ever: a fixed hash of its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError

#: The simulated sets; "target" is that of a surrogate target domain.
Split = Literal["train", "valid", "test", "target"]

#: Share of the templates that each set has, in the order of :data:`Split`.
SHARES = (0.60, 0.10, 0.15, 0.15)


def members(names: Iterable[str], split: Split) -> NDArray[np.int64]:
    """Indices of the names that belong to a set.

    A name belongs to one set only, whatever the others are, so that two sets never share a template
    and a library that grows moves none. Raises `UserError` for an unknown set.
    """
    if split not in get_args(Split):
        raise UserError(f"unknown split {split!r}: choose from {', '.join(get_args(Split))}")
    place = np.array([_place(name) for name in names])
    owner = np.searchsorted(np.cumsum(SHARES)[:-1], place, side="right")
    return np.flatnonzero(owner == get_args(Split).index(split))


def _place(name: str) -> float:
    """A number in [0, 1) that only the name decides."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2.0**64
