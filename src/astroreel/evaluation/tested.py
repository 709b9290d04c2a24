"""A set of objects under test: what bundles and baselines say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from astroreel.evaluation.metrics import N_SAMPLES
from astroreel.evaluation.predictions import Domain, Predictions, Stage
from astroreel.models.baselines import FittedBaseline
from astroreel.models.bundle import load_bundle
from astroreel.models.forest import ForestClassifier
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.record import SequenceSet


@dataclass(frozen=True)
class Tested:
    """One set of N objects.

    Attributes
    ----------
    domain
        Where the objects come from.
    sequences
        Their sequences, which the RCNN reads.
    features
        Their light curves and features, which the forest and the baselines read.
    """

    domain: Domain
    sequences: SequenceSet
    features: FeatureSet

    def select(self, which: NDArray[np.int64]) -> Tested:
        """The objects named by indices."""
        measured = self.features
        chosen = FeatureSet(
            measured.names[which],
            measured.labels[which],
            measured.curves.select(which),
            measured.features[which],
        )
        return Tested(self.domain, self.sequences.select(which), chosen)

    def rcnn(self, bundle: Path, stage: Stage, **piece: int) -> Predictions:
        """What the RCNN in ``bundle`` says; ``piece`` names the draw and the fold."""
        rows = RcnnClassifier.from_bundle(load_bundle(bundle)).predict(self.sequences)
        return Predictions.of(self.sequences, rows, model="rcnn", stage=stage, domain=self.domain, **piece)

    def forest(self, bundle: Path, stage: Stage, **piece: int) -> Predictions:
        """What the forest in ``bundle`` says."""
        classifier = ForestClassifier.from_bundle(load_bundle(bundle))
        return self._table("forest", classifier.predict_features(self.features.features), stage, **piece)

    def baseline(self, name: str, fitted: FittedBaseline, **piece: int) -> Predictions:
        """What a baseline that has seen a few labels says."""
        growing = [self.features.curves.first(n) for n in range(1, N_SAMPLES + 1)]
        table = np.stack([fitted.predict_proba(curves) for curves in growing], axis=1)
        return self._table(name, table, "fine_tuned", **piece)

    def _table(
        self, model: str, probabilities: NDArray[np.float64], stage: Stage, **piece: int
    ) -> Predictions:
        """Predictions from probabilities after each number of samples, (N, 22, 7)."""
        return Predictions(
            model=model,
            stage=stage,
            domain=self.domain,
            probabilities=probabilities,
            names=self.sequences.objects["name"],
            fields=self.sequences.objects["field"],
            labels=self.features.labels,
            **piece,
        )
