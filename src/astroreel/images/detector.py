"""The detector: from the light that falls on it to the numbers that are read (thesis 2.1.4, 3.1.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from astroreel.images.noise import NoiseSource

#: Electrons in a pixel below which their number is drawn as a Poisson number.
FEW_ELECTRONS = 100.0


def collect(expected: Tensor, rdnoise: Tensor, noise: NoiseSource, frames: slice) -> Tensor:
    """What is read of n stamps, (n, 21, 21) [e-]: Poisson numbers of electrons and Gaussian read noise.

    Where many electrons are expected, both come from one normal number z and the first terms of the series
    of Cornish & Fisher (1937, Rev. Inst. Int. Stat. 5, 307): x = mean + s z + (mean / s^2) (z^2 - 1) / 6
    with s^2 = mean + rdnoise^2 has the mean, the variance and the skewness of their sum.

    Parameters
    ----------
    expected
        (n, 21, 21) electrons expected.
    rdnoise
        (n, 1, 1) read noise [e-].
    noise, frames
        Source of the noise, and which of its frames these are.
    """
    normal = noise.normal(frames)
    variance = expected + rdnoise**2
    skew = expected / variance
    electrons = torch.addcmul(expected, variance.sqrt_(), normal)
    electrons.add_((normal * normal).sub_(1.0).mul_(skew), alpha=1.0 / 6.0)
    if expected.amin() < FEW_ELECTRONS:
        few = expected < FEW_ELECTRONS
        electrons[few] = noise.poisson(expected, few, frames) + (rdnoise * normal)[few]
    return electrons


def read_out(electrons: Tensor, gain: Tensor, saturate: Tensor) -> Tensor:
    """Whole numbers [ADU] of n stamps, (n, 21, 21), not above saturation; NaN stays.

    ``gain`` [e-/ADU] and ``saturate`` [ADU] are (n, 1, 1).
    """
    return torch.minimum(torch.round(electrons / gain), torch.floor(saturate))
