"""The protocol: who is tested on what, and the numbers that follow.

RCNN and forest choose among all seven classes, the baselines only among those of the few labels. On
the target domain (``real`` or ``surrogate``) the fine-tuned models are cross-fitted: in each draw
every object is tested once, by the model whose few-shot pool held no object of its field. On the
simulated domain every model sees the whole test set. All models of a domain are tested on the same
objects, so that they can be compared in pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Measurement, Resampling, Statistic, difference, measure
from astroreel.evaluation.estimate import Estimate, wilson, wilson_mean
from astroreel.evaluation.metrics import (
    ACCURACY,
    EARLY_RECALL,
    MEAN_RECALL,
    N_BEFORE,
    N_SAMPLES,
    RECALL,
    ClassMeans,
    brier_scores,
    confusion,
    log_losses,
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
from astroreel.evaluation.results import Confusion, Curve, Evaluation

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
    for domain, members in sorted(by_domain.items()):
        part = _DomainEvaluation(domain, members, parameters)
        metrics[domain] = part.metrics()
        curves += part.curves()
        confusions += part.confusions()
    return Evaluation(metrics, tuple(curves), tuple(confusions))


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
        self.scores = {key: self._measure_scores(trials, resampling) for key, trials in self.trials.items()}

    def _measure_hits(self, trials: Trials, resampling: Resampling) -> Measurement:
        labels = self.objects.labels
        return measure(trials.predicted == labels[:, None], labels, resampling)

    def _measure_scores(self, trials: Trials, resampling: Resampling) -> Measurement:
        labels = self.objects.labels
        scores = [log_losses(labels, trials.final), brier_scores(labels, trials.final)]
        return measure(np.stack(scores, axis=-1), labels, resampling)

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
        return {
            ACCURACY: _accuracies(hits)[-1].to_json(),
            MEAN_RECALL: _mean_recalls(hits)[-1].to_json(),
            RECALL: _recalls(hits, N_SAMPLES),
            EARLY_RECALL: _recalls(hits, N_BEFORE),
            "log_loss": log_loss.to_json(),
            "brier": brier.to_json(),
            **({"gain": _final_differences(hits, before)} if before else {}),
            **({"rcnn_lead": _final_differences(rcnn, hits)} if rcnn else {}),
        }

    def _differences(self) -> dict[str, Any]:
        first, second = MAIN_MODELS
        return {
            stage: _final_differences(self.hits[first, stage], self.hits[second, stage])
            for stage in ("fine_tuned", "zero_shot")
            if (first, stage) in self.hits and (second, stage) in self.hits
        }

    def curves(self) -> list[Curve]:
        """Accuracy and mean recall against the number of samples (Figures 4.1 and 4.2)."""
        return [
            Curve(self.domain, metric, model, stage, tuple(estimates(hits)))
            for (model, stage), hits in self.hits.items()
            for metric, estimates in (("accuracy", _accuracies), ("mean_recall", _mean_recalls))
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


def _mean_recalls(hits: Measurement) -> list[Estimate]:
    occurs = hits.point.weights[0] > 0
    interval = wilson_mean(hits.point.means[0, occurs], hits.point.weights[0, occurs, None])
    return _widened(hits.estimates(ClassMeans.balanced), *interval)


def _recalls(hits: Measurement, n_samples: int) -> dict[str, Any]:
    """Recall after ``n_samples`` of each class that occurs."""
    counts = hits.point.weights[0].astype(int).tolist()
    return {
        CLASSES[label]: _recall(hits, label, n, n_samples).to_json() for label, n in enumerate(counts) if n
    }


def _recall(hits: Measurement, label: int, n: int, n_samples: int) -> Estimate:
    after = slice(n_samples - 1, n_samples)
    estimate = hits.estimates(lambda means: means.means[:, label, after], n)
    return _widened(estimate, *wilson(hits.point.means[0, label, after], n))[0]


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
