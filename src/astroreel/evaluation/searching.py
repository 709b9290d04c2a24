"""Pictures of a search: how it went, which parameters matter, and what good trials have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.training.search import Trial

_LOSS = "loss"
#: Parameters that are drawn evenly in their logarithm.
_LOGARITHMIC = ("learning_rate",)


def drawings(trials: Sequence[Trial], importances: Mapping[str, float]) -> list[Drawing]:
    """History, importances where there are any, and parallel coordinates."""
    return [
        history(trials),
        *([importance(importances)] if importances else []),
        parallel_coordinates(trials),
    ]


def history(trials: Sequence[Trial]) -> Drawing:
    """The loss of each trial, and the lowest of the whole trials so far."""
    with canvas(3.0) as figure:
        axes = figure.subplots()
        for given_up, colour, marker in ((False, drawing.BLUE, "o"), (True, drawing.MUTED, "x")):
            some = [trial for trial in trials if trial.given_up == given_up]
            axes.plot([t.number for t in some], [t.loss for t in some], marker, color=colour, markersize=5)
        lowest = np.minimum.accumulate([math.inf if t.given_up else t.loss for t in trials])
        axes.step([t.number for t in trials], lowest, where="post", color=drawing.BLUE, linewidth=1.2)
        axes.set_xlabel("trial")
        axes.set_ylabel("lowest validation loss [nat]")
        handles = [
            Line2D([], [], color=drawing.BLUE, marker="o", linestyle=""),
            Line2D([], [], color=drawing.MUTED, marker="x", linestyle=""),
            Line2D([], [], color=drawing.BLUE, linewidth=1.2),
        ]
        figure.legend(handles, ["whole", "given up", "best so far"], loc="outside upper left", ncols=3)
        caption = "Lowest validation loss of each trial."
        return Drawing("search_history", "The trials", caption, to_svg(figure))


def importance(importances: Mapping[str, float]) -> Drawing:
    """The share of the loss's variance that each parameter explains."""
    names = list(importances)[::-1]
    with canvas(0.9 + 0.35 * len(names)) as figure:
        axes = figure.subplots()
        axes.barh([_label(name) for name in names], [100 * importances[n] for n in names], color=drawing.BLUE)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, 100)
        axes.set_xlabel("variance of the loss explained [%]")
        return Drawing(
            "search_importances",
            "What matters",
            "Share of the variance of the loss between whole trials that each parameter explains (fANOVA), of"
            " those that every trial has.",
            to_svg(figure),
        )


def parallel_coordinates(trials: Sequence[Trial]) -> Drawing:
    """A line a trial through its values; those of the best third in blue, the best one bold."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.values))
    columns = [*names, _LOSS]
    rows = [{**trial.values, _LOSS: trial.loss} for trial in trials]
    places = {column: _places([row.get(column) for row in rows], column) for column in columns}
    order = sorted(range(len(trials)), key=lambda index: trials[index].loss, reverse=True)
    best = set(order[-max(len(trials) // 3, 1) :])
    with canvas(4.2) as figure:
        axes = figure.subplots()
        for index in order:
            heights = np.array([places[column][0][index] for column in columns])
            known = np.flatnonzero(np.isfinite(heights))
            colour = drawing.BLUE if index in best else drawing.MUTED
            width = 2.2 if index == order[-1] else 0.9
            axes.plot(known, heights[known], color=colour, linewidth=width, marker="o", markersize=3)
        for x, column in enumerate(columns):
            _scale(axes, x, places[column][1], above=x % 2 == 0)
        axes.set_xticks(range(len(columns)), [_label(c) for c in columns], rotation=60, ha="right")
        axes.set_yticks([])
        axes.set_ylim(-0.1, 1.12)
        axes.set_xlim(-0.4, len(columns) - 0.4)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        return Drawing(
            "search_parallel_coordinates",
            "What good trials have in common",
            "A line a trial, through what it tried to the lowest loss that it reached, past what its network"
            " does not have. Blue: the best third; bold: the best.",
            to_svg(figure),
        )


def _places(values: Sequence[Any], column: str) -> tuple[list[float], list[tuple[float, str]]]:
    """Heights of values, 0 to 1 and NaN for none, and the heights and labels of their scale."""
    known = sorted({value for value in values if value is not None}, key=lambda v: (isinstance(v, str), v))
    if isinstance(known[0], str) or len(known) <= 3:
        heights = {value: (i + 0.5) / len(known) for i, value in enumerate(known)}
        marks = [(height, str(value).replace("+", "+\n")) for value, height in heights.items()]
        return [heights.get(v, math.nan) for v in values], marks
    scale = math.log if column in _LOGARITHMIC else float
    low, high = scale(known[0]), scale(known[-1])
    heights = {value: (scale(value) - low) / (high - low) for value in known}
    return [heights.get(v, math.nan) for v in values], [(0.0, f"{known[0]:.3g}"), (1.0, f"{known[-1]:.3g}")]


def _scale(axes: Axes, x: float, marks: Sequence[tuple[float, str]], above: bool) -> None:
    """The marks of one axis, above or below their places, so that neighbours do not meet."""
    axes.axvline(x, color=drawing.RULE, linewidth=0.8)
    ground = {"facecolor": drawing.PAPER, "edgecolor": "none", "pad": 0.6}
    for height, text in marks:
        axes.annotate(
            text,
            (x, height),
            (0, 5 if above else -5),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=7,
            color=drawing.INK,
            bbox=ground,
            zorder=5,
        )


def _label(name: str) -> str:
    return name.replace("_", " ").replace(".", ": ")
