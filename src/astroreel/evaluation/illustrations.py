"""Pictures of the training: its learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg

#: Not those of the RCNN and the forest, which these curves do not compare.
_CURVE_COLOURS = (drawing.GREEN, drawing.PURPLE, drawing.ORANGE)


@dataclass(frozen=True)
class LearningCurve:
    """A quantity during training.

    Attributes
    ----------
    quantity
        What was measured (``loss``, ``accuracy``): one panel each.
    name
        On what (``training``, ``validation``).
    steps, values
        (K,) iterations and the values after them.
    """

    quantity: str
    name: str
    steps: NDArray[np.number]
    values: NDArray[np.floating]


def learning_curves(curves: Sequence[LearningCurve]) -> Drawing:
    """What the pretraining did: one panel a quantity."""
    quantities = list(dict.fromkeys(curve.quantity for curve in curves))
    names = list(dict.fromkeys(curve.name for curve in curves))
    with canvas(0.6 + 1.9 * len(quantities)) as figure:
        panels = figure.subplots(len(quantities), squeeze=False, sharex=True)[:, 0]
        for axes, quantity in zip(panels, quantities, strict=True):
            scale, unit = (100, " [%]") if quantity == "accuracy" else (1, "")
            for curve in curves:
                if curve.quantity == quantity:
                    colour = _CURVE_COLOURS[names.index(curve.name) % len(_CURVE_COLOURS)]
                    axes.plot(curve.steps, scale * curve.values, color=colour, linewidth=1.5)
            axes.set_ylabel(quantity + unit)
        panels[-1].set_xlabel("iteration")
        handles = [Line2D([], [], color=_CURVE_COLOURS[i % len(_CURVE_COLOURS)]) for i in range(len(names))]
        figure.legend(handles, names, loc="outside upper left", ncols=len(names))
        return Drawing(
            "learning_curves",
            "Pretraining",
            "The RCNN's learning curves on simulated sequences.",
            to_svg(figure),
        )
