"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation import figures, gallery, populations, searching, summary
from astroreel.evaluation.drawing import Drawing
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.illustrations import LearningCurve, learning_curves
from astroreel.evaluation.metrics import CALIBRATION_ERROR, MEAN_RECALL, RECALL
from astroreel.evaluation.names import MAIN_MODELS, is_baseline
from astroreel.evaluation.page import render_page
from astroreel.evaluation.projection import projection
from astroreel.evaluation.results import Evaluation
from astroreel.evaluation.studied import studied
from astroreel.evaluation.supernovae import Told, write_supernovae
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.record import SequenceSet
from astroreel.survey.conditions import ConditionsTable
from astroreel.training.search import Trial

STAGES = ("zero_shot", "fine_tuned")

#: The page of the supernovae.
SUPERNOVAE = "supernovae.html"


@dataclass(frozen=True)
class ClassRow:
    """The objects of one class in one set: how many, from how many fields, with how many epochs."""

    label: str
    objects: int
    fields: int
    fewest_epochs: int
    median_epochs: float
    most_epochs: int


@dataclass(frozen=True)
class DataTable:
    """One set of objects, a row a class."""

    title: str
    rows: tuple[ClassRow, ...]

    @property
    def objects(self) -> int:
        """Number of objects in all."""
        return sum(row.objects for row in self.rows)


@dataclass(frozen=True)
class Exclusion:
    """Objects left out for one reason."""

    reason: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class ReportData:
    """Everything that the report shows.

    Attributes
    ----------
    evaluation
        The numbers.
    scale
        ``smoke``, ``default`` or ``thesis``.
    parameters
        The parameters of all stages, nested by section.
    provenance
        Where it comes from: commit, whether dirty, digests, versions.
    tables
        The sets of objects.
    exclusions
        What was left out and why.
    learning
        The learning curves of the pretraining.
    trials, importances
        Of the search.
    curves
        Light curves with their features by the name of the set, the simulated set first.
    supernovae
        The target's supernovae one by one, on a page of their own.
    examples
        Simulated objects to show, one a class.
    twins
        Objects of the target to show, one a class, and their simulated twins.
    magnitudes
        Magnitudes of the objects by set and class, `astroreel.evaluation.populations`.
    conditions
        Observing conditions by name: of the survey, and as modelled.
    study
        What `astroreel study` measured on this target, reports/study.json.
    benchmarks
        Measured figures of the code itself by section: ``measured``, ``machine``, ``figures``.
    seconds
        Run time of each stage.
    """

    evaluation: Evaluation
    scale: str
    parameters: Mapping[str, Any]
    provenance: Mapping[str, str]
    tables: Sequence[DataTable] = ()
    exclusions: Sequence[Exclusion] = ()
    learning: Sequence[LearningCurve] = ()
    trials: Sequence[Trial] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, FeatureSet] = field(default_factory=dict)
    supernovae: Sequence[Told] = ()
    examples: SequenceSet | None = None
    twins: tuple[SequenceSet, SequenceSet] | None = None
    magnitudes: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    conditions: Mapping[str, ConditionsTable] = field(default_factory=dict)
    study: Mapping[str, Any] = field(default_factory=dict)
    benchmarks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """The drawings of a report, in the order in which it shows them."""

    curves: list[Drawing]
    calibration: list[Drawing]
    confusions: list[Drawing]
    training: list[Drawing]
    search: list[Drawing]
    populations: list[Drawing]
    gallery: list[Drawing]
    twins: list[Drawing]

    def all(self) -> list[Drawing]:
        """Every drawing, for whoever stores them one by one."""
        return [one for column in fields(self) for one in getattr(self, column.name)]


def describe(title: str, sequences: SequenceSet) -> DataTable:
    """The data table of a set of sequences; classes that do not occur have no row."""
    return DataTable(
        title, tuple(_class_row(sequences, label) for label in CLASSES if label in sequences.labels)
    )


def _class_row(sequences: SequenceSet, label: str) -> ClassRow:
    members = sequences.labels == label
    epochs = sequences.lengths[members]
    return ClassRow(
        label,
        objects=int(members.sum()),
        fields=len(np.unique(sequences.objects["field"][members])),
        fewest_epochs=int(epochs.min()),
        median_epochs=float(np.median(epochs)),
        most_epochs=int(epochs.max()),
    )


def draw_figures(data: ReportData) -> Figures:
    """Draw everything that ``data`` has."""
    evaluation = data.evaluation
    return Figures(
        curves=figures.curves(evaluation),
        calibration=figures.reliability_diagrams(evaluation),
        confusions=figures.confusion_matrices(evaluation),
        training=[learning_curves(data.learning)] if data.learning else [],
        search=searching.drawings(data.trials, data.importances) if data.trials else [],
        populations=[
            *([projection(data.curves, data.parameters["simulate"]["seed"])] if data.curves else []),
            *([populations.magnitudes(data.magnitudes)] if data.magnitudes else []),
            *([populations.conditions(data.conditions)] if data.conditions else []),
        ],
        gallery=gallery.gallery(data.examples) if data.examples else [],
        twins=gallery.side_by_side(*data.twins, evaluation.target_domain) if data.twins else [],
    )


def render_report(path: Path, data: ReportData) -> None:
    """Write the report to ``path``, self-contained, and beside it the page of the supernovae.

    Raises `UserError` where it cannot be written.
    """
    evaluation = data.evaluation
    write_supernovae(path.with_name(SUPERNOVAE), data.supernovae, evaluation.target)
    render_page(
        path,
        "report.html",
        data=data,
        target=evaluation.target,
        domain=evaluation.target_domain,
        surrogate=evaluation.target_domain == "surrogate",
        labelled=evaluation.labelled,
        comparisons=summary.comparisons(evaluation),
        findings=summary.findings(evaluation),
        not_claimed=summary.not_claimed(evaluation, data.scale),
        scores=_scores(evaluation),
        recalls=_recalls(evaluation),
        baselines=_baselines(evaluation),
        figures=draw_figures(data),
        parameters=dict(_flat(data.parameters)),
        main_models=MAIN_MODELS,
        stages=STAGES,
        supernovae_page=SUPERNOVAE,
        study=studied(data.study),
    )


def _scores(evaluation: Evaluation) -> list[tuple[str, str, dict[str, Estimate | None]]]:
    """Class-balanced scores: name, stage, and each main model's estimate on the target."""
    return [
        (
            title,
            stage,
            {m: evaluation.estimate(evaluation.target_domain, m, stage, name) for m in MAIN_MODELS},
        )
        for title, name in (
            ("Log loss", "log_loss"),
            ("Brier score", "brier"),
            ("Calibration error", CALIBRATION_ERROR),
        )
        for stage in STAGES
    ]


def _recalls(evaluation: Evaluation) -> list[tuple[str, int, dict[tuple[str, str], Estimate | None]]]:
    """Recall of each class on the target: class, number of objects, and estimates by model and stage."""
    domain = evaluation.target_domain
    table = [
        (
            label,
            {
                (model, stage): evaluation.estimate(domain, model, stage, RECALL, label)
                for model in MAIN_MODELS
                for stage in STAGES
            },
        )
        for label in CLASSES
    ]
    return [
        (label, next(e.n for e in cells.values() if e), cells)
        for label, cells in table
        if any(cells.values())
    ]


def _baselines(evaluation: Evaluation) -> list[tuple[str, str, Estimate, Estimate | None]]:
    """Each baseline's mean recall on the target, best first, and the RCNN's lead over it."""
    domain = evaluation.target_domain
    found = [
        (model, stage, recall, evaluation.estimate(domain, model, stage, "rcnn_lead", MEAN_RECALL))
        for model, stages in evaluation.metrics.get(domain, {}).items()
        if is_baseline(model) and model != "difference"
        for stage in stages
        if (recall := evaluation.estimate(domain, model, stage, MEAN_RECALL)) is not None
    ]
    return sorted(found, key=lambda row: -row[2].value)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested parameters as dotted names and values."""
    return [
        pair
        for name, value in tree.items()
        for pair in (
            _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
        )
    ]
