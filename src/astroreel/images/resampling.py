"""Resampling: what a pipeline does to the noise of an image that it shifts by a fraction of a pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def resample(noise: Tensor, x: Tensor, y: Tensor, order: int) -> Tensor:
    """Interpolate n stamps at places off the pixels' centres, (n, 21, 21), with a Lanczos kernel.

    Meant for noise: light that is well sampled comes out as it went in. Stamps wrap around at their edges, so
    that the noise there is like that elsewhere.

    Parameters
    ----------
    noise
        (n, 21, 21).
    x, y
        (n,) where the new pixels lie from the old ones [pixel], 0 to 1.
    order
        Half of the kernel's width [pixel].
    """
    for axis, shift in ((2, x), (1, y)):
        weights = lanczos(shift, order).to(noise.dtype)[:, :, None, None]
        steps = range(1 - order, order + 1)
        noise = sum(  # type: ignore[assignment]
            weights[:, index] * torch.roll(noise, -step, axis) for index, step in enumerate(steps)
        )
    return noise


def lanczos(shift: Tensor, order: int) -> Tensor:
    """Weights of the pixels 1 - order to order about a place ``shift`` past pixel 0, (n, 2 order).

    sinc(t) sinc(t / order), brought to a sum of 1 (Duchon 1979, J. Appl. Meteorol. 18, 1016).
    """
    distance = torch.arange(1 - order, order + 1, device=shift.device) - shift[:, None]
    weights = torch.sinc(distance) * torch.sinc(distance / order)
    return weights / weights.sum(dim=1, keepdim=True)
