"""Statistics of scores that are no means over objects, with the same resamples as those that are.

How well a score parts two kinds of objects is a function of all of them together: it is computed anew for
every weighting of the objects, of one draw after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.estimate import CONFIDENCE, Estimate, wilson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: A number of one draw's values (N, ...) under B weightings (B, N) of the objects, (B,).
Statistic = Callable[[NDArray[np.generic], Floats], Floats]


@dataclass(frozen=True)
class Resampled:
    """A statistic as measured, in each of D draws alone, and in each of B resamples, of n objects."""

    point: float
    draws: Floats
    resampled: Floats
    n: int

    def __sub__(self, other: Resampled) -> Resampled:
        """The difference, paired by object and draw where both share one `Resampling`."""
        alike = len(self.draws) == len(other.draws)
        draws = self.draws - other.draws if alike else np.empty(0)
        n = min(self.n, other.n)
        return Resampled(self.point - other.point, draws, self.resampled - other.resampled, n)

    def estimate(self) -> Estimate:
        """The value with its percentile interval."""
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.nanpercentile(self.resampled, [tail, 100 - tail])
        spread = float(self.draws.std(ddof=1)) if len(self.draws) > 1 else None
        return Estimate(self.point, float(low), float(high), self.n, spread)

    def share(self, trials: int | None = None) -> Estimate:
        """The same of a share, whose interval is no narrower than that of ``trials`` (n) independent ones.

        Where all objects agree, the resamples agree too.
        """
        percentile = self.estimate()
        low, high = wilson(np.array(self.point), self.n if trials is None else trials)
        return Estimate(
            self.point,
            min(percentile.low, float(low)),
            max(percentile.high, float(high)),
            self.n,
            percentile.sd_draws,
        )


def resample(
    statistic: Statistic,
    values: NDArray[np.generic],
    resampling: Resampling,
    members: NDArray[np.int64] | slice = slice(None),
) -> Resampled:
    """Measure ``statistic`` on values (D, N, ...) of the objects ``members`` of ``resampling`` (all)."""
    draws, n = values.shape[:2]
    alone = np.array([statistic(one, np.ones((1, n)))[0] for one in values])
    weights = resampling.objects[:, members]
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may lack one kind of objects
        each = np.stack([statistic(one, weights) for one in values], axis=1)
    by_draw = resampling.draws(draws)
    pooled = np.sum(each * by_draw, axis=1) / by_draw.sum(axis=1)
    return Resampled(float(alone.mean()), alone, pooled, n)


def mean(values: NDArray[np.generic], weights: Floats) -> Floats:
    """Mean of values (N,)."""
    return np.asarray(weights @ values.astype(float) / weights.sum(axis=1))


def mean_over(groups: Ints) -> Statistic:
    """Mean of values (N,) over the groups (N,) that the objects belong to, each group weighing alike."""
    member = np.eye(int(groups.max()) + 1)[groups][:, np.unique(groups)]

    def statistic(values: NDArray[np.generic], weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nanmean(weights @ (member * values.astype(float)[:, None]) / (weights @ member), axis=1)

    return statistic


def auc(positive: Bools) -> Statistic:
    """Chance that a positive object's score is above a negative one's, ties counting half.

    ``positive`` is (N,). Source: Hanley and McNeil 1982, Radiology 143, 29.
    """

    def statistic(scores: NDArray[np.generic], weights: Floats) -> Floats:
        above, below = scores[positive], np.sort(scores[~positive])
        sorted_weights = weights[:, ~positive][:, np.argsort(scores[~positive], kind="stable")]
        lower = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(sorted_weights, axis=1)], axis=1)
        beaten = lower[:, np.searchsorted(below, above)] + lower[:, np.searchsorted(below, above, "right")]
        own = weights[:, positive]
        return np.asarray(np.sum(own * beaten, axis=1) / 2.0 / (own.sum(axis=1) * lower[:, -1]))

    return statistic


def recall_at(positive: Bools, false_alarms: float) -> Statistic:
    """Share of the positive objects whose score no more than a share of the negative ones reach."""

    def statistic(scores: NDArray[np.generic], weights: Floats) -> Floats:
        order = np.argsort(-scores[~positive].astype(float), kind="stable")
        negative = scores[~positive][order]
        passed = np.cumsum(weights[:, ~positive][:, order], axis=1)
        allowed = np.sum(passed <= false_alarms * passed[:, -1:], axis=1)
        threshold = negative[np.minimum(allowed, len(negative) - 1)]
        own = weights[:, positive]
        return np.asarray(np.sum(own * (scores[positive] > threshold[:, None]), axis=1) / own.sum(axis=1))

    return statistic


def log_ratio(positive: Bools) -> Statistic:
    """Logarithm of the ratio of the shares of hits (N,) among positive and among negative objects.

    Half a hit is added to each share, lest one of none have no logarithm.
    """

    def statistic(hits: NDArray[np.generic], weights: Floats) -> Floats:
        shares = [
            (weights[:, kind] @ hits[kind].astype(float) + 0.5) / (weights[:, kind].sum(axis=1) + 1.0)
            for kind in (positive, ~positive)
        ]
        return np.log(shares[0] / shares[1])

    return statistic


def accuracy_at(coverage: float) -> Statistic:
    """Share of hits among the surest objects, which are a share ``coverage`` of all.

    Values are (N, 2): how sure a classifier is, and whether it is right.
    """

    def statistic(values: NDArray[np.generic], weights: Floats) -> Floats:
        order = np.argsort(-values[:, 0].astype(float), kind="stable")
        sorted_weights, hits = weights[:, order], values[order, 1].astype(float)
        before = np.cumsum(sorted_weights, axis=1) - sorted_weights
        kept = sorted_weights * (before < coverage * sorted_weights.sum(axis=1, keepdims=True))
        return np.asarray(kept @ hits / kept.sum(axis=1))

    return statistic
