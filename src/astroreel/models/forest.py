"""The random forest on features: the baseline that the network must beat (thesis 3.2.3).

The thesis's sees light-curve features alone. Here it also sees those of the difference fluxes (2.1.5) and
what is known of the host: the stronger forest on simulations.

Grown by scikit-learn, then kept as plain arrays: a bundle holds no pickle, and a prediction is a walk
of all rows down all trees at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet

# scikit-learn, light-curve and the bundle are imported where they are used: the parameters of the whole
# pipeline, read by every command, come from this module.
if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from astroreel.models.bundle import Bundle
    from astroreel.photometry.feature_set import FeatureSet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.floating]

_CHUNK = 4096
_ARRAYS = ("roots", "left", "right", "feature", "threshold", "probability")


class ForestConfig(BaseModel):
    """How a forest is grown.

    Attributes
    ----------
    n_estimators, max_depth
        The grid of the search: numbers of trees and depths (the thesis's best: 25 and 15).
    truncations
        Random shorter lengths at which each training curve is shown beside its full length, so that
        the first epochs of a curve are not unlike everything seen (thesis: 0).
    copies
        Copies of each real curve in the augmented training set (thesis 3.2.4: 100).
    images
        Whether the forest sees difference fluxes and the host too, or the light curve alone (thesis).
    seed
        Seed of the trees and of the truncations.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_estimators: tuple[PositiveInt, ...] = Field((25, 50, 100), min_length=1)
    max_depth: tuple[PositiveInt, ...] = Field((5, 10, 15, 20), min_length=1)
    truncations: int = Field(2, ge=0)
    copies: int = Field(100, ge=1)
    images: bool = True
    seed: int = Field(1, ge=0)


@dataclass(frozen=True)
class Forest:
    """Decision trees, their nodes laid end to end.

    Attributes
    ----------
    roots
        (B,) int64, the root's node of each tree.
    left, right
        (K,) int64, the node's children; a leaf is its own child.
    feature
        (K,) int64, the column that a node looks at.
    threshold
        (K,) float64; a row goes left where its value, in single precision, is not above it.
    probability
        (K, 7) float64, class probabilities of the training rows in a node.
    """

    roots: Ints
    left: Ints
    right: Ints
    feature: Ints
    threshold: Floats
    probability: Floats

    @classmethod
    def from_sklearn(cls, model: RandomForestClassifier) -> Forest:
        """The arrays of a fitted forest whose labels are positions in CLASSES."""
        trees = [estimator.tree_ for estimator in model.estimators_]
        roots = np.concatenate([[0], np.cumsum([tree.node_count for tree in trees])]).astype(np.int64)
        here = np.arange(roots[-1])
        base = np.repeat(roots[:-1], np.diff(roots))

        def children(name: str) -> Ints:
            local = np.concatenate([getattr(tree, name) for tree in trees])
            return np.where(local < 0, here, base + local)

        probability = np.zeros((len(here), len(CLASSES)))
        probability[:, model.classes_.astype(np.int64)] = np.concatenate([t.value[:, 0] for t in trees])
        return cls(
            roots=roots[:-1],
            left=children("children_left"),
            right=children("children_right"),
            feature=np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int64),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            probability=probability,
        )

    def __len__(self) -> int:
        return len(self.roots)

    def first(self, count: int) -> Forest:
        """The forest of the first ``count`` trees."""
        stop = self.roots[count] if count < len(self) else len(self.left)
        nodes = {name: getattr(self, name)[:stop] for name in _ARRAYS[1:]}
        return Forest(self.roots[:count], **nodes)

    def predict_features(self, features: Rows) -> Floats:
        """Class probabilities, (..., 7), of feature rows, (..., F)."""
        rows = features.reshape(-1, features.shape[-1]).astype(np.float32)
        result = np.empty((len(rows), len(CLASSES)))
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            result[start : start + _CHUNK] = self.probability[self._leaves(part)].mean(axis=1)
        return result.reshape(*features.shape[:-1], len(CLASSES))

    def _leaves(self, rows: NDArray[np.float32]) -> Ints:
        """The leaf of each row in each tree, (R, B)."""
        nodes = np.broadcast_to(self.roots, (len(rows), len(self)))
        while True:
            low = np.take_along_axis(rows, self.feature[nodes], axis=1) <= self.threshold[nodes]
            below = np.where(low, self.left[nodes], self.right[nodes])
            if np.array_equal(below, nodes):
                return below
            nodes = below


@dataclass(frozen=True)
class GridPoint:
    """One trial of the grid search and its accuracy on the validation rows."""

    n_estimators: int
    max_depth: int
    accuracy: float


def train_forest(
    features: Rows,
    labels: Ints,
    valid_features: Rows,
    valid_labels: Ints,
    config: ForestConfig,
    weights: Floats | None = None,
) -> tuple[Forest, list[GridPoint]]:
    """Grow the forests of the grid and keep the most accurate on the validation rows.

    Rows (R, F) with labels (R,), positions in CLASSES, and optionally a weight each; the smallest
    forest wins a tie. Returns it with the whole grid.
    """
    from astroreel.photometry.features import feature_names

    candidates = []
    if not config.images:
        features = features[:, : len(feature_names())]
    for forest, depth in _grown(features, labels, config, weights):
        for count in sorted(set(config.n_estimators)):
            trees = forest.first(count)
            predicted = trees.predict_features(valid_features).argmax(axis=1)
            accuracy = float((predicted == valid_labels).mean())
            candidates.append((trees, GridPoint(count, depth, accuracy)))
    best, _ = max(candidates, key=lambda candidate: candidate[1].accuracy)
    return best, [point for _, point in candidates]


def _grown(
    features: Rows, labels: Ints, config: ForestConfig, weights: Floats | None
) -> Iterator[tuple[Forest, int]]:
    """For each depth the largest forest: the first trees of a forest are the smaller forest."""
    from sklearn.ensemble import RandomForestClassifier

    for depth in sorted(set(config.max_depth)):
        model = RandomForestClassifier(
            max(config.n_estimators),
            max_depth=depth,
            max_samples=1.0,  # of the sum of the weights, as `augment` needs it
            random_state=config.seed,
            n_jobs=-1,
        )
        yield Forest.from_sklearn(model.fit(features, labels, sample_weight=weights)), depth


def training_rows(objects: FeatureSet, truncations: int, rng: np.random.Generator) -> tuple[Rows, Ints]:
    """Features and labels of every object whole and at ``truncations`` random shorter lengths.

    Returns ((1 + truncations) * N, F) and its labels, the whole objects first.
    """
    everyone, lengths = np.arange(len(objects)), objects.curves.lengths.clip(max=objects.features.shape[1])
    shorter = [rng.integers(1, np.maximum(lengths, 2)) for _ in range(truncations)]
    rows = [objects.features[:, -1], *(objects.features[everyone, count - 1] for count in shorter)]
    return np.concatenate(rows), np.tile(objects.labels, 1 + truncations)


def augment(
    features: Rows, labels: Ints, real_features: Rows, real_labels: Ints, copies: int
) -> tuple[Rows, Ints, Floats]:
    """The augmented training set of thesis 3.2.4: rows, labels and weights, a real row's ``copies``.

    A weight instead of copies is the same in distribution: scikit-learn draws the rows of each tree with
    probabilities proportional to their weights and, with ``max_samples=1.0``, as many as the weights'
    sum, which is what it would draw from the copies.
    """
    weights = np.concatenate([np.ones(len(features)), np.full(len(real_features), float(copies))])
    return np.concatenate([features, real_features]), np.concatenate([labels, real_labels]), weights


@dataclass(frozen=True)
class ForestClassifier:
    """A forest as a `Classifier`: photometry, features of every beginning of a sequence, trees.

    Attributes
    ----------
    forest
        Its columns are those of `column_names`.
    preparation
        Where its fluxes refer to; beyond ``max_epochs`` a prediction stays as it is.
    temperature
        What the logarithms of the probabilities are divided by.
    """

    forest: Forest
    preparation: Preparation
    temperature: float = 1.0

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> ForestClassifier:
        """Raises `UserError` where the bundle is no forest on the features of this version."""
        from astroreel.photometry.measurement import column_names

        if bundle.kind != "forest":
            raise UserError(f"bundle {bundle.digest[:12]}: kind {bundle.kind}: expected forest")
        if bundle.architecture != _architecture(column_names()):
            raise UserError(
                f"bundle {bundle.digest[:12]}: architecture.json: made for other features than this"
                " version computes: train the forest anew"
            )
        if set(bundle.weights) != set(_ARRAYS):
            raise UserError(
                f"bundle {bundle.digest[:12]}: weights {sorted(bundle.weights)}: expected {sorted(_ARRAYS)}"
            )
        return cls(Forest(**bundle.weights), bundle.preparation, bundle.temperature)

    def save(self, path: Path) -> str:
        """Write the bundle to the folder ``path`` and return its digest; raises as `save_bundle`."""
        from astroreel.models.bundle import save_bundle
        from astroreel.photometry.measurement import column_names

        return save_bundle(
            path,
            kind="forest",
            weights={name: getattr(self.forest, name) for name in _ARRAYS},
            architecture=_architecture(column_names()),
            preparation=self.preparation,
            temperature=self.temperature,
        )

    def predict(self, sequences: SequenceSet) -> Floats:
        """Class probabilities after every epoch, (M, 7), rows aligned with ``sequences.epochs``."""
        from astroreel.photometry.measurement import measured_by_epoch
        from astroreel.photometry.optimal import photometry

        curves = photometry(sequences, self.preparation)
        longest = min(int(max(curves.lengths, default=0)), self.preparation.max_epochs)
        table = self.predict_features(measured_by_epoch(sequences, curves, self.preparation, longest))
        return table[curves.owner, np.minimum(curves.position, longest - 1)]

    def predict_features(self, features: Rows) -> Floats:
        """Class probabilities, (..., 7), of feature rows, (..., F), none of them 0.

        As if one tree more had no opinion, before the temperature: no finite number of trees is certain.
        """
        trees = len(self.forest)
        probability = (trees * self.forest.predict_features(features) + 1.0 / len(CLASSES)) / (trees + 1)
        tempered = probability ** (1.0 / self.temperature)
        return tempered / tempered.sum(axis=-1, keepdims=True)


def _architecture(names: tuple[str, ...]) -> dict[str, Any]:
    return {"features": list(names), "classes": list(CLASSES)}
