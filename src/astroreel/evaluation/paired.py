"""Two models on the same objects: by how much the one is better, and whether that could be chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from astroreel.evaluation.bootstrap import Resampling, difference, measure
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.measures import measure_scores, measure_since_detection
from astroreel.evaluation.metrics import (
    ACCURACY,
    EPOCHS_SINCE,
    MEAN_RECALL,
    SINCE_DETECTION,
    ClassMeans,
)
from astroreel.evaluation.predictions import Objects, Trials

Floats = NDArray[np.float64]
Hits = NDArray[np.bool_]


def paired(first: Trials, second: Trials, objects: Objects, resampling: Resampling) -> dict[str, Any]:
    """``first`` minus ``second`` in every measure after the last sample, and McNemar's test.

    Both are of ``objects``, for which ``resampling`` was made; a model of one draw alone stands against
    every draw of the other. The leaves are `Estimate.to_json`'s; those of ``mcnemar`` are `mcnemar`'s.
    """
    labels = objects.labels
    hits = [trials.predicted[:, :, -1] == labels for trials in (first, second)]
    one, other = (measure(right[:, :, None], labels, resampling) for right in hits)
    scores, others = (measure_scores(trials, objects, resampling) for trials in (first, second))
    log_loss, brier = difference(scores, others, ClassMeans.balanced)
    return {
        ACCURACY: difference(one, other, ClassMeans.overall)[0].to_json(),
        MEAN_RECALL: difference(one, other, ClassMeans.balanced)[0].to_json(),
        "log_loss": log_loss.to_json(),
        "brier": brier.to_json(),
        SINCE_DETECTION: _since_detection(first, second, objects, resampling),
        "mcnemar": mcnemar(*hits),
    }


def mcnemar(first: Hits, second: Hits) -> dict[str, Any]:
    """McNemar's exact test on N objects, for hits (D, N) in D draws; one of the two may have one draw.

    Of the objects that only one of the models hits, as many fall to either by chance. Draws share their
    objects, so their tests cannot be added up: twice the median of the draws' p-values is a p-value
    however they depend on one another (DiCiccio, DiCiccio and Romano 2020, Stat. Probab. Lett. 166, 108865).
    Objects count alike, whatever their class or field.

    Returns
    -------
    dict
        ``p``; ``won`` and ``lost``, mean numbers of objects that only the first and only the second hits.
        Low and high are the least and the most of any draw.
    """
    draws = np.broadcast_shapes(first.shape, second.shape)
    won, lost = (np.sum(np.broadcast_to(one, draws), axis=1) for one in (first & ~second, second & ~first))
    p = mcnemar_p(won, lost)
    n = draws[1]
    combined = p[0] if len(p) == 1 else min(2 * np.median(p), 1.0)
    leaves = {
        "p": Estimate(float(combined), float(p.min()), float(p.max()), n),
        "won": Estimate(won.mean(), won.min(), won.max(), n),
        "lost": Estimate(lost.mean(), lost.min(), lost.max(), n),
    }
    return {name: leaf.to_json() for name, leaf in leaves.items()}


def mcnemar_p(won: NDArray[np.int64], lost: NDArray[np.int64]) -> Floats:
    """The two-sided exact p-value for each pair of counts; 1 where the models never differ.

    Source: McNemar 1947, Psychometrika 12, 153; the binomial distribution with chances of one half.
    """
    return np.minimum(2 * binom.cdf(np.minimum(won, lost), won + lost, 0.5), 1.0)


def _since_detection(
    first: Trials, second: Trials, objects: Objects, resampling: Resampling
) -> dict[str, Any]:
    """Recalls of supernovae some epochs after their first detection, while they are still seen."""
    leaves = {}
    for epoch in EPOCHS_SINCE:
        one, other = (measure_since_detection(each, objects, epoch, resampling) for each in (first, second))
        if one is None or other is None:
            break
        leaves[str(epoch)] = difference(one, other, ClassMeans.overall)[0].to_json()
    return leaves
