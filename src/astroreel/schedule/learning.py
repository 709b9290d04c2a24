"""Fine-tuning on all labels, from the better of two parents: the pretrained model and the champion.

Which is better is asked of fields that neither has learned from, never of the hold-out: these are parted into
two halves; each parent is fine-tuned without the one and measured on it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from astroreel.errors import UserError
from astroreel.evaluation.metrics import log_losses
from astroreel.models.bundle import load_bundle
from astroreel.models.inference import predict_logits
from astroreel.models.rcnn import RcnnClassifier
from astroreel.parallel import ordered_map
from astroreel.parameters import Parameters
from astroreel.photometry.detection import first_detection
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.optimal import photometry
from astroreel.sequences.file import read_folder
from astroreel.sequences.prepare import Prepared, prepare
from astroreel.sequences.split import cut, good_seeing, windows
from astroreel.training.few_shot import FewShot, few_shot_on
from astroreel.training.reporter import NullReporter, Reporter

#: Parts of the new fields; each is measured by models that have not seen it.
HALVES = 2

Mask = NDArray[np.bool_]


class OverBudget(UserError):
    """Fine-tuning would take longer than it may."""


@dataclass(frozen=True)
class Learner:
    """What a pass learns with; goes to another process as paths and reads there what it needs.

    Attributes
    ----------
    root
        The project, with the data and models that its pipeline made.
    labelled
        The folder of labelled files, as it was versioned.
    parameters
        Of the project.
    new
        The fields that no parent has learned from.
    parents
        The bundle that each parent is, by its name.
    deadline
        Time [s since 1970] at which fine-tuning is given up.
    """

    root: Path
    labelled: Path
    parameters: Parameters
    new: frozenset[str]
    parents: Mapping[str, Path]
    deadline: float = np.inf

    def compare(self) -> dict[str, float]:
        """Each parent's loss on new fields, once fine-tuned on the others; empty with nothing to compare.

        Raises as `train`.
        """
        if len(self.parents) < 2 or {half_of(one) for one in self.new} != set(range(HALVES)):
            return {}
        halves = [half for half in range(HALVES) if self._members(half).any()]
        if len(halves) < HALVES:
            return {}
        jobs = [(name, half) for name in self.parents for half in halves]
        address = self.parameters.schedule.address
        # Another machine gets a copy without what has been read, and reads it by itself.
        away = replace(self)._losses
        done = ordered_map(away, jobs, address=address) if address else map(self._losses, jobs)
        losses: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self.parents}
        for (name, _), found in zip(jobs, done, strict=True):
            losses[name].append(found)
        labels = np.concatenate([self.shots.target.labels[self._members(half)] for half in halves])
        return {name: _balanced(np.concatenate(parts), labels) for name, parts in losses.items()}

    def train(self, parent: str, folder: Path, reporter: Reporter) -> None:
        """Write the bundles ``folder/rcnn`` and ``folder/forest``, made with all labels.

        Raises `UserError` where the pipeline has not been run or the labels do not suffice, `OverBudget` at
        the deadline.
        """
        everything = np.arange(len(self.shots.target.labels))
        self._tuned(parent, everything, reporter).to_bundle(folder / "rcnn")
        self.shots.grown_forest(everything, seed=0).save(folder / "forest")

    @property
    def shots(self) -> FewShot:
        """The labelled sequences, cut as the target's are, with what is mixed into the fine-tuning."""
        return self._material[0]

    @cached_property
    def _material(self) -> tuple[FewShot, NDArray[np.str_]]:
        """The same, and the field of each labelled object."""
        parameters = self.parameters
        preparation, config = parameters.preparation, parameters.split
        sequences = good_seeing(read_folder(self.labelled), config)
        alerts = first_detection(photometry(sequences, preparation), sequences.epochs["seeing"])
        used = cut(sequences, windows(sequences, alerts, config, np.random.default_rng(config.seed)), config)
        trust = np.nan_to_num(used.objects["label_confidence"].astype(np.float64), nan=1.0)
        measured = FeatureSet.of(used, preparation)
        shots = few_shot_on(self.root, parameters, prepare(used, preparation), measured, trust)
        return shots, used.objects["field"]

    def _losses(self, job: tuple[str, int]) -> NDArray[np.float64]:
        """Losses of the half's objects, by a parent fine-tuned on all others."""
        parent, half = job
        members = self._members(half)
        classifier = self._tuned(parent, np.flatnonzero(~members), NullReporter())
        target = self.shots.target.select(members)
        return log_losses(target.labels, _answers(classifier, target))

    def _tuned(self, parent: str, which: NDArray[np.int64], reporter: Reporter) -> RcnnClassifier:
        shots = replace(self.shots, pretrained=load_bundle(self.parents[parent]))
        return shots.rcnn(which, seed=0, reporter=reporter, progress=self._within_budget)

    def _members(self, half: int) -> Mask:
        """Which labelled objects lie in new fields that fall into a half."""
        return np.isin(self._material[1], [one for one in self.new if half_of(one) == half])

    def _within_budget(self, done: int, total: int) -> None:
        if time.time() > self.deadline:
            raise OverBudget(
                f"schedule.minutes: {self.parameters.schedule.minutes:g} min were over after {done} of "
                f"{total} iterations: allow more, or set finetune.iterations lower"
            )


def half_of(sky_field: str) -> int:
    """The half that a field falls into, always the same."""
    return hashlib.sha256(sky_field.encode()).digest()[0] % HALVES


def better(losses: Mapping[str, float]) -> str:
    """The parent of the lower loss; the pretrained one where nothing was compared, or they are equal."""
    return min(losses, key=lambda name: (losses[name], name != "pretrained"), default="pretrained")


def _answers(classifier: RcnnClassifier, target: Prepared) -> NDArray[np.float64]:
    """Class probabilities after the last epochs, (N, 7)."""
    device = next(classifier.network.parameters()).device
    logits = predict_logits(classifier.network, target, device, batch_size=len(target.labels))
    last = logits[np.arange(len(logits)), target.mask.sum(axis=1) - 1]
    return softmax(last.astype(np.float64) / classifier.temperature, axis=1)


def _balanced(losses: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean over the classes of the mean loss of each."""
    return float(np.mean([losses[labels == label].mean() for label in np.unique(labels)]))
