"""Optimal photometry of prepared stamps in torch, frame by frame (Naylor 1998; thesis 2.1.6).

The estimator of `astroreel.photometry.optimal`, from what a network is told of a frame. That is the noise of
the background and not the gain, for which a nominal one stands in: it weighs the pixels of bright sources.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from astroreel.photometry.optimal import PSF_WIDTH
from astroreel.sequences.prepare import CONDITIONS
from astroreel.sequences.record import STAMP_SIZE
from astroreel.sequences.rim import WIDTH

#: [e-/ADU at the reference]. Between 1 and 4, simulated bright constant stars scatter by 3 % alike.
_NOMINAL_GAIN = 2.0

_FWHM = math.sqrt(8.0 * math.log(2.0))

#: Seeing [pixel] below which the profile is no longer narrowed.
_SHARPEST = 0.5

#: Variance of a median over that of a mean, for many normal draws.
_MEDIAN_PENALTY = math.pi / 2

#: Stands in for the weight of a stamp without a good pixel: its flux is 0, its error very large.
_NOTHING = 1e-12


def point_source(stamps: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
    """Flux of the central source of each stamp and its error, (F,) and (F,) [ADU at the reference].

    Parameters
    ----------
    stamps
        (F, 21, 21), as in `astroreel.sequences.prepare.Prepared`: bad pixels are 0, and carry no weight.
    conditions
        (F, 4), in the order of :data:`astroreel.sequences.prepare.CONDITIONS`.
    """
    profile = _gaussian(conditions[:, CONDITIONS.index("seeing")])
    visible = profile * (stamps != 0)
    variance = 10.0 ** (2.0 * conditions[:, CONDITIONS.index("log_noise")])
    rim = _rim(stamps)
    level = rim.where(rim != 0, math.nan).nanmedian(dim=1).values.nan_to_num()
    level_variance = _MEDIAN_PENALTY * variance / (rim != 0).sum(dim=1).clamp(min=1)

    def fit(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        norm = _sum(weight * profile).clamp(min=_NOTHING)
        leverage = _sum(weight) / norm
        return _sum(weight * stamps) / norm - leverage * level, norm, leverage

    faint = fit(visible)[0].clamp(min=0.0)
    photons = (faint / _NOMINAL_GAIN)[:, None, None] * profile
    flux, norm, leverage = fit(visible / (variance[:, None, None] + photons))
    return flux, torch.sqrt(1.0 / norm + leverage.square() * level_variance)


def _gaussian(seeing: Tensor) -> Tensor:
    """Integrals over pixels (F, 21, 21) of Gaussians of unit flux, from the seeing (F,) [pixel]."""
    sigma = PSF_WIDTH / _FWHM * seeing.clamp(min=_SHARPEST)
    edges = torch.arange(STAMP_SIZE + 1, device=seeing.device) - STAMP_SIZE / 2
    line = torch.diff(torch.erf(edges / (math.sqrt(2.0) * sigma[:, None])), dim=1) / 2
    return line[:, :, None] * line[:, None, :]


def _rim(stamps: Tensor) -> Tensor:
    """The pixels (F, 215) of each stamp's rim, less a corner: of an even number torch's median is low."""
    top, middle, bottom = stamps.split((WIDTH, STAMP_SIZE - 2 * WIDTH, WIDTH), dim=1)
    sides = middle[:, :, :WIDTH], middle[:, :, -WIDTH:]
    return torch.cat([part.flatten(1) for part in (top, *sides, bottom)], dim=1)[:, 1:]


def _sum(images: Tensor) -> Tensor:
    return images.sum(dim=(1, 2))
