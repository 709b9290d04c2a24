"""Bleeding: charge that a full pixel cannot hold flows along its column."""

from __future__ import annotations

import torch
from torch import Tensor


def bleed(electrons: Tensor, well: Tensor, share: float) -> Tensor:
    """Let what exceeds the full well flow up and down its column, half each, into pixels that have room.

    No charge is lost but what leaves the stamp, and the ``1 - share`` that does not flow.

    Parameters
    ----------
    electrons
        (n, 21, 21) charge of the pixels [e-].
    well
        (n,) charge that a pixel holds [e-].
    share
        Share of the excess that flows, 0 to 1.
    """
    capacity = well[:, None]
    held = torch.minimum(electrons, capacity[:, None])
    excess = (electrons - held) * (0.5 * share)
    rows = range(electrons.shape[1])
    for order in (rows, reversed(rows)):
        flowing = torch.zeros_like(electrons[:, 0])
        for row in order:
            taken = torch.minimum(flowing, capacity - held[:, row])
            held[:, row] += taken
            flowing = flowing - taken + excess[:, row]
    return held
