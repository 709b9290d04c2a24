"""What a few real sequences of each class make of both models (thesis 3.2.4).

The RCNN is fine-tuned; the forest's counterpart is grown anew on the simulated curves and 100 copies of
each real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astroreel.models.bundle import Bundle
from astroreel.models.forest import (
    Floats,
    ForestClassifier,
    ForestConfig,
    Ints,
    augment,
    train_forest,
    training_rows,
)
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.prepare import Prepared, PreparedSet
from astroreel.training.config import FinetuneConfig
from astroreel.training.finetune import finetune
from astroreel.training.reporter import Reporter


@dataclass(frozen=True)
class FewShot:
    """What the models of all draws and folds start from.

    Attributes
    ----------
    pretrained
        The RCNN's bundle, trained on simulated sequences.
    rows
        The forest's simulated training rows and their labels.
    simulated
        Simulated sequences, mixed into the fine-tuning.
    valid
        Simulated objects on which the forest's size is chosen.
    target, measured
        The labelled real sequences and their light curves, in one order.
    finetune, forest
        Parameters; of the forest's grid what was chosen before.
    """

    pretrained: Bundle
    rows: tuple[Floats, Ints]
    simulated: PreparedSet
    valid: FeatureSet
    target: Prepared
    measured: FeatureSet
    finetune: FinetuneConfig
    forest: ForestConfig

    def train(self, folder: Path, shots: list[str], seed: int, reporter: Reporter) -> None:
        """Write the bundles ``folder/rcnn`` and ``folder/forest``, made with the objects named ``shots``.

        ``seed`` makes the random draws of this pair its own. Raises as `finetune` and `save_bundle`.
        """
        which = self.measured.indices(shots)
        self._rcnn(which, seed, reporter).to_bundle(folder / "rcnn")
        self._forest(self.measured.select(which), seed).save(folder / "forest")

    def _rcnn(self, which: Ints, seed: int, reporter: Reporter) -> RcnnClassifier:
        classifier = RcnnClassifier.from_bundle(self.pretrained)
        finetune(classifier.network, self.target.select(which), self.simulated, self.finetune, seed, reporter)
        return classifier

    def _forest(self, real: FeatureSet, seed: int) -> ForestClassifier:
        rng = np.random.default_rng((self.forest.seed, seed))
        added = training_rows(real.curves, real.labels, self.forest.truncations, rng)
        features, labels, weights = augment(*self.rows, *added, self.forest.copies)
        config = self.forest.model_copy(update={"seed": self.forest.seed + seed})
        grown, _ = train_forest(
            features, labels, self.valid.features[:, -1], self.valid.labels, config, weights
        )
        return ForestClassifier(grown, self.pretrained.preparation)
