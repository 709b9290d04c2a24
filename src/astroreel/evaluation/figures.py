"""The thesis's Figures 4.1, 4.2 and 4.4 to 4.6, from an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from astroreel.classes import CLASSES
from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.names import MAIN_MODELS, class_name, is_baseline, model_name, stage_name
from astroreel.evaluation.results import Confusion, Curve, Evaluation
from astroreel.files import write_text

_COLOURS = {
    "rcnn": drawing.BLUE,
    "forest": drawing.VERMILION,
    "few_real_forest": drawing.GREEN,
    "two_numbers": drawing.PURPLE,
    "magnitude": drawing.ORANGE,
    "epoch_count": drawing.MUTED,
    "cadence": drawing.SKY,
}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven")
_MARKERS = {"rcnn": "o", "forest": "s"}


def simulated_accuracy(evaluation: Evaluation) -> Drawing:
    """Figure 4.1: accuracy on simulated objects against the number of samples."""
    test = evaluation.select_curves("simulated", "accuracy", stage="zero_shot")
    train = evaluation.select_curves("simulated_train", "accuracy", stage="zero_shot")
    with canvas(3.9) as figure:
        axes = figure.subplots()
        for curve in sorted(train, key=_legend_order):
            _line(axes, curve, f"{model_name(curve.model)}, training set", "--")
        for curve in sorted(test, key=_legend_order):
            _line(axes, curve, f"{model_name(curve.model)}, test set", "-", band=True)
        _sample_axes(axes, "accuracy, simulated objects [%]")
        figure.legend(loc="outside lower left", handlelength=2.6)
        return Drawing(
            "simulated_accuracy",
            "Accuracy on simulated objects",
            "Percent of the simulated test objects classified rightly after so many samples"
            " (the thesis's Figure 4.1). Bands: 95 % intervals.",
            to_svg(figure),
        )


def target_mean_recall(evaluation: Evaluation) -> Drawing:
    """Figure 4.2: mean recall on the target domain against the number of samples."""
    domain = evaluation.target_domain
    curves = sorted(evaluation.select_curves(domain, "mean_recall"), key=_legend_order)
    with canvas(4.9) as figure:
        axes = figure.subplots()
        for curve in curves:
            if is_baseline(curve.model):
                _line(axes, curve, model_name(curve.model), ":")
            else:
                stage = f"{model_name(curve.model)}, {stage_name(curve.stage)}"
                _line(axes, curve, stage, "-" if curve.stage == "fine_tuned" else "--", band=True)
        _sample_axes(axes, f"mean recall, {domain} objects [%]")
        for choices in sorted({len(CLASSES), len(evaluation.target_classes)}):
            _chance(axes, choices)
        figure.legend(loc="outside lower left", handlelength=2.6)
        return Drawing(
            f"{domain}_mean_recall",
            f"Mean recall on {domain} objects",
            f"Recall averaged over the classes of the {domain} objects after so many samples (the"
            " thesis's Figure 4.2). RCNN and forest choose among all seven classes, the baselines (dotted)"
            " only among those of the few labels. Bands: 95 % intervals over fields and draws.",
            to_svg(figure),
        )


def _chance(axes: Axes, classes: int) -> None:
    """A thin line at the mean recall of guessing among so many classes."""
    height, label = 100 / classes, f"chance, {_NUMBERS[classes - 1]} classes"
    axes.axhline(height, color=drawing.MUTED, linewidth=0.6)
    axes.text(22, height, label, color=drawing.MUTED, ha="right", va="top", size=9)


def _legend_order(curve: Curve) -> tuple[bool, bool, bool, float]:
    """The two models first, the fine-tuned before the others; then the baselines, best first."""
    last = -curve.estimates[-1].value
    return (is_baseline(curve.model), curve.stage != "fine_tuned", curve.model != "rcnn", last)


def _line(axes: Axes, curve: Curve, label: str, style: str, band: bool = False) -> None:
    colour = _COLOURS.get(curve.model, drawing.MUTED)
    samples = np.arange(1, len(curve.estimates) + 1)
    values, low, high = (100 * curve.array(name) for name in ("value", "low", "high"))
    axes.plot(
        samples,
        values,
        style,
        color=colour,
        linewidth=1.8 if band else 1.2,
        marker=_MARKERS.get(curve.model) if style == "-" else None,
        markersize=3.5,
        label=f"{values[-1]:.1f}  {label}",
    )
    if band:
        axes.fill_between(samples, low, high, color=colour, alpha=0.15, linewidth=0)


def _sample_axes(axes: Axes, measure: str) -> None:
    axes.set(xlim=(0.5, 22.5), ylim=(0, 102), xlabel="number of samples", ylabel=measure)
    axes.set_xticks([1, 5, 10, 15, 20, 22])


def confusion_matrix(matrix: Confusion) -> Drawing:
    """Figures 4.4 to 4.6: share of each class's objects (row) that were given each class."""
    occurs = np.flatnonzero(matrix.counts.sum(axis=1))
    counts = matrix.counts[occurs]
    totals = counts.sum(axis=1)
    shares = counts / totals[:, None]
    with canvas(1.5 + 0.42 * len(occurs)) as figure:
        axes = figure.subplots()
        for (row, column), share in np.ndenumerate(shares):
            _cell(axes, row, column, share, _COLOURS.get(matrix.model, drawing.MUTED))
        axes.set(xlim=(-0.5, len(CLASSES) - 0.5), ylim=(len(occurs) - 0.5, -0.5))
        axes.set_xticks(
            range(len(CLASSES)), [class_name(label) for label in CLASSES], rotation=40, ha="right"
        )
        axes.set_yticks(
            range(len(occurs)),
            [f"{class_name(CLASSES[i])} ({n:.0f})" for i, n in zip(occurs, totals, strict=True)],
        )
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        stage = "" if matrix.domain == "simulated" else f", {stage_name(matrix.stage)}"
        return Drawing(
            f"{matrix.domain}_{matrix.model}_{matrix.stage}_confusion",
            f"{model_name(matrix.model)} on {matrix.domain} objects{stage}",
            "Percent of each true class (row, with its number of objects) given each class (column) after"
            " 22 samples.",
            to_svg(figure),
        )


def _cell(axes: Axes, row: int, column: int, share: float, colour: str) -> None:
    axes.bar(column, 0.96, width=0.96, bottom=row - 0.48, color=colour, alpha=0.04 + 0.96 * share)
    if share >= 0.005:
        ink = drawing.ON_COLOUR if share > 0.5 else drawing.INK
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=ink)


def confusion_matrices(evaluation: Evaluation) -> list[Drawing]:
    """Figures 4.4 to 4.6, the RCNN before the forest in each."""
    target = evaluation.target_domain
    figures = (("simulated", "zero_shot"), (target, "zero_shot"), (target, "fine_tuned"))
    return [
        confusion_matrix(matrix)
        for domain, stage in figures
        for model in MAIN_MODELS
        for matrix in evaluation.confusions
        if (matrix.domain, matrix.stage, matrix.model) == (domain, stage, model)
    ]


def write_readme_figure(path: Path, evaluation: Evaluation) -> None:
    """Write Figure 4.2 as the SVG that the README shows; it holds no stamp."""
    write_text(path, target_mean_recall(evaluation).svg)
