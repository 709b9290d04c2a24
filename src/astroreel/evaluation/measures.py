"""Two measures that a model's leaves and a comparison of two models share."""

from __future__ import annotations

import numpy as np

from astroreel.evaluation.bootstrap import Measurement, Resampling, measure
from astroreel.evaluation.metrics import N_SAMPLES, brier_scores, log_losses
from astroreel.evaluation.predictions import Objects, Trials

#: Fewest supernovae that a recall is given of.
_FEWEST = 10


def measure_scores(trials: Trials, objects: Objects, resampling: Resampling) -> Measurement:
    """Log loss and Brier score after the last sample."""
    scores = [log_losses(objects.labels, trials.final), brier_scores(objects.labels, trials.final)]
    return measure(np.stack(scores, axis=-1), objects.labels, resampling)


def measure_since_detection(
    trials: Trials, objects: Objects, epoch: int, resampling: Resampling
) -> Measurement | None:
    """Hits on supernovae ``epoch`` epochs after their first detection, while they are still seen.

    None where fewer than ten are.
    """
    sample = objects.detections + epoch
    seen = (objects.detections >= 0) & (sample < np.minimum(objects.lengths, N_SAMPLES))
    members = np.flatnonzero(seen)
    if len(members) < _FEWEST:
        return None
    labels = objects.labels[members]
    hits = trials.predicted[:, members, sample[members]] == labels
    return measure(hits[:, :, None], labels, resampling, members)
