"""Augmentation: the sky has no preferred side, so a stamp may be flipped and turned."""

from __future__ import annotations

import torch
from torch import Tensor


def flip_and_turn(stamps: Tensor, generator: torch.Generator) -> Tensor:
    """Bring a batch of stamps (..., 21, 21) into one of the square's eight positions, all alike.

    One position a batch, because turning each sequence by itself takes a fifth of the training time.
    """
    transposed, *flipped = torch.randint(2, (3,), generator=generator).tolist()
    axes = [axis for axis, chosen in zip((-2, -1), flipped, strict=True) if chosen]
    stamps = stamps.transpose(-2, -1) if transposed else stamps
    return stamps.flip(axes) if axes else stamps
