"""Augmentation: the sky has no preferred side, so a stamp may be flipped and turned."""

from __future__ import annotations

import torch
from torch import Tensor


def flip_and_turn(stamps: Tensor, generator: torch.Generator) -> Tensor:
    """Bring each sequence into one of the square's eight positions, all its frames alike.

    ``stamps`` is (B, T, 21, 21); ``generator`` is on the processor.
    """
    chosen = torch.randint(2, (3, len(stamps), 1, 1, 1), generator=generator, dtype=torch.bool)
    left_right, up_down, diagonal = chosen.to(stamps.device)
    stamps = torch.where(left_right, stamps.flip(3), stamps)
    stamps = torch.where(up_down, stamps.flip(2), stamps)
    return torch.where(diagonal, stamps.transpose(2, 3), stamps)
