"""Trivial baselines: what can be had without looking at how a flux varies, from the few labels alone.

The real supernovae are fainter than nearly everything else, and the classes differ in how often they
were observed; a result means something only beside what such accidents give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.photometry.curves import LightCurves

if TYPE_CHECKING:  # both load what reading a baseline's name does not need
    from sklearn.base import ClassifierMixin

    from astroreel.photometry.feature_set import FeatureSet

#: Images of an object that the longest test takes in (thesis 3.2.1: N_d = 22).
_EPOCHS = 22

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline that has seen its labels."""

    describe: Callable[[FeatureSet], Floats]
    model: ClassifierMixin

    def predict_proba(self, objects: FeatureSet) -> Floats:
        """Class probabilities, (N, 7), 0 for classes without a label."""
        probability = np.zeros((len(objects), len(CLASSES)))
        if len(objects):
            probability[:, self.model.classes_] = self.model.predict_proba(self.describe(objects))
        return probability


@dataclass(frozen=True)
class Baseline:
    """What a baseline looks at, (N, columns), and what learns from it, given a seed."""

    describe: Callable[[FeatureSet], Floats]
    learner: Callable[[int], ClassifierMixin]

    def fit(self, objects: FeatureSet, seed: int) -> FittedBaseline:
        """Learn from labelled objects."""
        return FittedBaseline(self.describe, self.learner(seed).fit(self.describe(objects), objects.labels))


def baselines() -> dict[str, Baseline]:
    """The baselines by name.

    ``few_real_forest`` has the forest's features; ``two_numbers`` the median flux and the scatter
    relative to it; ``magnitude`` the median flux; ``epoch_count`` the number of epochs; ``cadence``
    when they were; ``border`` the texture of the noise at the stamps' rim.
    """
    return {
        "few_real_forest": Baseline(_features, _forest),
        "two_numbers": Baseline(_two_numbers, _logistic_regression),
        "magnitude": Baseline(_magnitude, _forest),
        "epoch_count": Baseline(_epoch_count, _forest),
        "cadence": Baseline(_cadence, _forest),
        "border": Baseline(_border, _forest),
    }


def _features(objects: FeatureSet) -> Floats:
    return objects.features[:, -1].astype(np.float64)


def _two_numbers(objects: FeatureSet) -> Floats:
    flux = _flux(objects.curves)
    spread = np.nanmedian(np.abs(flux - np.nanmedian(flux, axis=1, keepdims=True)), axis=1)
    brightness = np.maximum(np.abs(np.nanmedian(flux, axis=1)), 1.0)
    return np.stack([_magnitude(objects)[:, 0], np.log10(spread / brightness + 1e-4)], axis=1)


def _magnitude(objects: FeatureSet) -> Floats:
    """Inverse hyperbolic sine of the median flux: a magnitude that faint and negative fluxes have too."""
    return np.arcsinh(np.nanmedian(_flux(objects.curves), axis=1, keepdims=True) / 100.0)


def _epoch_count(objects: FeatureSet) -> Floats:
    return objects.curves.lengths[:, None].astype(np.float64)


def _cadence(objects: FeatureSet) -> Floats:
    """Days since the first image, (N, 22), -1 beyond the end."""
    curves = objects.curves.first(_EPOCHS)
    table = np.full((len(curves), _EPOCHS), -1.0)
    table[curves.owner, curves.position] = curves.mjd - curves.mjd[curves.offsets[curves.owner]]
    return table


def _border(objects: FeatureSet) -> Floats:
    return objects.border[:, -1].astype(np.float64)


def _flux(curves: LightCurves) -> Floats:
    """Fluxes (N, T), NaN where there is none; 0 at the first epoch of a curve without any."""
    flux = curves.padded(curves.flux)
    flux[np.isnan(flux).all(axis=1), :1] = 0.0
    return flux


def _forest(seed: int) -> ClassifierMixin:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, random_state=seed)


def _logistic_regression(seed: int) -> ClassifierMixin:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=1000, random_state=seed))
