"""Resampling: what a pipeline does to an image and its noise when it shifts it by a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

from astroreel.images.gaussians import STAMP_SIZE

#: Width of the running median that tells light from noise beyond the edge and under bad pixels [pixel].
_SMOOTH = 5
#: A pixel with a larger share of its kernel on bad pixels is bad.
_MAX_BAD = 0.1


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
    steps = torch.arange(1 - order, order + 1, device=noise.device)
    for axis, shift in ((2, x), (1, y)):
        weights = lanczos(steps - shift[:, None], order).to(noise.dtype)[:, :, None, None]
        noise = sum(  # type: ignore[assignment]
            weights[:, index] * torch.roll(noise, -int(step), axis) for index, step in enumerate(steps)
        )
    return noise


def resample_stamps(
    stamps: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64], order: int
) -> NDArray[np.float32]:
    """Interpolate n whole stamps, light and noise, (n, 21, 21): the source moves by (-x, -y).

    What lies beyond an edge is not known. Its light is taken to mirror that inside, lest a neighbour at one
    rim appear at the other; its noise is that of the opposite rim, lest the noise of the rim be unlike that
    elsewhere. Pixels are NaN where more than a tenth of the kernel's weight lies on NaN.

    Parameters
    ----------
    stamps
        (n, 21, 21), bad pixels NaN.
    x, y
        (n,) where the new pixels lie from the old ones [pixel], -1 to 1.
    order
        Half of the kernel's width [pixel].
    """
    margin = order + 1
    bad = np.isnan(stamps)
    around = ((0, 0), (margin, margin), (margin, margin))
    light = _light(stamps)
    noise = np.where(bad, 0.0, stamps - light)
    padded = torch.from_numpy(np.pad(light, around, "symmetric") + np.pad(noise, around, "wrap"))
    along_x, along_y = (_interpolation(shift, margin, order) for shift in (x, y))
    moved = (along_y @ padded @ along_x.mT).numpy()
    if bad.any():
        unknown = torch.from_numpy(np.pad(bad, around, "symmetric").astype(np.float64))
        share = along_y.abs() @ unknown @ along_x.abs().mT
        moved[(share > _MAX_BAD).numpy()] = np.nan
    return moved.astype(np.float32)


def lanczos(distance: Tensor, order: int) -> Tensor:
    """Weights of pixels at these distances [pixel] from the places to interpolate at, along the last axis.

    sinc(t) sinc(t / order), brought to a sum of 1 (Duchon 1979, J. Appl. Meteorol. 18, 1016).
    """
    weights = torch.sinc(distance) * torch.sinc(distance / order) * (distance.abs() < order)
    return weights / weights.sum(dim=-1, keepdim=True)


def _interpolation(shift: NDArray[np.float64], margin: int, order: int) -> Tensor:
    """Weights of the padded pixels in each new one, (n, 21, 21 + 2 margin)."""
    new = torch.arange(STAMP_SIZE, dtype=torch.float64)[:, None]
    old = torch.arange(-margin, STAMP_SIZE + margin, dtype=torch.float64)
    return lanczos(old - new - torch.from_numpy(shift)[:, None, None], order)


def _light(stamps: NDArray[np.float32]) -> NDArray[np.float64]:
    """The running median of each stamp, (n, 21, 21)."""
    good = np.isfinite(stamps)
    mean = np.sum(stamps, axis=(1, 2), where=good, keepdims=True) / np.maximum(
        good.sum(axis=(1, 2), keepdims=True), 1
    )
    filled = np.where(good, stamps, mean).astype(np.float64)
    return np.asarray(median_filter(filled, size=(1, _SMOOTH, _SMOOTH), mode="nearest"))
