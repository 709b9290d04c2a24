"""The continuous autoregressive process of first order (CAR(1)) that a light curve looks most like.

dX = -X / tau dt + sigma dW about the mean, seen with errors (Brockwell & Davis 2002; Pichara et al. 2012,
MNRAS 427, 1284): sigma and tau of the highest likelihood. feets looks for it by a simplex that ends where it
happens to within bounds meant for magnitudes, sigma below 100; here a grid is searched and then refined, and
sigma is bounded by the scatter of the fluxes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Relaxation times [day] that are told apart: from a fifth of HiTS's cadence to feets's bound.
TAU = (0.01, 100.0)
#: Standard deviations of the process over that of the fluxes.
SCATTER = (0.01, 10.0)

_GRID = (13, 10)
_ROUNDS = 9
_NEAR = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]), axis=-1).reshape(-1, 2)


def fit(time: Floats, flux: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Sigma [flux/day^0.5] and tau [day] of the highest likelihood, (N,) each.

    Mostly to a few per cent, within :data:`TAU` and :data:`SCATTER`. As in FATS, the likelihood of the first
    epoch is left out.

    Parameters
    ----------
    time, flux, error
        (N, T) epochs [day], fluxes with their mean removed and their errors, T at least 2.
    """
    spread = flux.std(axis=1, keepdims=True)
    spread = np.where(spread > 0, spread, 1.0)
    steps, scaled = np.diff(time, axis=1).T.copy(), (flux / spread).T.copy()
    variance = ((error / spread) ** 2).T.copy()
    low, high = np.log([TAU[0], SCATTER[0]]), np.log([TAU[1], SCATTER[1]])
    lines = [np.linspace(low[i], high[i], _GRID[i]) for i in (0, 1)]
    grid = np.stack(np.meshgrid(*lines), axis=-1).reshape(-1, 1, 2)
    best = _best(np.broadcast_to(grid, (len(grid), len(time), 2)), steps, scaled, variance)
    reach = np.broadcast_to((high - low) / (np.array(_GRID) - 1) / 2, best.shape)
    for _ in range(_ROUNDS):
        before = best
        best = _best(np.clip(best + _NEAR[:, None] * reach, low, high), steps, scaled, variance)
        # On a ridge the way to the top is longer than the grid's step: no narrower before it ends.
        reach = np.where((best == before).all(axis=1, keepdims=True), reach / 2, reach)
    tau, scatter = np.exp(best).T
    return scatter * spread[:, 0] * np.sqrt(2.0 / tau), tau


def _best(places: Floats, steps: Floats, flux: Floats, variance: Floats) -> Floats:
    """Of places (P, N, 2) in the logarithms of tau and scatter the most likely for each curve, (N, 2)."""
    cost = deviance(np.exp(places[..., 0]), np.exp(2.0 * places[..., 1]), steps, flux, variance)
    return np.take_along_axis(places, cost.argmin(axis=0)[None, :, None], axis=0)[0]


def deviance(tau: Floats, power: Floats, steps: Floats, flux: Floats, variance: Floats) -> Floats:
    """Minus twice the logarithm of the likelihood but for a constant, (..., N), by a Kalman filter.

    Parameters
    ----------
    tau, power
        (..., N) relaxation time [day] and variance of the process.
    steps
        (T - 1, N) days between the epochs.
    flux, variance
        (T, N) fluxes with their mean removed and the squares of their errors.
    """
    state, uncertain, total = np.zeros_like(tau), power, np.zeros_like(tau)
    for i, step in enumerate(steps):
        memory = np.exp(-step / tau)
        gain = uncertain / (uncertain + variance[i])
        state = memory * (state + gain * (flux[i] - state))
        uncertain = power - memory**2 * (power - uncertain * (1.0 - gain))
        spread = uncertain + variance[i + 1]
        total += np.log(spread) + (flux[i + 1] - state) ** 2 / spread
    return total
