"""Whole sets beside one another: how bright their objects are, and in what conditions they are seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.names import class_name
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.prepare import Preparation
from astroreel.survey.conditions import ConditionsTable

Floats = NDArray[np.float64]

_COLOURS = (drawing.ORANGE, drawing.BLUE)
_BINS = 24
#: What is compared of the exposures in two tables.
_QUANTITIES: dict[str, Callable[[ConditionsTable], Floats]] = {
    "seeing [arcsec]": lambda table: table.rows["seeing"],
    "airmass": lambda table: table.rows["airmass"],
    "log10 sky [ADU/pixel]": lambda table: np.log10(table.rows["sky"]),
    "zero point [mag]": lambda table: table.rows["zp"],
    "5 sigma limit [mag]": lambda table: table.rows["limmag"],
    "exposures a field": lambda table: np.unique(table.rows["field"], return_counts=True)[1].astype(float),
}


def median_magnitudes(objects: FeatureSet, preparation: Preparation) -> dict[str, Floats]:
    """Magnitude of the median flux of every object, by class; what is below zero has none.

    The light curves refer to ``preparation``.
    """
    flux = np.nanmedian(objects.curves.padded(objects.curves.flux), axis=1)
    bright = flux > 0
    magnitude = preparation.reference_zp - 2.5 * np.log10(flux[bright] / preparation.reference_exptime)
    labels = np.array(CLASSES)[objects.labels[bright]]
    return {label: magnitude[labels == label] for label in CLASSES if label in labels}


def magnitudes(sets: Mapping[str, Mapping[str, Floats]]) -> Drawing:
    """Figure 3.2: how bright the objects of each class are, in one or two sets (their names the keys)."""
    labels = [label for label in CLASSES if any(label in members for members in sets.values())]
    everything = np.concatenate([values for members in sets.values() for values in members.values()])
    faint, bright = np.percentile(everything, [98, 0.2])
    edges = np.linspace(bright, faint, _BINS + 1)
    with canvas(0.9 + 0.62 * len(labels)) as figure:
        panels = figure.subplots(len(labels), sharex=True, squeeze=False)[:, 0]
        for axes, label in zip(panels, labels, strict=True):
            for members, colour in zip(sets.values(), _COLOURS, strict=False):
                _histogram(axes, members.get(label, np.empty(0)), edges, colour)
            axes.set_ylabel(class_name(label), rotation=0, ha="right", va="center", size=9)
        panels[-1].set_xlabel("magnitude of the median flux")
        _legend(figure, sets)
        return Drawing(
            "magnitudes",
            "Brightness of the classes",
            f"Share of the objects of a class at each brightness, {_beside(sets)} (compare the thesis's"
            " Figure 3.2): where a class stands apart, its brightness alone tells it.",
            to_svg(figure),
        )


def conditions(tables: Mapping[str, ConditionsTable]) -> Drawing:
    """The distribution of each condition over the exposures of one or two tables."""
    with canvas(4.6) as figure:
        panels = figure.subplots(3, 2).ravel()
        for axes, (title, quantity) in zip(panels, _QUANTITIES.items(), strict=True):
            columns = [quantity(table) for table in tables.values()]
            low, high = np.percentile(np.concatenate(columns), [0.5, 99.5])
            edges = np.linspace(low, max(high, low + 1e-6), _BINS + 1)
            for values, colour in zip(columns, _COLOURS, strict=False):
                _histogram(axes, values, edges, colour)
            axes.set_xlabel(title, size=9)
        _legend(figure, tables)
        return Drawing(
            "conditions",
            "Observing conditions",
            f"Share of the exposures at each value, {_beside(tables)}.",
            to_svg(figure),
        )


def _histogram(axes: Axes, values: Floats, edges: Floats, colour: str) -> None:
    share = np.histogram(values, edges)[0] / max(len(values), 1)
    axes.stairs(share, edges, color=colour, linewidth=1.3)
    axes.stairs(share, edges, color=colour, alpha=0.15, fill=True)
    axes.set_yticks([])


def _legend(figure: Figure, names: Mapping[str, object]) -> None:
    handles = [Line2D([], [], color=colour) for colour in _COLOURS[: len(names)]]
    figure.legend(handles, list(names), loc="outside upper right", ncols=len(names))


def _beside(names: Mapping[str, object]) -> str:
    return " beside ".join(names)
