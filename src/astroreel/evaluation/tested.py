"""A set of objects under test: what bundles and baselines say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from astroreel.evaluation.metrics import N_SAMPLES, by_sample_count
from astroreel.evaluation.predictions import Domain, Objects, Predictions, Stage
from astroreel.models.baselines import FittedBaseline
from astroreel.models.bundle import load_bundle
from astroreel.models.forest import ForestClassifier
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import TRANSIENT


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
    detections
        (N,) sample at which a supernova is first detected; -1 for none.
    """

    domain: Domain
    sequences: SequenceSet
    features: FeatureSet
    detections: NDArray[np.int64]

    @classmethod
    def simulated(cls, domain: Domain, sequences: SequenceSet, features: FeatureSet) -> Tested:
        """A simulated set, whose truth tells the detections; raises ``ValueError`` without it."""
        if sequences.truth is None:
            raise ValueError("a simulated set without its truth")
        detections = np.where(sequences.labels == TRANSIENT, sequences.truth["alert"], -1)
        return cls(domain, sequences, features, detections)

    def __len__(self) -> int:
        return len(self.sequences)

    def select(self, which: NDArray[np.int64]) -> Tested:
        """The objects named by indices."""
        return Tested(
            self.domain, self.sequences.select(which), self.features.select(which), self.detections[which]
        )

    def rcnn(self, bundle: Path, stage: Stage, **piece: int) -> Predictions:
        """What the RCNN in ``bundle`` says; ``piece`` names the draw and the fold."""
        rows = RcnnClassifier.from_bundle(load_bundle(bundle)).predict(self.sequences)
        return self._table("rcnn", by_sample_count(rows, self.sequences.offsets), stage, **piece)

    def forest(self, bundle: Path, stage: Stage, **piece: int) -> Predictions:
        """What the forest in ``bundle`` says."""
        classifier = ForestClassifier.from_bundle(load_bundle(bundle))
        return self._table("forest", classifier.predict_features(self.features.features), stage, **piece)

    def baseline(self, name: str, fitted: FittedBaseline, **piece: int) -> Predictions:
        """What a baseline that has seen a few labels says."""
        growing = (self.features.first(n) for n in range(1, N_SAMPLES + 1))
        table = np.stack([fitted.predict_proba(known) for known in growing], axis=1)
        return self._table(name, table, "fine_tuned", **piece)

    def _table(
        self, model: str, probabilities: NDArray[np.floating], stage: Stage, **piece: int
    ) -> Predictions:
        """Predictions from probabilities after each number of samples, (N, 22, 7)."""
        objects = Objects.of(self.sequences, self.detections)
        return Predictions(model, stage, self.domain, objects, probabilities, **piece)
