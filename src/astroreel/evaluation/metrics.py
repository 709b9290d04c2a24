"""What is measured on a classifier's probabilities: recalls, accuracy, confusion, scores.

Every measure is a mean over objects within each class, so all of them come from
:func:`class_means`: accuracy weights the classes by their objects, mean recall (and the
class-balanced scores) weights them equally. Resampling objects or draws is a change of weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES

#: Number of samples after which a classifier is finally scored (thesis 3.2.1: N_d = 22).
N_SAMPLES = 22

#: Number of samples that a supernova's window holds from before its first detection.
N_BEFORE = 5

#: Names of the leaves that score a classifier after its last sample.
ACCURACY = f"accuracy_{N_SAMPLES}"
MEAN_RECALL = f"mean_recall_{N_SAMPLES}"
RECALL = f"recall_{N_SAMPLES}"

#: Name of the leaf of recalls that no supernova's light curve can have helped.
EARLY_RECALL = f"recall_{N_BEFORE}"

#: Name of the leaves of recalls of supernovae since their first detection, and the epochs after it, 0
#: being the detection itself, that have one.
SINCE_DETECTION = "supernova_recall_since_detection"
EPOCHS_SINCE = (0, 1, 2, 4, 8)

#: Name of the leaf of how far stated probabilities are from what is so.
CALIBRATION_ERROR = "calibration_error"

#: Lowest probability that the log loss takes at its word: a forest may give exactly zero.
PROBABILITY_FLOOR = 1e-6


def recall_of(label: str) -> str:
    """Name of the curve of a class's recall."""
    return f"recall_{label}"


@dataclass(frozen=True)
class ClassMeans:
    """Mean of K values within each class, for B weightings of the objects.

    Attributes
    ----------
    means
        (B, 7, K); NaN where a class has no weight.
    weights
        (B, 7), the total weight of the objects of each class.
    """

    means: NDArray[np.float64]
    weights: NDArray[np.float64]

    def overall(self) -> NDArray[np.float64]:
        """Mean over the objects, (B, K): accuracy, where the values are hits. NaN where none has weight."""
        total = np.nansum(self.means * self.weights[:, :, None], axis=1)
        with np.errstate(invalid="ignore"):
            return total / self.weights.sum(axis=1)[:, None]

    def balanced(self) -> NDArray[np.float64]:
        """Mean over the classes that occur, (B, K): mean recall, where the values are hits."""
        return np.nanmean(self.means, axis=1)


def class_means(
    values: NDArray[np.generic],
    labels: NDArray[np.int64],
    object_weights: NDArray[np.float64] | None = None,
    draw_weights: NDArray[np.float64] | None = None,
) -> ClassMeans:
    """Means within each class of ``values`` (D, N, K) of N objects in D draws.

    Parameters
    ----------
    labels
        (N,) index into CLASSES.
    object_weights
        (B, N); equal weights where not given.
    draw_weights
        (B, D), or (1, D) for all alike; equal weights where not given.
    """
    draws, objects, width = values.shape
    by_object = np.ones((1, objects)) if object_weights is None else object_weights
    by_draw = np.ones((1, draws)) if draw_weights is None else draw_weights
    by_draw = by_draw / by_draw.sum(axis=1, keepdims=True)
    count = max(len(by_object), len(by_draw))

    means = np.full((count, len(CLASSES), width), np.nan)
    weights = np.zeros((count, len(CLASSES)))
    for label in np.unique(labels):
        members = labels == label
        weight = by_object[:, members]
        sums = np.tensordot(weight, values[:, members].astype(float), axes=(1, 1))  # (B, D, K)
        pooled = np.matmul(by_draw[:, None, :], sums)[:, 0]
        weights[:, label] = weight.sum(axis=1)
        occurs = weights[:, label] > 0
        means[occurs, label] = pooled[occurs] / weights[occurs, label, None]
    return ClassMeans(means, weights)


def by_sample_count(
    probabilities: NDArray[np.floating], offsets: NDArray[np.int64], n_max: int = N_SAMPLES
) -> NDArray[np.floating]:
    """Class probabilities after n = 1 .. ``n_max`` samples, (N, ``n_max``, 7).

    ``probabilities`` (M, 7) has a row an epoch, object i owning rows ``offsets[i]:offsets[i + 1]``.
    An object shorter than n keeps its last prediction, so that every n has the same objects.
    Raises ``ValueError`` where an object has no epoch.
    """
    lengths = np.diff(offsets)
    if np.any(lengths < 1):
        raise ValueError(f"object {int(np.argmin(lengths))} has no epoch and therefore no prediction")
    reached = np.minimum(np.arange(n_max), lengths[:, None] - 1)
    return probabilities[offsets[:-1, None] + reached]


def accuracy(labels: NDArray[np.int64], predicted: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of the objects that are classified rightly, (K,), for predictions (N, K)."""
    return class_means((predicted == labels[:, None])[None], labels).overall()[0]


def mean_recall(labels: NDArray[np.int64], predicted: NDArray[np.integer]) -> NDArray[np.float64]:
    """Recall averaged over the classes that occur among the labels, (K,), for predictions (N, K)."""
    return class_means((predicted == labels[:, None])[None], labels).balanced()[0]


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number of objects of each true class (row) given each class (column), (7, 7)."""
    classes = len(CLASSES)
    pairs = labels * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def log_losses(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Minus the natural logarithm of the true class's probability, (..., N), for (..., N, 7)."""
    chosen = probabilities[..., np.arange(len(labels)), labels]
    return -np.log(np.maximum(chosen.astype(float), PROBABILITY_FLOOR))


def brier_scores(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distance between the probabilities and the truth, (..., N), for (..., N, 7).

    Summed over the classes, between 0 and 2 (Brier 1950).
    """
    truth = np.eye(len(CLASSES))[labels]
    return np.sum((probabilities - truth) ** 2, axis=-1)
