"""What confidence is worth: accuracy against coverage, and scores before and after the temperature.

Coverage is the share of the objects that a classifier answers for, the surest first; for the others it
abstains (El-Yaniv and Wiener 2010, J. Mach. Learn. Res. 11, 1605).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.calibration import calibration
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import CALIBRATION_ERROR, brier_scores, log_losses
from astroreel.study.resampled import accuracy_at, mean_over, resample

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

#: Shares of the objects that are answered for.
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def untempered(probabilities: Floats, temperatures: Floats) -> Floats:
    """Probabilities (..., 7) as they were before they were divided by ``temperatures`` (..., 1)."""
    raised = np.maximum(probabilities, np.finfo(np.float64).tiny) ** temperatures
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def abstention(labels: Ints, final: Floats, resampling: Resampling) -> dict[str, Estimate]:
    """Accuracy at each coverage, by percent, of probabilities (D, N, 7) of objects with labels (N,)."""
    sure_and_right = np.stack([final.max(axis=-1), final.argmax(axis=-1) == labels], axis=-1)
    return {
        f"{round(100 * coverage)}": resample(accuracy_at(coverage), sure_and_right, resampling).share(
            max(round(coverage * len(labels)), 1)
        )
        for coverage in COVERAGES
    }


def scores(labels: Ints, final: Floats, resampling: Resampling) -> dict[str, Estimate]:
    """Class-balanced log loss, Brier score and calibration error of probabilities (D, N, 7)."""
    balanced = mean_over(labels)
    return {
        "log_loss": resample(balanced, log_losses(labels, final), resampling).estimate(),
        "brier": resample(balanced, brier_scores(labels, final), resampling).estimate(),
        CALIBRATION_ERROR: calibration(labels, final.astype(np.float64), resampling).error,
    }
