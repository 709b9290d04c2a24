"""What an evaluation leaves: metrics, curves and confusion matrices, in memory and as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.estimate import Estimate
from astroreel.files import read_json, write_json, write_text


@dataclass(frozen=True)
class Curve:
    """One measure against the number of samples.

    Attributes
    ----------
    domain, metric, model, stage
        What was measured; ``metric`` is ``accuracy``, ``mean_recall``, ``recall_<class>`` or
        ``supernova_recall_since_detection``.
    estimates
        After n = 1 .. 22 samples; or 0, 1, 2, ... epochs after the detection.
    """

    domain: str
    metric: str
    model: str
    stage: str
    estimates: tuple[Estimate, ...]

    def array(self, name: str) -> NDArray[np.float64]:
        """``value``, ``low``, ``high`` or ``n`` of every estimate, (K,)."""
        return np.array([getattr(estimate, name) for estimate in self.estimates])


@dataclass(frozen=True)
class Reliability:
    """Share of hits (``shares``) in K bins of stated probability (``confidence``, (K,)).

    ``error`` is the calibration error, `astroreel.evaluation.calibration`.
    """

    domain: str
    model: str
    stage: str
    confidence: NDArray[np.float64]
    shares: tuple[Estimate, ...]
    error: Estimate


@dataclass(frozen=True)
class Confusion:
    """Mean number of objects (over the draws) of each true class given each class, (7, 7)."""

    domain: str
    model: str
    stage: str
    counts: NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """Everything that the protocol measured.

    Attributes
    ----------
    metrics
        The content of ``metrics.json``: ``target``, then domain, model, stage, leaves.
    curves, confusions, reliabilities
        What the figures show.
    """

    metrics: dict[str, Any]
    curves: tuple[Curve, ...]
    confusions: tuple[Confusion, ...]
    reliabilities: tuple[Reliability, ...]

    @property
    def target(self) -> str:
        """Name of the target domain's data (``hits``, ``surrogate``)."""
        return str(self.metrics["target"])

    @property
    def target_domain(self) -> str:
        """Where the target's numbers stand: ``real``, or ``surrogate`` where no real data was used."""
        return "surrogate" if self.target == "surrogate" else "real"

    @property
    def labelled(self) -> bool:
        """Whether the target has labelled objects; a survey may have none yet."""
        return self.target_domain in self.metrics

    @property
    def target_classes(self) -> tuple[str, ...]:
        """The classes that occur in the target domain: the only ones that can have labels."""
        matrices = [one.counts for one in self.confusions if one.domain == self.target_domain]
        return tuple(np.array(CLASSES)[np.sum(matrices[0], axis=1) > 0].tolist()) if matrices else ()

    def select_curves(self, domain: str, metric: str, stage: str | None = None) -> list[Curve]:
        """The curves of one measure on one domain, of every stage or of one."""
        return [
            curve
            for curve in self.curves
            if (curve.domain, curve.metric) == (domain, metric) and stage in (None, curve.stage)
        ]

    def estimate(self, domain: str, *path: str) -> Estimate | None:
        """The leaf at ``domain``, model, stage, measure, ...; ``None`` where it was not measured."""
        node: Any = self.metrics.get(domain, {})
        for name in path:
            node = node.get(name, {})
        return Estimate.from_json(node) if node else None


def save_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write an evaluation as one JSON file; equal evaluations give equal bytes."""
    write_json(
        path,
        {
            "metrics": evaluation.metrics,
            "curves": [
                {**_place(curve), "metric": curve.metric, "estimates": [e.to_json() for e in curve.estimates]}
                for curve in evaluation.curves
            ],
            "confusions": [
                {**_place(matrix), "counts": np.round(matrix.counts, 4).tolist()}
                for matrix in evaluation.confusions
            ],
            "reliabilities": [
                {
                    **_place(one),
                    "confidence": np.round(one.confidence, 4).tolist(),
                    "shares": [share.to_json() for share in one.shares],
                    "error": one.error.to_json(),
                }
                for one in evaluation.reliabilities
            ],
        },
    )


def load_evaluation(path: Path) -> Evaluation:
    """Read what :func:`save_evaluation` wrote; raises `UserError` where it is missing or not JSON."""
    content = read_json(path)
    return Evaluation(
        metrics=content["metrics"],
        curves=tuple(
            Curve(**{**item, "estimates": tuple(Estimate.from_json(leaf) for leaf in item["estimates"])})
            for item in content["curves"]
        ),
        confusions=tuple(
            Confusion(**{**item, "counts": np.array(item["counts"])}) for item in content["confusions"]
        ),
        reliabilities=tuple(_reliability(item) for item in content["reliabilities"]),
    )


def _reliability(item: dict[str, Any]) -> Reliability:
    measured = {
        "confidence": np.array(item["confidence"]),
        "shares": tuple(Estimate.from_json(leaf) for leaf in item["shares"]),
        "error": Estimate.from_json(item["error"]),
    }
    return Reliability(**{**item, **measured})


def _place(item: Curve | Confusion | Reliability) -> dict[str, str]:
    return {"domain": item.domain, "model": item.model, "stage": item.stage}


def save_curves(path: Path, curves: Iterable[Curve]) -> None:
    """Write curves as the CSV that ``dvc plots`` draws: n_samples, value, low, high, model, stage."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["n_samples", "value", "low", "high", "model", "stage"])
    for curve in curves:
        for n_samples, estimate in enumerate(curve.estimates, start=1):
            leaf = estimate.to_json()
            table.writerow([n_samples, leaf["value"], leaf["low"], leaf["high"], curve.model, curve.stage])
    write_text(path, text.getvalue())


def flat_values(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The values of all leaves under slash-joined names, as an experiment tracker takes them."""
    return dict(_flat(metrics, ()))


def _flat(node: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    if "value" in node:
        yield "/".join(path), float(node["value"])
        return
    for name, child in node.items():
        if isinstance(child, Mapping):
            yield from _flat(child, (*path, name))
