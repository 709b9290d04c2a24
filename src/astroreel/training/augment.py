"""Augmentation: batches that are as true as those they are made of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from astroreel.classes import CLASSES
from astroreel.sequences.prepare import CONDITIONS


def flip_and_turn(stamps: Tensor, generator: torch.Generator) -> Tensor:
    """Bring a batch of stamps (..., 21, 21) into one of the square's eight positions, all alike.

    The sky has no preferred side. One position a batch, because turning each sequence by itself takes a
    fifth of the training time.
    """
    transposed, *flipped = torch.randint(2, (3,), generator=generator).tolist()
    axes = [axis for axis, chosen in zip((-2, -1), flipped, strict=True) if chosen]
    stamps = stamps.transpose(-2, -1) if transposed else stamps
    return stamps.flip(axes) if axes else stamps


def mix(
    stamps: Tensor, mask: Tensor, labels: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix each reel of a batch with another (mixup; Zhang et al. 2018, arXiv:1710.09412).

    Stamps (B, T, 21, 21) are weighted means, frame by frame, at the times of the first of the two; frames
    that the other has not stay as they are. The weight is drawn from Beta(alpha, alpha), one a batch.
    Returns the stamps and the shares of the classes in every frame, (B, T, 7).
    """
    # Beta(a, a) from two gamma variates, which PyTorch does not draw from a given generator.
    seed = int(torch.randint(2**31, (1,), generator=generator))
    weight = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(len(stamps), generator=generator).to(stamps.device)
    own = torch.where(mask & mask[other], weight, 1.0)[..., None]
    shares = functional.one_hot(labels, len(CLASSES)).to(stamps.dtype)[:, None]
    return torch.lerp(stamps[other], stamps, own[..., None]), torch.lerp(shares[other], shares, own)


def disturb(conditions: Tensor, mask: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Conditions (B, T, C) with Gaussian noise of ``sigma`` times their spread in the batch."""
    noise = torch.randn(conditions.shape, generator=generator).to(conditions.device)
    return conditions + sigma * conditions[mask].std(dim=0) * noise


def mistake_sky(
    stamps: Tensor, conditions: Tensor, mask: Tensor, sigma: float, generator: torch.Generator
) -> Tensor:
    """Stamps (B, T, 21, 21) whose sky was subtracted wrongly, in every other sequence.

    The error is drawn once a sequence, from a Gaussian of ``sigma`` standard deviations of the noise of a
    frame's background, so that a network does not stake all on the sky that a header tells. Bad and padded
    pixels, which are 0, stay so.
    """
    drawn = torch.randn(len(stamps), generator=generator)
    wrong = torch.rand(len(stamps), generator=generator) < 0.5
    error = (sigma * drawn * wrong).to(stamps.device)[:, None] * mask
    level = error * 10.0 ** conditions[..., CONDITIONS.index("log_noise")]
    return torch.where(stamps == 0, stamps, stamps + level[..., None, None])
