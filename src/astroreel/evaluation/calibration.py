"""How far stated probabilities are from what is so.

Objects are binned by the stated probability of the class that they are given, in ten bins that weigh
alike, every class weighing alike; in each the share of hits stands against the mean probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.estimate import CONFIDENCE, Estimate, wilson

BINS = 10
_TINY = 1e-12  # keeps an empty bin from dividing by nothing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def calibration_error(labels: Ints, probabilities: Floats) -> float:
    """Class-balanced, debiased calibration error of the first choice, for N objects.

    The root mean square over the bins of stated minus actual share of hits. What chance adds to each
    bin's square is subtracted (Kumar, Liang and Ma 2019, NeurIPS 32); where less is left than nothing,
    the error is 0.

    Parameters
    ----------
    labels
        (N,) positions in CLASSES.
    probabilities
        (N, 7).
    """
    return float(np.sqrt(max(_debiased_square(_binned(labels, probabilities)), 0.0)))


@dataclass(frozen=True)
class Calibration:
    """The calibration of one model on N objects.

    Attributes
    ----------
    error
        The `calibration_error`, its square being the mean over the draws.
    confidence
        (K,) mean stated probability in each bin that is never empty, at most 10.
    shares
        Share of hits in each.
    """

    error: Estimate
    confidence: Floats
    shares: tuple[Estimate, ...]


def calibration(labels: Ints, final: Floats, resampling: Resampling) -> Calibration:
    """Measure the calibration, with intervals, of probabilities (D, N, 7) in D draws.

    Chance widens the squares of the resamples too, so these tell how far the error's square spreads and
    not where it lies: their mean is brought to the debiased value.
    """
    draws = [_binned(labels, probabilities) for probabilities in final]
    weights = _balanced(labels, resampling.objects)
    sums = np.stack([one.sums(weights) for one in draws], axis=2)  # (3, B, D, 10)
    by_draw = resampling.draws(len(draws))
    by_draw = by_draw / by_draw.sum(axis=1, keepdims=True)

    alone = np.array([_debiased_square(one) for one in draws])
    spread = np.sum(by_draw * _square(sums[0], sums[1]), axis=1)
    error = _root(alone, spread - spread.mean() + alone.mean(), len(labels))

    counts = np.stack([np.bincount(one.bins, minlength=BINS) for one in draws])
    filled = counts.all(axis=0)
    total, gaps, hits = np.mean([one.sums(one.weights) for one in draws], axis=0)[:, filled]
    with np.errstate(invalid="ignore"):  # a resample may leave a bin empty
        pooled = _pool(sums[2], by_draw)[:, filled] / _pool(sums[0], by_draw)[:, filled]
    shares = _shares(hits / total, pooled, counts.mean(axis=0)[filled])
    return Calibration(error, (hits + gaps) / total, shares)


@dataclass(frozen=True)
class _Binned:
    """N objects in bins: weight, bin, stated probability and whether it was a hit, each (N,)."""

    weights: Floats
    bins: Ints
    confidence: Floats
    hits: NDArray[np.bool_]

    @property
    def gaps(self) -> Floats:
        return self.confidence - self.hits

    def sums(self, weights: Floats) -> Floats:
        """Sums of weights, gaps and hits in each bin for weights (B, N), (3, B, 10)."""
        member = np.eye(BINS)[self.bins]
        columns = (np.ones_like(self.gaps), self.gaps, self.hits)
        return np.stack([weights @ (member * values[:, None]) for values in columns])


def _binned(labels: Ints, probabilities: Floats) -> _Binned:
    confidence = probabilities.max(axis=1)
    weights = _balanced(labels, np.ones((1, len(labels))))[0]
    # What is equally sure shares a bin: a forest's probabilities are often the same.
    _, owner = np.unique(confidence, return_inverse=True)
    share = np.bincount(owner, weights)
    middle = np.cumsum(share) - share / 2
    bins = np.minimum(middle / weights.sum() * BINS, BINS - 1).astype(np.int64)[owner]
    return _Binned(weights, bins, confidence, probabilities.argmax(axis=1) == labels)


def _balanced(labels: Ints, weights: Floats) -> Floats:
    """Weights (B, N) of the objects, scaled so that the classes weigh alike."""
    totals = weights @ np.eye(labels.max() + 1)[labels]
    return weights / np.maximum(totals, _TINY)[:, labels]


def _square(total: Floats, gaps: Floats) -> Floats:
    """Mean over the bins of the square of their mean gaps, (...), from sums (..., 10)."""
    return np.sum(gaps**2 / np.maximum(total, _TINY), axis=-1) / total.sum(axis=-1)


def _debiased_square(one: _Binned) -> float:
    total, gaps, _ = one.sums(one.weights)
    mean = gaps / np.maximum(total, _TINY)
    # The variance of a weighted mean, with the correction for few objects a bin.
    squares = np.bincount(one.bins, one.weights**2 * (one.gaps - mean[one.bins]) ** 2, BINS)
    size = total**2 / np.maximum(np.bincount(one.bins, one.weights**2, BINS), _TINY)
    chance = squares / np.maximum(total, _TINY) ** 2 * size / np.maximum(size - 1, 1)
    return float(np.average(mean**2 - chance, weights=total))


def _pool(sums: Floats, by_draw: Floats) -> Floats:
    """Sums (B, D, 10) of the draws together, (B, 10)."""
    return np.sum(by_draw[:, :, None] * sums, axis=1)


def _root(squares: Floats, resampled: Floats, n: int) -> Estimate:
    """The root of the mean of the draws' squares, which chance may have made negative."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.sqrt(np.maximum(np.percentile(resampled, [tail, 100 - tail]), 0.0))
    value = float(np.sqrt(max(squares.mean(), 0.0)))
    roots = np.sqrt(np.maximum(squares, 0.0))
    return Estimate(value, float(low), float(high), n, float(roots.std(ddof=1)) if len(roots) > 1 else None)


def _shares(values: Floats, resampled: Floats, counts: Floats) -> tuple[Estimate, ...]:
    tail = 100 * (1 - CONFIDENCE) / 2
    values = np.minimum(values, 1.0)  # sums of weights may be above it by rounding
    low, high = np.nanpercentile(np.minimum(resampled, 1.0), [tail, 100 - tail], axis=0)
    least, most = wilson(values, counts)
    return tuple(
        Estimate(float(v), float(lo), float(hi), round(float(n)))
        for v, lo, hi, n in zip(values, np.minimum(low, least), np.maximum(high, most), counts, strict=True)
    )
