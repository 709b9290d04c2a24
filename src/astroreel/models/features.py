"""Features of a light curve that follow it frame by frame, with a state of a few numbers an object.

The thesis (4.4.1) asks for features that are brought up to date from their own past instead of the whole
light curve. They are measured in errors, those of the photometry and of its calibration together.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: What the features are, in the order in which they are told. An error is that of the present frame; the
#: variance in a ratio has the mean squared error added, so that noise alone tells nothing.
FEATURES = (
    "frames",  # so far
    "mean",  # weighted flux over the error
    "chi2",  # reduced, against a constant source
    "scatter",  # standard deviation over the mean flux
    "skewness",
    "von_neumann",  # mean squared difference of neighbours over the variance
    "rise",  # of the brightest above the mean, over the error
    "fall",  # of the faintest below the mean, over the error
    "departure",  # from the mean, over the error
    "change",  # since the frame before, over the error
    "hours_since_brightest",
    "decline",  # since the brightest, in errors a day
)

#: What the fluxes of simulated bright constant stars scatter by, beyond their noise.
_CALIBRATION_ERROR = 0.03

_HOURS_A_DAY = 24.0

#: Keeps a decline within a night finite [d].
_SHORTEST = 0.1


class Running(NamedTuple):
    """The state after a frame: sums over the frames so far, (B, 9), and single frames' numbers, (B,).

    All are in double precision, which differences of large sums need.
    """

    sums: Tensor
    last: Tensor
    brightest: Tensor
    brightest_time: Tensor
    faintest: Tensor

    @classmethod
    def start(cls, batch: int, device: torch.device) -> Running:
        """The state of ``batch`` objects before their first frame."""
        zeros = torch.zeros(batch, 9, dtype=torch.float64, device=device)
        one = zeros[:, 0]
        return cls(zeros, one.clone(), one - torch.inf, one.clone(), one + torch.inf)


def follow(times: Tensor, flux: Tensor, error: Tensor, past: Running) -> tuple[Tensor, Running]:
    """The features after every frame, (B, T, 12) float64, and the state after the last.

    Takes ``times`` [d], ``flux`` and ``error`` [ADU], (B, T), of the frames that follow ``past``.
    """
    times, flux, error = times.double(), flux.double(), error.double()
    error = torch.sqrt(error.square() + (_CALIBRATION_ERROR * flux).square())
    before = torch.where(past.sums[:, 0] > 0, past.last, flux[:, 0])
    change = torch.diff(flux, dim=1, prepend=before[:, None])
    weight = error**-2
    terms = [torch.ones_like(flux), weight, weight * flux, weight * flux.square()]
    terms += [flux, flux.square(), flux**3, error.square(), change.square()]
    sums = past.sums[:, None] + torch.stack(terms, dim=-1).cumsum(dim=1)
    brightest, place = torch.cat([past.brightest[:, None], flux], dim=1).cummax(dim=1)
    when = torch.cat([past.brightest_time[:, None], times], dim=1).gather(1, place)
    faintest = torch.cat([past.faintest[:, None], flux], dim=1).cummin(dim=1).values
    every = Running(sums, flux, brightest[:, 1:], when[:, 1:], faintest[:, 1:])
    return _features(times, flux, error, change, every), Running(*(array[:, -1] for array in every))


def _features(times: Tensor, flux: Tensor, error: Tensor, change: Tensor, every: Running) -> Tensor:
    n, w, wx, wxx, x, xx, xxx, ee, dd = every.sums.unbind(dim=-1)
    mean, level, freedom = wx / w, x / n, (n - 1).clamp(min=1)
    variance = (xx / n - level.square()).clamp(min=0)
    spread = variance + ee / n
    third = xxx / n - 3 * level * xx / n + 2 * level**3
    since = times - every.brightest_time
    told = [
        n,
        mean / error,
        (wxx - wx.square() / w).clamp(min=0) / freedom,
        torch.sqrt(variance) / (level.abs() + torch.sqrt(ee / n)),
        third / spread**1.5,
        dd / freedom / spread,
        (every.brightest - mean) / error,
        (mean - every.faintest) / error,
        (flux - mean) / error,
        change / error,
        _HOURS_A_DAY * since,
        (every.brightest - flux) / error / (since + _SHORTEST),
    ]
    return torch.stack(told, dim=-1)
