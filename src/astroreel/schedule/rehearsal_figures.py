"""The figures of a rehearsed season: recall on the hold-out against the labels seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.estimate import Estimate

#: Estimates by the number of labels.
Curve = Sequence[tuple[int, Estimate]]

#: Of each arm its name in words, colour, style and marker.
_LOOKS = {
    "scheduled_newest": ("scheduled: newest network", drawing.BLUE, "-", "o"),
    "scheduled_champion": ("scheduled: champion", drawing.SKY, "--", None),
    "forest": ("forest grown after each batch", drawing.VERMILION, "-", "s"),
    "chosen": ("labels chosen (ask)", drawing.PURPLE, "-", "o"),
    "random": ("labels at random", drawing.MUTED, "-", "s"),
}


def scheduled(curves: Mapping[str, Curve], at_once: Estimate, promotions: Sequence[int]) -> Drawing:
    """Scheduled fine-tuning beside the forest, and beside all labels learned at once."""
    with canvas(4.6) as figure:
        axes = figure.subplots()
        for name in ("scheduled_newest", "scheduled_champion", "forest"):
            if name in curves:
                _line(axes, name, curves[name])
        labels = max(n for curve in curves.values() for n, _ in curve)
        value, low, high = (100 * getattr(at_once, end) for end in ("value", "low", "high"))
        axes.errorbar(
            labels * 1.03,
            value,
            [[value - low], [high - value]],
            color=drawing.GREEN,
            marker="D",
            markersize=5,
            label=f"{value:.1f}  all labels at once",
        )
        lowest = axes.get_ylim()[0]
        for number, place in enumerate(promotions):
            label = "promotion" if number == 0 else None
            axes.plot(place, lowest, "^", color=drawing.INK, markersize=6, clip_on=False, label=label)
        axes.set_ylim(bottom=lowest)
        _finish(axes)
        figure.legend(loc="outside lower left", handlelength=2.6)
        return Drawing(
            "rehearsal_scheduled",
            "Scheduled fine-tuning as labels arrive",
            "Mean recall on the frozen hold-out against the labels seen. The newest network is what the last"
            " pass made, the champion what the scripted person had promoted by the gate's word. Bands and"
            " bar: 95 % intervals over fields.",
            to_svg(figure),
        )


def bought(curves: Mapping[str, Curve]) -> Drawing:
    """Labels bought at random and chosen."""
    with canvas(3.9) as figure:
        axes = figure.subplots()
        for name in ("chosen", "random"):
            _line(axes, name, curves[name])
        _finish(axes)
        figure.legend(loc="outside lower left", handlelength=2.6)
        return Drawing(
            "rehearsal_bought",
            "Labels bought at random, or chosen",
            "Mean recall on the frozen hold-out of networks fine-tuned from the one that saw no real label."
            " The legend has the mean over the numbers of labels. Both begin with no label and end with all.",
            to_svg(figure),
        )


def _line(axes: Axes, name: str, curve: Curve) -> None:
    label, colour, style, marker = _LOOKS[name]
    labels = [n for n, _ in curve]
    value, low, high = (
        100 * np.array([getattr(one, end) for _, one in curve]) for end in ("value", "low", "high")
    )
    told = value[1:-1].mean() if name in ("chosen", "random") and len(value) > 2 else value[-1]
    axes.plot(labels, value, style, color=colour, marker=marker, markersize=4, label=f"{told:.1f}  {label}")
    axes.fill_between(labels, low, high, color=colour, alpha=0.12, linewidth=0)


def _finish(axes: Axes) -> None:
    axes.set(xlabel="labels seen", ylabel="mean recall [%]")
    axes.set_xlim(left=0)
    axes.set_ylim(top=100.5)
