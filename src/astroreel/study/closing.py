"""Ways to close the gap between simulations and the sky that leave the networks as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.metrics import PROBABILITY_FLOOR
from astroreel.models.classifier import Classifier
from astroreel.sequences.record import SequenceSet

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

#: The positions of a square: transposed or not, mirrored in either axis or not.
SYMMETRIES = tuple((bool(code & 4), bool(code & 2), bool(code & 1)) for code in range(8))

_STEPS = 100  # of the estimation of priors, which converges within a few dozens


def symmetric(classifier: Classifier, sequences: SequenceSet) -> NDArray[np.float64]:
    """Mean class probabilities over the eight positions of every stamp, (M, 7): eight times the work."""
    stamps = np.asarray(sequences.stamps)
    total = np.zeros((len(stamps), len(CLASSES)))
    for transposed, *mirrored in SYMMETRIES:
        turned = stamps.swapaxes(1, 2) if transposed else stamps
        axes = tuple(axis for axis, chosen in zip((1, 2), mirrored, strict=True) if chosen)
        turned = np.ascontiguousarray(np.flip(turned, axes))
        total += classifier.predict(replace(sequences, stamps=turned))
    return total / len(SYMMETRIES)


def pooled(tables: Sequence[Floats]) -> Floats:
    """Probabilities (..., 7) of several models together: their geometric mean, made to sum to 1."""
    logarithms = [np.log(np.maximum(table, PROBABILITY_FLOOR)) for table in tables]
    product = np.exp(np.mean(logarithms, axis=0))
    return product / product.sum(axis=-1, keepdims=True)


def class_shares(probabilities: Floats, trained: Floats) -> Floats:
    """Shares of the classes among N unlabelled objects, (7,), by expectation and maximisation.

    Source: Saerens, Latinne and Decaestecker 2002, Neural Computation 14, 21.

    Parameters
    ----------
    probabilities
        (N, 7), of a model trained with the class shares ``trained`` (7,).
    """
    shares = np.asarray(trained, dtype=float)
    for _ in range(_STEPS):
        shares = with_shares(probabilities, trained, shares).mean(axis=0)
    return shares


def with_shares(probabilities: Floats, trained: Floats, shares: Floats) -> Floats:
    """Probabilities (..., 7) as if the model had been trained with ``shares`` and not ``trained``, (7,)."""
    scaled = probabilities * (shares / trained)
    return scaled / scaled.sum(axis=-1, keepdims=True)


def surest(probabilities: Floats, count: int) -> tuple[Ints, Ints]:
    """The objects of which a model is surest, at most ``count`` of each class it gives, and these classes.

    Alike in every class, lest the common ones drown the rare (Zou et al. 2018, ECCV 11207, 297).

    Parameters
    ----------
    probabilities
        (N, 7).
    """
    given, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    chosen = np.concatenate([order[given[order] == label][:count] for label in range(len(CLASSES))])
    return chosen, given[chosen]
