"""What an evaluation found: the thesis's Figures 4.1 to 4.6, detections, calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from astroreel.classes import CLASSES
from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.metrics import SINCE_DETECTION, recall_of
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
    "border": drawing.INK,
}
_MARKERS = {"rcnn": "o", "forest": "s"}


def curves(evaluation: Evaluation) -> list[Drawing]:
    """Figures 4.2, where the target has labels, and 4.1; supernovae since their detection; Figure 4.3."""
    target = [target_mean_recall(evaluation)] if evaluation.labelled else []
    detection = since_detection(evaluation)
    return [
        *target,
        simulated_accuracy(evaluation),
        *([detection] if detection else []),
        recall_by_class(evaluation),
    ]


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
    with canvas(5.3) as figure:
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
            " thesis's Figure 4.2). RCNN and forest choose among all classes, the baselines (dotted)"
            " only among those of the few labels. Bands: 95 % intervals over fields and draws.",
            to_svg(figure),
        )


def recall_by_class(evaluation: Evaluation) -> Drawing:
    """Figure 4.3, right: recall of each class, the RCNN above the forest; fine-tuned where that is."""
    domain = evaluation.target_domain if evaluation.labelled else "simulated"
    found = {
        (curve.model, curve.stage, label): curve
        for label in CLASSES
        for curve in evaluation.select_curves(domain, recall_of(label))
    }
    stage = (
        "fine_tuned" if domain != "simulated" and "fine_tuned" in {key[1] for key in found} else "zero_shot"
    )
    labels = [label for label in CLASSES if ("rcnn", stage, label) in found]
    with canvas(5.6) as figure:
        panels = figure.subplots(len(MAIN_MODELS), sharex=True)
        for axes, model in zip(panels, MAIN_MODELS, strict=True):
            for label in labels:
                values = 100 * found[model, stage, label].array("value")
                axes.plot(np.arange(1, len(values) + 1), values, color=_class_colour(label), linewidth=1.5)
            _sample_axes(axes, f"recall, {model_name(model)} [%]")
        panels[0].set_xlabel("")
        handles = [Line2D([], [], color=_class_colour(label)) for label in labels]
        names = [class_name(label) for label in labels]
        figure.legend(handles, names, loc="outside lower left", ncols=2)
        return Drawing(
            f"{domain}_recall_by_class",
            f"Recall of each class, {domain} objects, {stage_name(stage)}",
            f"Percent of the {domain} objects of a class called so after so many samples (the thesis's Figure"
            " 4.3, right).",
            to_svg(figure),
        )


def since_detection(evaluation: Evaluation) -> Drawing | None:
    """Recall of the supernovae by epochs since their first detection; none where there are too few."""
    domain = evaluation.target_domain if evaluation.labelled else "simulated"
    curves = [
        curve
        for curve in evaluation.select_curves(domain, SINCE_DETECTION)
        if curve.estimates and not is_baseline(curve.model)
    ]
    if not curves:
        return None
    with canvas(4.3) as figure:
        axes = figure.subplots()
        for curve in sorted(curves, key=_legend_order):
            style = "-" if curve.stage == "fine_tuned" or len(curves) <= len(MAIN_MODELS) else "--"
            name = f"{model_name(curve.model)}, {stage_name(curve.stage)}"
            _line(axes, curve, name, style, band=True, first=0)
        counts = curves[0].array("n").astype(int)
        ticks = np.unique(np.linspace(0, len(counts) - 1, min(len(counts), 6)).round().astype(int))
        axes.set_xticks(ticks, [f"{epoch}\n({counts[epoch]})" for epoch in ticks])
        axes.set(ylim=(0, 102), xlabel="epochs since the detection\n(number of supernovae)")
        axes.set_ylabel(f"recall, {domain} supernovae [%]")
        figure.legend(loc="outside lower left", handlelength=2.6)
        return Drawing(
            f"{domain}_since_detection",
            f"Supernovae since their detection, {domain} objects",
            "Percent of the supernovae called so, so many epochs after the first 5 sigma detection, among"
            " those that are still observed then; in the legend at the detection itself (compare the right of"
            " the thesis's Figure 4.3). Bands: 95 % intervals.",
            to_svg(figure),
        )


def _class_colour(label: str) -> str:
    return drawing.CLASS_COLOURS[CLASSES.index(label) % len(drawing.CLASS_COLOURS)]


def reliability_diagrams(evaluation: Evaluation) -> list[Drawing]:
    """Of simulated objects and, where there are any, of the target's."""
    domains = ["simulated", *([evaluation.target_domain] if evaluation.labelled else [])]
    return [reliability(evaluation, domain) for domain in domains]


def reliability(evaluation: Evaluation, domain: str) -> Drawing:
    """Share of right answers against the stated probability, for RCNN and forest."""
    chosen = [one for one in evaluation.reliabilities if one.domain == domain and not is_baseline(one.model)]
    latest = "fine_tuned" if domain != "simulated" and len(chosen) > len(MAIN_MODELS) else "zero_shot"
    with canvas(4.2) as figure:
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=drawing.MUTED, linewidth=0.6)
        for one in sorted(chosen, key=lambda one: one.model != "rcnn"):
            if one.stage == latest:
                value, low, high = (
                    100 * np.array([getattr(share, end) for share in one.shares])
                    for end in ("value", "low", "high")
                )
                axes.errorbar(
                    100 * one.confidence,
                    value,
                    [value - low, high - value],
                    color=_COLOURS[one.model],
                    marker=_MARKERS[one.model],
                    markersize=4,
                    linewidth=1.2,
                    label=f"{model_name(one.model)}, {stage_name(one.stage)}: error {one.error.value:.3f}",
                )
        axes.set(xlim=(0, 102), ylim=(0, 102), xlabel="stated probability [%]", ylabel="share right [%]")
        figure.legend(loc="outside lower left", handlelength=2.6)
        return Drawing(
            f"{domain}_reliability",
            f"Are the probabilities true? {domain.capitalize()} objects",
            "Share of right answers among objects of like stated probability, every class weighing alike:"
            " on the line a probability means what it says. The error is the distance from the line, less"
            " what chance adds.",
            to_svg(figure),
        )


def _chance(axes: Axes, classes: int) -> None:
    """A thin line at the mean recall of guessing among so many classes."""
    height = 100 / classes
    axes.axhline(
        height, color=drawing.MUTED, linewidth=0.6, label=f"{height:.1f} Chance among {classes} classes"
    )


def _legend_order(curve: Curve) -> tuple[bool, bool, bool, float]:
    """The two models first, the fine-tuned before the others; then the baselines, best first."""
    last = -curve.estimates[-1].value
    return (is_baseline(curve.model), curve.stage != "fine_tuned", curve.model != "rcnn", last)


def _line(
    axes: Axes,
    curve: Curve,
    label: str,
    style: str,
    band: bool = False,
    first: int = 1,
) -> None:
    """A curve from abscissa ``first`` on; the legend names its last value, or that at 0."""
    colour = _COLOURS.get(curve.model, drawing.MUTED)
    samples = np.arange(first, first + len(curve.estimates))
    values, low, high = (100 * curve.array(name) for name in ("value", "low", "high"))
    axes.plot(
        samples,
        values,
        style,
        color=colour,
        linewidth=1.8 if band else 1.2,
        marker=_MARKERS.get(curve.model) if style == "-" else None,
        markersize=3.5,
        label=f"{values[-1 if first else 0]:.1f}  {label}",
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
