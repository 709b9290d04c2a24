"""The learning curves of a training, from its run record."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from astroreel.evaluation.illustrations import LearningCurve
from astroreel.training.reporter import read_spool

#: Metric of a training: quantity and name of its learning curve.
_CURVES = {
    "train_loss": ("loss", "training"),
    "valid_loss": ("loss", "validation"),
    "valid_accuracy": ("accuracy", "validation"),
}


def read_learning_curves(run: Path) -> list[LearningCurve]:
    """The curves in the run record ``run``."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for figure in read_spool(run).figures:
        points[figure.name].append((figure.step, figure.value))
    return [
        LearningCurve(quantity, name, *(np.array(column) for column in zip(*points[metric], strict=True)))
        for metric, (quantity, name) in _CURVES.items()
        if points[metric]
    ]
