"""Intervals by resampling, with the same resamples for every model tested on the same objects.

Objects of one field share its nights, its sky and its few-shot pool, so real objects are resampled
by whole fields; simulated objects by themselves. Draws of the few-shot pool are resampled
independently of the objects, which errs on the wide side (Owen 2007, Ann. Appl. Stat. 1, 386).
Sharing the resamples makes a difference of two models a paired one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from astroreel.evaluation.estimate import CONFIDENCE, Estimate
from astroreel.evaluation.metrics import ClassMeans, class_means

#: A number (or K of them) made of class means: ``ClassMeans.overall`` or ``ClassMeans.balanced``.
Statistic = Callable[[ClassMeans], NDArray[np.float64]]


@dataclass
class Resampling:
    """B resamples of N objects, and of any number of draws.

    Parameters
    ----------
    units
        (N,) what is resampled whole: the field of each object, or the object itself.
    resamples
        B, the number of bootstrap resamples.
    rng
        Source of the resamples.
    """

    units: NDArray[np.generic]
    resamples: int
    rng: np.random.Generator
    objects: NDArray[np.float64] = field(init=False)
    _draws: dict[int, NDArray[np.float64]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        names, owner = np.unique(self.units, return_inverse=True)
        self.objects = self._counts(len(names))[:, owner]

    def draws(self, count: int) -> NDArray[np.float64]:
        """How often each of ``count`` draws is taken in each resample, (B, ``count``)."""
        if count not in self._draws:
            self._draws[count] = self._counts(count)
        return self._draws[count]

    def _counts(self, size: int) -> NDArray[np.float64]:
        """How often each of ``size`` units is taken, with replacement, in each resample.

        One fewer is taken than there are: with few units the intervals would else be too narrow
        (Rao and Wu 1988, J. Am. Stat. Assoc. 83, 231).
        """
        taken = max(size - 1, 1)
        return self.rng.multinomial(taken, np.full(size, 1 / size), self.resamples).astype(float)


@dataclass(frozen=True)
class Measurement:
    """Class means of K values: as measured, in each draw alone, and in each resample.

    Attributes
    ----------
    point, draws, resampled
        One, D and B weightings.
    n
        Number of objects.
    """

    point: ClassMeans
    draws: ClassMeans
    resampled: ClassMeans
    n: int

    def estimates(self, statistic: Statistic, n: int | None = None) -> list[Estimate]:
        """The values of ``statistic`` with percentile intervals, measured on ``n`` objects (all)."""
        return _estimates(
            statistic(self.point)[0],
            statistic(self.draws),
            statistic(self.resampled),
            self.n if n is None else n,
        )


def measure(
    values: NDArray[np.generic],
    labels: NDArray[np.int64],
    resampling: Resampling,
    members: NDArray[np.int64] | slice = slice(None),
) -> Measurement:
    """Measure ``values`` (D, N, K) of the objects that ``resampling`` was made for.

    Or of some of them, ``members``: then ``values`` and ``labels`` are of those alone.
    """
    draws = len(values)
    return Measurement(
        point=class_means(values, labels),
        draws=class_means(values, labels, draw_weights=np.eye(draws)),
        resampled=class_means(values, labels, resampling.objects[:, members], resampling.draws(draws)),
        n=len(labels),
    )


def difference(first: Measurement, second: Measurement, statistic: Statistic) -> list[Estimate]:
    """``first`` minus ``second``, paired by object and draw: both must share one `Resampling`."""
    paired_draws = len(first.draws.means) == len(second.draws.means)
    draws = statistic(first.draws) - statistic(second.draws) if paired_draws else np.empty((0, 0))
    return _estimates(
        (statistic(first.point) - statistic(second.point))[0],
        draws,
        statistic(first.resampled) - statistic(second.resampled),
        first.n,
    )


def _estimates(
    point: NDArray[np.float64],
    draws: NDArray[np.float64],
    resampled: NDArray[np.float64],
    n: int,
) -> list[Estimate]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(resampled, [tail, 100 - tail], axis=0)
    spread = draws.std(axis=0, ddof=1) if len(draws) > 1 else [None] * len(point)
    return [
        Estimate(float(v), float(lo), float(hi), n, None if sd is None else float(sd))
        for v, lo, hi, sd in zip(point, low, high, spread, strict=True)
    ]
