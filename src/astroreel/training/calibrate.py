"""Temperature scaling: one number that mends a network's confidence (Guo et al. 2017, arXiv:1706.04599)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

#: The temperature is sought between a twentieth and twenty.
_LARGEST_LOG = float(np.log(20.0))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature that gives ``labels`` (F,) the highest likelihood under ``logits`` (F, 7)."""
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)

    def loss(log_temperature: float) -> float:
        log_probability = log_softmax(scores / np.exp(log_temperature), axis=1)
        return float(-log_probability[np.arange(len(truth)), truth].mean())

    found = minimize_scalar(loss, bounds=(-_LARGEST_LOG, _LARGEST_LOG), method="bounded")
    return float(np.exp(found.x))
