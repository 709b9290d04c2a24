"""The forest's confidence mended as the network's is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from astroreel.models.forest import ForestClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.training.calibrate import fit_temperature


def calibrated(forest: ForestClassifier, valid: FeatureSet) -> ForestClassifier:
    """The forest with the temperature that suits simulated objects which it has not seen."""
    probability = replace(forest, temperature=1.0).predict_features(valid.features[:, -1])
    return replace(forest, temperature=fit_temperature(np.log(probability), valid.labels))
