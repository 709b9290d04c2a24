"""Temperature scaling (Guo et al. 2017, arXiv:1706.04599): one number that mends a network's confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_BOUNDS = (0.05, 20.0)


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature with the lowest log loss of logits (N, C) against labels (N,)."""

    def log_loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(log_loss, bounds=np.log(_BOUNDS), method="bounded")
    return float(np.exp(found.x))
