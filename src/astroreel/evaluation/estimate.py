"""A number with its 95 % interval, and the intervals of proportions that have a closed form."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_DIGITS = 4


@dataclass(frozen=True)
class Estimate:
    """A measured value, what it stands on and how sure it is.

    Attributes
    ----------
    value
        The measured value.
    low, high
        Ends of its 95 % interval.
    n
        Number of objects that it was measured on.
    sd_draws
        Standard deviation between draws of the few-shot pool (or between seeds), where there
        are several.
    """

    value: float
    low: float
    high: float
    n: int
    sd_draws: float | None = None

    def to_json(self) -> dict[str, float | int]:
        """The leaf of contract 3, rounded so that equal results are equal bytes."""
        leaf = {"value": _rounded(self.value), "low": _rounded(self.low), "high": _rounded(self.high)}
        spread = {} if self.sd_draws is None else {"sd_draws": _rounded(self.sd_draws)}
        return {**leaf, "n": self.n, **spread}

    @classmethod
    def from_json(cls, leaf: dict[str, Any]) -> Estimate:
        """The estimate that a leaf was written from, up to rounding."""
        return cls(leaf["value"], leaf["low"], leaf["high"], leaf["n"], leaf.get("sd_draws"))


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS) + 0.0  # a negative zero would be another byte


def wilson(
    proportion: NDArray[np.float64], n: NDArray[np.float64] | int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high ends of Wilson's score interval of ``proportion`` among ``n`` trials.

    Unlike a bootstrap it has a width where every trial went the same way. Source: Wilson 1927,
    J. Am. Stat. Assoc. 22, 209.
    """
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    centre = (proportion + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(proportion * (1 - proportion) / n + (z / (2 * n)) ** 2)
    return np.clip(centre - half, 0.0, proportion), np.clip(centre + half, proportion, 1.0)


def wilson_mean(
    proportions: NDArray[np.float64], n: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interval of the mean over axis 0 of independent proportions (C, K), ``n`` (C, 1) trials each.

    The distances of each Wilson interval's ends from its proportion add in quadrature. Source: Zou
    and Donner 2008, Statistics in Medicine 27, 1693 (the method of variance estimates recovery).
    """
    low, high = wilson(proportions, n)
    mean, count = proportions.mean(axis=0), len(proportions)
    below = np.sqrt(np.sum((proportions - low) ** 2, axis=0)) / count
    above = np.sqrt(np.sum((high - proportions) ** 2, axis=0)) / count
    return np.maximum(mean - below, 0.0), np.minimum(mean + above, 1.0)
