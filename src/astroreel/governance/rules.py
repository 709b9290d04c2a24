"""The rules of the gate, each a measured value held against a threshold of the policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.calibration import calibration_error
from astroreel.governance.policy import Policy
from astroreel.governance.statistics import (
    DIFFERENCES,
    HITS,
    Arrangement,
    Bounds,
    balanced_mean,
    jackknife,
    power,
)

Outcome = Literal["passed", "failed", "inconclusive", "skipped"]

FORGETTING = "simulated accuracy minus the parent's"

_SEED = 1


@dataclass(frozen=True)
class Rule:
    """One rule's outcome.

    Attributes
    ----------
    name
        What is measured.
    outcome
        ``skipped`` where there is nothing to compare with.
    value, low, high
        The measured value and its bounds; None where nothing was measured or has no bounds.
    threshold
        Of the policy, and whether the value must be ``at_least`` or at most that.
    n
        Number of objects it was measured on.
    power
        Chance to pass of a version that is better than the threshold by the policy's ``power_at``.
    note
        What else is to be said: with what it was compared, which class.
    """

    name: str
    outcome: Outcome
    threshold: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    at_least: bool = True
    n: int | None = None
    power: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Answers:
    """What a model says of a set of objects: class probabilities (N, 7), and the time an object [ms]."""

    probabilities: NDArray[np.float64]
    milliseconds: float

    def hits(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(N,) where the first choice is right."""
        return self.probabilities.argmax(axis=1) == labels


@dataclass(frozen=True)
class Rival:
    """What a version is compared with.

    Attributes
    ----------
    note
        Which it is, or why there is none.
    digest
        Of its bundle, "" where there is none.
    answers
        None where there is nothing to compare with.
    outcome
        What follows from there being none.
    """

    note: str
    digest: str = ""
    answers: Answers | None = None
    outcome: Outcome = "skipped"


class Rules:
    """The rules on one hold-out.

    Parameters
    ----------
    policy
        The thresholds.
    labels, fields
        (N,) class and field of each object.
    level
        One-sided level of every bound, as this look leaves it.
    """

    def __init__(
        self, policy: Policy, labels: NDArray[np.int64], fields: NDArray[np.str_], level: float
    ) -> None:
        self.policy, self.labels, self.level = policy, labels, level
        self.arrangement = Arrangement.of(labels, fields)

    def sizes(self) -> Iterator[Rule]:
        """Whether the hold-out is large enough to conclude anything."""
        counts = self.arrangement.counts
        smallest = CLASSES[int(np.unique(self.labels)[counts.argmin()])]
        for name, value, threshold, note in (
            ("objects", len(self.labels), self.policy.min_objects, ""),
            ("objects of a class", int(counts.min()), self.policy.min_objects_a_class, f"fewest: {smallest}"),
        ):
            outcome: Outcome = "passed" if value >= threshold else "inconclusive"
            yield Rule(name, outcome, threshold, value, note=note)

    def floors(self, version: Answers) -> Iterator[Rule]:
        """Mean recall, and the recall of each class."""
        hits = version.hits(self.labels)[None].astype(float)
        mean = balanced_mean(hits, self.arrangement, HITS, self.level)[0]
        yield self._at_least("mean recall", mean, self.policy.mean_recall, len(self.labels))
        for label in np.unique(self.labels):
            of_class = self.labels == label
            n = int(of_class.sum())
            part = self.arrangement.select(of_class)
            recall = balanced_mean(hits[:, of_class], part, HITS, self.level)[0]
            name, note = f"recall of {CLASSES[int(label)]}", f"in {int(part.fields.any(axis=0).sum())} fields"
            yield self._at_least(name, recall, self.policy.class_recall, n, note=note)

    def lead(self, version: Answers, forest: Rival) -> Rule:
        """Mean recall above the forest's."""
        return self._compared("lead over the forest", version, forest, self.policy.lead_over_forest)

    def loss(self, version: Answers, champion: Rival) -> Rule:
        """Mean recall not much below the champion's."""
        threshold = -self.policy.loss_to_champion
        return self._compared("mean recall minus the champion's", version, champion, threshold)

    def forgetting(self, version: Answers, parent: Rival) -> Rule:
        """Simulated accuracy not much below the parent's."""
        threshold = -self.policy.forgetting
        return self._compared(FORGETTING, version, parent, threshold)

    def calibration(self, version: Answers) -> Rule:
        """Calibration error, its bounds by leaving out fields, in squares, where it is nearly a mean."""

        def squared(which: NDArray[np.bool_]) -> float:
            return calibration_error(self.labels[which], version.probabilities[which]) ** 2

        square = jackknife(squared, self.arrangement, self.level)
        ends = [float(np.sqrt(max(end, 0.0))) for end in (square.value, square.low, square.high)]
        return self._at_most("calibration error", Bounds(*ends), self.policy.calibration_error)

    def latency(self, version: Answers) -> Rule:
        """Time an object."""
        value, threshold = version.milliseconds, self.policy.latency_ms
        outcome: Outcome = "passed" if value <= threshold else "failed"
        return Rule("milliseconds an object", outcome, threshold, value, at_least=False, n=len(self.labels))

    def falls(self, version: Answers, champion: Rival) -> Iterator[Rule]:
        """The classes whose recall is shown to lie further below the champion's than the mean may: failed.

        A class alone has too few objects to show that it has not fallen, so there is nothing to pass.
        """
        if champion.answers is None:
            return
        differences = version.hits(self.labels).astype(float) - champion.answers.hits(self.labels)
        threshold = -self.policy.loss_to_champion
        for label in np.unique(self.labels):
            of_class = self.labels == label
            part = self.arrangement.select(of_class)
            bounds = balanced_mean(differences[None, of_class], part, DIFFERENCES, self.level)[0]
            if bounds.high < threshold:
                name = f"recall of {CLASSES[int(label)]} minus the champion's"
                yield self._at_least(name, bounds, threshold, int(of_class.sum()), note=champion.note)

    def _compared(self, name: str, version: Answers, rival: Rival, threshold: float) -> Rule:
        if rival.answers is None:
            return unmeasured(name, threshold, rival)
        differences = version.hits(self.labels).astype(float) - rival.answers.hits(self.labels)
        bounds = balanced_mean(differences[None], self.arrangement, DIFFERENCES, self.level)[0]
        truth, rng = threshold + self.policy.power_at, np.random.default_rng(_SEED)
        chance = power(differences, self.arrangement, truth, threshold, self.level, rng)
        return self._at_least(name, bounds, threshold, len(self.labels), chance, rival.note)

    def _at_least(
        self,
        name: str,
        bounds: Bounds,
        threshold: float,
        n: int,
        power: float | None = None,
        note: str = "",
    ) -> Rule:
        outcome: Outcome = (
            "passed" if bounds.low >= threshold else "failed" if bounds.high < threshold else "inconclusive"
        )
        return Rule(
            name, outcome, threshold, bounds.value, bounds.low, bounds.high, n=n, power=power, note=note
        )

    def _at_most(self, name: str, bounds: Bounds, threshold: float) -> Rule:
        outcome: Outcome = (
            "passed" if bounds.high <= threshold else "failed" if bounds.low > threshold else "inconclusive"
        )
        ends = (bounds.value, bounds.low, bounds.high)
        return Rule(name, outcome, threshold, *ends, at_least=False, n=len(self.labels))


def unmeasured(name: str, threshold: float, rival: Rival) -> Rule:
    """A comparison for which there is nothing to compare with."""
    return Rule(name, rival.outcome, threshold, note=rival.note)


def class_changes(labels: NDArray[np.int64], first: Answers, second: Answers) -> Mapping[str, float]:
    """Recall of the first minus that of the second, of each class that occurs."""
    difference = first.hits(labels).astype(float) - second.hits(labels)
    return {CLASSES[int(label)]: float(difference[labels == label].mean()) for label in np.unique(labels)}
