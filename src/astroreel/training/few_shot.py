"""What a few real sequences of each class make of both models (thesis 3.2.4).

The RCNN is fine-tuned; the forest's counterpart is grown anew on the simulated curves and 100 copies of
each real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astroreel.files import read_json
from astroreel.models.bundle import Bundle, load_bundle
from astroreel.models.forest import (
    Floats,
    ForestClassifier,
    ForestConfig,
    Ints,
    Rows,
    augment,
    train_forest,
    training_rows,
)
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.file import read_folder
from astroreel.sequences.prepare import LazyPrepared, Prepared, PreparedSet, prepare
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store
from astroreel.training.calibrate_forest import calibrated
from astroreel.training.config import FinetuneConfig
from astroreel.training.finetune import finetune
from astroreel.training.loop import Progress
from astroreel.training.reporter import Reporter

if TYPE_CHECKING:  # every command reads it, without what training needs
    from astroreel.parameters import Parameters


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
    trust
        (N,) confidence of each label of ``target``: how often the RCNN sees it; None: all alike.
    """

    pretrained: Bundle
    rows: tuple[Rows, Ints]
    simulated: PreparedSet
    valid: FeatureSet
    target: Prepared
    measured: FeatureSet
    finetune: FinetuneConfig
    forest: ForestConfig
    trust: Floats | None = None

    def train(self, folder: Path, shots: list[str], seed: int, reporter: Reporter) -> None:
        """Write the bundles ``folder/rcnn`` and ``folder/forest``, made with the objects named ``shots``.

        ``seed`` makes the random draws of this pair its own. Raises as `finetune` and `save_bundle`.
        """
        which = self.measured.indices(shots)
        self.rcnn(which, seed, reporter).to_bundle(folder / "rcnn")
        self.grown_forest(which, seed).save(folder / "forest")

    def rcnn(
        self, which: Ints, seed: int, reporter: Reporter, progress: Progress | None = None
    ) -> RcnnClassifier:
        """The RCNN fine-tuned with the objects ``which`` of ``target``; raises as `finetune`."""
        classifier = RcnnClassifier.from_bundle(self.pretrained)
        trust = None if self.trust is None else self.trust[which]
        real = self.target.select(which)
        finetune(classifier.network, real, self.simulated, self.finetune, seed, reporter, progress, trust)
        return classifier

    def grown_forest(self, which: Ints, seed: int) -> ForestClassifier:
        """The forest grown with the objects ``which`` of ``measured`` beside the simulated ones."""
        real = self.measured.select(which)
        rng = np.random.default_rng((self.forest.seed, seed))
        added = training_rows(real, self.forest.truncations, rng)
        features, labels, weights = augment(*self.rows, *added, self.forest.copies)
        config = self.forest.model_copy(update={"seed": self.forest.seed + seed})
        grown, _ = train_forest(
            features, labels, self.valid.features[:, -1], self.valid.labels, config, weights
        )
        return calibrated(ForestClassifier(grown, self.pretrained.preparation), self.valid)


def load_few_shot(root: Path, parameters: Parameters, split: Split) -> FewShot:
    """What the pipeline in the folder ``root`` fine-tunes from, once it has trained on simulations.

    Raises `UserError` where it has not.
    """
    target = cut(read_folder(root / "data" / "target"), split, parameters.split)
    measured = FeatureSet.load(root / "data" / "features" / "target.npz")
    return few_shot_on(root, parameters, prepare(target, parameters.preparation), measured)


def few_shot_on(
    root: Path, parameters: Parameters, target: Prepared, measured: FeatureSet, trust: Floats | None = None
) -> FewShot:
    """The same with other labelled sequences, and how far each label is trusted; raises likewise."""
    data, models = root / "data", root / "models"
    preparation, config = parameters.preparation, parameters.forest
    train, valid = (FeatureSet.load(data / "features" / f"{name}.npz") for name in ("train", "valid"))
    rng = np.random.default_rng(config.seed)
    best = read_json(models / "forest_grid.json")["best"]
    chosen = {"n_estimators": (best["n_estimators"],), "max_depth": (best["max_depth"],)}
    return FewShot(
        pretrained=load_bundle(models / "pretrained"),
        rows=training_rows(train, config.truncations, rng),
        simulated=LazyPrepared(load_store(data / "simulated" / "train"), preparation),
        valid=valid,
        target=target,
        measured=measured,
        finetune=parameters.finetune,
        forest=config.model_copy(update=chosen),
        trust=trust,
    )
