"""Models taught with shuffled labels: what they get right, they get right by chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astroreel.models.forest import ForestConfig, Rows, train_forest
from astroreel.models.inference import predict_logits
from astroreel.models.networks import build
from astroreel.sequences.prepare import Prepared
from astroreel.training.config import FinetuneConfig
from astroreel.training.few_shot import FewShot
from astroreel.training.finetune import finetune
from astroreel.training.reporter import NullReporter

Ints = NDArray[np.int64]


def shuffle(labels: Ints, rng: np.random.Generator) -> Ints:
    """The same labels (N,) in random order."""
    return rng.permutation(labels)


def shuffle_shots(few: FewShot, which: Ints, rng: np.random.Generator) -> FewShot:
    """The same with the labels of the objects ``which`` shuffled among them."""
    labels = few.measured.labels.copy()
    labels[which] = shuffle(labels[which], rng)
    return replace(
        few, target=replace(few.target, labels=labels), measured=replace(few.measured, labels=labels)
    )


def network_of_shuffled(
    architecture: Mapping[str, Any],
    train: Prepared,
    test: Prepared,
    config: FinetuneConfig,
    seed: tuple[int, ...],
) -> Ints:
    """The last classes (N,) that a network says of ``test``, trained from nothing on shuffled labels.

    Of ``config`` all is read but what is replayed: nothing is.
    """
    rng = np.random.default_rng(seed)
    first_weights, batches = (int(number) for number in rng.integers(2**31, size=2))
    network = build(architecture, first_weights)
    shuffled = replace(train, labels=shuffle(train.labels, rng))
    alone = config.model_copy(update={"replay": 0, "device": "cpu"})
    finetune(network, shuffled, shuffled, alone, batches, NullReporter())
    logits = predict_logits(network, test, torch.device("cpu"))
    return np.asarray(logits[np.arange(len(test)), test.mask.sum(axis=1) - 1].argmax(axis=1))


def forest_of_shuffled(
    features: Rows, labels: Ints, test: Rows, config: ForestConfig, seed: tuple[int, ...]
) -> Ints:
    """The classes (N,) that a forest says of rows ``test``, grown on rows with shuffled labels.

    Of the grid of ``config`` the first point is taken, for there is nothing to choose by.
    """
    rng = np.random.default_rng(seed)
    grid = {"n_estimators": config.n_estimators[:1], "max_depth": config.max_depth[:1]}
    first = config.model_copy(update={**grid, "seed": int(rng.integers(2**31))})
    shuffled = shuffle(labels, rng)
    forest, _ = train_forest(features, shuffled, features[:1], shuffled[:1], first)
    return np.asarray(forest.predict_features(test).argmax(axis=1))
