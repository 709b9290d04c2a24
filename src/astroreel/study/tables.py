"""What models say of the target and of the simulated test set, measured as the pipeline measures it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Measurement, Resampling, difference, measure
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import N_SAMPLES, ClassMeans, by_sample_count
from astroreel.evaluation.paired import paired
from astroreel.evaluation.predictions import Objects, Predictions, Stage, gather, objects_of
from astroreel.evaluation.protocol import evaluate
from astroreel.evaluation.tested import Tested
from astroreel.models.classifier import Classifier
from astroreel.models.forest import ForestClassifier
from astroreel.study.bench import Bench

Floats = NDArray[np.floating]


def probabilities(classifier: Classifier, objects: Tested) -> NDArray[np.float32]:
    """Class probabilities after each number of samples, (N, 22, 7)."""
    if not len(objects):
        return np.empty((0, N_SAMPLES, len(CLASSES)), np.float32)
    if isinstance(classifier, ForestClassifier):  # its features are known
        return classifier.predict_features(objects.features.features).astype(np.float32)
    rows = classifier.predict(objects.sequences)
    return by_sample_count(rows, objects.sequences.offsets).astype(np.float32)


def said(
    bench: Bench, model: str, stage: Stage, table: Floats, draw: int | None = None, fold: int | None = None
) -> Predictions:
    """A table (N, 22, 7) as predictions of the target's objects in ``fold`` (None: of all)."""
    part = bench.target.select(bench.members(fold))
    objects = Objects.of(part.sequences, part.detections)
    return Predictions(model, stage, bench.domain, objects, table, draw, fold)


class TargetTable:
    """Several models on the target, at one stage; not for a target without objects."""

    def __init__(self, bench: Bench, predictions: Iterable[Predictions]) -> None:
        groups: dict[str, list[Predictions]] = defaultdict(list)
        for one in predictions:
            groups[one.model].append(one)
        self._bench, self._groups = bench, groups
        config = bench.parameters.evaluate
        self._objects = objects_of(next(iter(groups.values())))
        rng = np.random.default_rng(config.seed)
        self._resampling = Resampling(self._objects.fields, config.resamples, rng)
        self._trials = {model: gather(group, self._objects) for model, group in groups.items()}

    def leaves(self) -> dict[str, Any]:
        """The protocol's leaves of each model."""
        everything = [one for group in self._groups.values() for one in group]
        parameters = self._bench.parameters
        measured = evaluate(everything, parameters.source.target, parameters.evaluate).metrics
        tree = {
            model: dict(measured[self._bench.domain][model][everything[0].stage]) for model in self._groups
        }
        for leaves in tree.values():
            leaves.pop("rcnn_lead", None)  # `lead` says more
        return tree

    def lead(self, first: str, second: str) -> dict[str, Any]:
        """The model ``first`` minus ``second`` in every measure, see `paired`."""
        return paired(self._trials[first], self._trials[second], self._objects, self._resampling)


class SimulatedTable:
    """Accuracies on the simulated test set after the last sample."""

    def __init__(self, bench: Bench) -> None:
        config = bench.parameters.evaluate
        self._labels = bench.test.features.labels
        rng = np.random.default_rng(config.seed)
        self._resampling = Resampling(np.arange(len(self._labels)), config.resamples, rng)

    def accuracy(self, tables: Sequence[Floats]) -> Estimate:
        """That of one model, its probabilities (N, 7) being given for each draw."""
        return self._hits(tables).estimates(ClassMeans.overall)[0]

    def gain(self, tables: Sequence[Floats], before: Sequence[Floats]) -> Estimate:
        """By how much one model is more accurate than another."""
        return difference(self._hits(tables), self._hits(before), ClassMeans.overall)[0]

    def _hits(self, tables: Sequence[Floats]) -> Measurement:
        hits = np.stack([table.argmax(axis=1) == self._labels for table in tables])
        return measure(hits[:, :, None], self._labels, self._resampling)
