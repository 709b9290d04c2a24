"""The protocol: who is tested on what, and the numbers that follow.

RCNN and forest choose among all classes, the baselines only among those of the few labels. On
the target domain (``real`` or ``surrogate``) the fine-tuned models are cross-fitted: in each draw
every object is tested once, by the model whose few-shot pool held no object of its field. On the
simulated domain every model sees the whole test set. All models of a domain are tested on the same
objects, so that they can be compared in pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Measurement, Resampling, Statistic, difference, measure
from astroreel.evaluation.calibration import calibration
from astroreel.evaluation.estimate import Estimate, wilson, wilson_mean
from astroreel.evaluation.measures import measure_scores, measure_since_detection
from astroreel.evaluation.metrics import (
    ACCURACY,
    CALIBRATION_ERROR,
    EARLY_RECALL,
    EPOCHS_SINCE,
    MEAN_RECALL,
    N_BEFORE,
    N_SAMPLES,
    RECALL,
    SINCE_DETECTION,
    ClassMeans,
    confusion,
    recall_of,
)
from astroreel.evaluation.names import MAIN_MODELS, is_baseline
from astroreel.evaluation.predictions import (
    TARGET_DOMAINS,
    Domain,
    Predictions,
    Stage,
    Trials,
    gather,
    objects_of,
)
from astroreel.evaluation.results import Confusion, Curve, Evaluation, Reliability

_STATISTICS: dict[str, Statistic] = {ACCURACY: ClassMeans.overall, MEAN_RECALL: ClassMeans.balanced}


class EvaluationConfig(BaseModel):
    """The parameters of the evaluation.

    Attributes
    ----------
    seed
        Seed of the resamples.
    resamples
        Number of bootstrap resamples behind every interval.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(1, ge=0)
    resamples: int = Field(2000, ge=100)


def evaluate(predictions: Iterable[Predictions], target: str, parameters: EvaluationConfig) -> Evaluation:
    """Measure all predictions: domain, then model, then stage, then leaves (contract 3).

    ``target`` (``hits``, ``surrogate``, ...) names the target domain. Raises ``ValueError`` where
    the models of a domain were not each tested once a draw on the same objects.
    """
    by_domain: dict[Domain, list[Predictions]] = defaultdict(list)
    for prediction in predictions:
        by_domain[prediction.domain].append(prediction)

    metrics: dict[str, Any] = {"target": target}
    curves: list[Curve] = []
    confusions: list[Confusion] = []
    reliabilities: list[Reliability] = []
    for domain, members in sorted(by_domain.items()):
        part = _DomainEvaluation(domain, members, parameters)
        metrics[domain] = part.metrics()
        curves += part.curves()
        confusions += part.confusions()
        reliabilities += part.reliabilities()
    return Evaluation(metrics, tuple(curves), tuple(confusions), tuple(reliabilities))


class _DomainEvaluation:
    """Every model of one domain, measured with the same resamples."""

    def __init__(self, domain: Domain, members: Sequence[Predictions], parameters: EvaluationConfig) -> None:
        self.domain = domain
        groups: dict[tuple[str, Stage], list[Predictions]] = defaultdict(list)
        for member in members:
            groups[member.model, member.stage].append(member)
        self.objects = objects_of(min(groups.items())[1])
        self.trials = {key: gather(group, self.objects) for key, group in sorted(groups.items())}

        units = self.objects.fields if domain in TARGET_DOMAINS else self.objects.names
        resampling = Resampling(units, parameters.resamples, np.random.default_rng(parameters.seed))
        self.hits = {key: self._measure_hits(trials, resampling) for key, trials in self.trials.items()}
        self.scores = {
            key: measure_scores(trials, self.objects, resampling) for key, trials in self.trials.items()
        }
        self.calibrations = {
            key: calibration(self.objects.labels, trials.final, resampling)
            for key, trials in self.trials.items()
        }
        self.since_detection = {
            key: self._measure_since_detection(trials, resampling) for key, trials in self.trials.items()
        }

    def _measure_hits(self, trials: Trials, resampling: Resampling) -> Measurement:
        labels = self.objects.labels
        return measure(trials.predicted == labels[:, None], labels, resampling)

    def _measure_since_detection(self, trials: Trials, resampling: Resampling) -> list[Measurement]:
        """Hits on the supernovae 0, 1, 2, ... epochs after their detection, as long as enough are seen."""
        measured = []
        for epoch in range(N_SAMPLES):
            one = measure_since_detection(trials, self.objects, epoch, resampling)
            if one is None:
                break
            measured.append(one)
        return measured

    def metrics(self) -> dict[str, Any]:
        """Model, stage, leaves; beside the models ``difference``, the RCNN minus the forest."""
        tree: dict[str, Any] = defaultdict(dict)
        for model, stage in self.hits:
            tree[model][stage] = self._leaves(model, stage)
        tree["difference"] = self._differences()
        return {model: stages for model, stages in tree.items() if stages}

    def _leaves(self, model: str, stage: Stage) -> dict[str, Any]:
        hits = self.hits[model, stage]
        log_loss, brier = self.scores[model, stage].estimates(ClassMeans.balanced)
        before = self.hits.get((model, "zero_shot")) if stage == "fine_tuned" else None
        rcnn = self.hits.get(("rcnn", stage)) if is_baseline(model) else None
        since = self.since_detection[model, stage]
        return {
            ACCURACY: _accuracies(hits)[-1].to_json(),
            MEAN_RECALL: mean_recalls(hits)[-1].to_json(),
            RECALL: _recalls(hits, N_SAMPLES),
            EARLY_RECALL: _recalls(hits, N_BEFORE),
            "log_loss": log_loss.to_json(),
            "brier": brier.to_json(),
            CALIBRATION_ERROR: self.calibrations[model, stage].error.to_json(),
            SINCE_DETECTION: {
                str(epoch): _accuracies(since[epoch])[0].to_json()
                for epoch in EPOCHS_SINCE
                if epoch < len(since)
            },
            **({"gain": _final_differences(hits, before)} if before else {}),
            **({"rcnn_lead": _final_differences(rcnn, hits)} if rcnn else {}),
        }

    def _differences(self) -> dict[str, Any]:
        stages = [
            stage for stage in get_args(Stage) if all((model, stage) in self.hits for model in MAIN_MODELS)
        ]
        return {stage: self._difference(stage) for stage in stages}

    def _difference(self, stage: Stage) -> dict[str, Any]:
        first, second = ((model, stage) for model in MAIN_MODELS)
        since = list(zip(self.since_detection[first], self.since_detection[second], strict=True))
        return {
            **_final_differences(self.hits[first], self.hits[second]),
            SINCE_DETECTION: {
                str(epoch): difference(*since[epoch], ClassMeans.overall)[0].to_json()
                for epoch in EPOCHS_SINCE
                if epoch < len(since)
            },
        }

    def curves(self) -> list[Curve]:
        """Accuracy and recall by samples (Figures 4.1 to 4.3), and supernovae since their detection."""
        return [
            Curve(self.domain, metric, model, stage, tuple(estimates))
            for (model, stage), hits in self.hits.items()
            for metric, estimates in (
                ("accuracy", _accuracies(hits)),
                ("mean_recall", mean_recalls(hits)),
                (SINCE_DETECTION, [_accuracies(one)[0] for one in self.since_detection[model, stage]]),
                *self._recall_curves(model, hits),
            )
        ]

    def _recall_curves(self, model: str, hits: Measurement) -> list[tuple[str, list[Estimate]]]:
        """Recall of each class by samples (Figure 4.3), of the main models alone."""
        labels = [] if is_baseline(model) else _occurring(hits)
        return [(recall_of(CLASSES[label]), _recall(hits, label)) for label in labels]

    def reliabilities(self) -> list[Reliability]:
        """Stated against actual share of hits after the last sample."""
        return [
            Reliability(self.domain, model, stage, one.confidence, one.shares, one.error)
            for (model, stage), one in self.calibrations.items()
        ]

    def confusions(self) -> list[Confusion]:
        """Confusion after the last sample, averaged over the draws (Figures 4.4 to 4.6)."""
        labels = self.objects.labels
        return [
            Confusion(
                self.domain,
                model,
                stage,
                np.mean([confusion(labels, last) for last in trials.predicted[:, :, -1]], axis=0),
            )
            for (model, stage), trials in self.trials.items()
        ]


def _accuracies(hits: Measurement) -> list[Estimate]:
    return _widened(hits.estimates(ClassMeans.overall), *wilson(hits.point.overall()[0], hits.n))


def mean_recalls(hits: Measurement) -> list[Estimate]:
    """Mean recall, for each of the K values measured."""
    occurs = hits.point.weights[0] > 0
    interval = wilson_mean(hits.point.means[0, occurs], hits.point.weights[0, occurs, None])
    return _widened(hits.estimates(ClassMeans.balanced), *interval)


def _recalls(hits: Measurement, n_samples: int) -> dict[str, Any]:
    """Recall after ``n_samples`` of each class that occurs."""
    return {CLASSES[label]: _recall(hits, label)[n_samples - 1].to_json() for label in _occurring(hits)}


def _occurring(hits: Measurement) -> list[int]:
    """Positions of the classes that have objects."""
    return np.flatnonzero(hits.point.weights[0]).tolist()


def _recall(hits: Measurement, label: int) -> list[Estimate]:
    """Recall of a class after every number of samples."""
    n = int(hits.point.weights[0, label])
    estimates = hits.estimates(lambda means: means.means[:, label], n)
    return _widened(estimates, *wilson(hits.point.means[0, label], n))


def _final_differences(first: Measurement, second: Measurement) -> dict[str, Any]:
    return {
        name: difference(first, second, statistic)[-1].to_json() for name, statistic in _STATISTICS.items()
    }


def _widened(
    estimates: Sequence[Estimate], low: NDArray[np.float64], high: NDArray[np.float64]
) -> list[Estimate]:
    """Intervals no narrower than the closed form: where all objects agree, resamples agree too."""
    return [
        Estimate(e.value, min(e.low, float(lo)), max(e.high, float(hi)), e.n, e.sd_draws)
        for e, lo, hi in zip(estimates, low, high, strict=True)
    ]
