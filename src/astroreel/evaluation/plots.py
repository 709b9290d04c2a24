"""Two pictures that any table of estimates can become: intervals one below another, and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.estimate import Estimate

_COLOURS = (drawing.BLUE, drawing.VERMILION, drawing.GREEN, drawing.PURPLE, drawing.ORANGE, drawing.SKY)
_MARKERS = "os^vDP"


def intervals(
    rows: Mapping[str, Mapping[str, Estimate]],
    axis: str,
    name: str,
    title: str,
    caption: str,
    reference: float | None = None,
) -> Drawing:
    """A row a key, in it an interval for each series; a dotted line at ``reference``.

    Parameters
    ----------
    rows
        Estimates by row and series; a series may be missing from a row.
    axis
        Label of the axis of values.
    name, title, caption
        Of the drawing.
    """
    series = list(dict.fromkeys(key for row in rows.values() for key in row))
    spread = 0.5 / max(len(series), 1)
    with canvas(0.9 + (0.22 + 0.16 * len(series)) * len(rows)) as figure:
        axes = figure.subplots()
        for index, key in enumerate(series):
            found = [(place, row[key]) for place, row in enumerate(rows.values()) if key in row]
            heights = [place + spread * (index - (len(series) - 1) / 2) for place, _ in found]
            values = np.array([estimate.value for _, estimate in found])
            ends = np.array([[e.value - e.low, e.high - e.value] for _, e in found]).T.clip(0)
            axes.errorbar(
                values,
                heights,
                xerr=ends,
                fmt=_MARKERS[index % len(_MARKERS)],
                color=_COLOURS[index % len(_COLOURS)],
                markersize=4,
                linewidth=1.2,
                label=key,
            )
        if reference is not None:
            axes.axvline(reference, color=drawing.MUTED, linewidth=0.9, linestyle=":")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(axis)
        axes.locator_params(axis="x", nbins=6)
        if len(series) > 1:
            figure.legend(loc="outside upper right", ncols=2 + (len(series) == 3))
        return Drawing(name, title, caption, to_svg(figure))


def lines(
    series: Mapping[str, Sequence[tuple[float, Estimate]]],
    axes_labels: tuple[str, str],
    name: str,
    title: str,
    caption: str,
    evenly: bool = False,
) -> Drawing:
    """A line a key through its points, with their intervals.

    Parameters
    ----------
    series
        Points, abscissa and estimate, by name.
    axes_labels
        Of abscissa and ordinate.
    name, title, caption
        Of the drawing.
    evenly
        Whether the abscissae stand side by side, whatever lies between them.
    """
    ticks = sorted({x for points in series.values() for x, _ in points})
    place = {x: float(index) if evenly else x for index, x in enumerate(ticks)}
    with canvas(3.2 + 0.2 * len(series)) as figure:
        axes = figure.subplots()
        for index, (key, points) in enumerate(series.items()):
            colour = _COLOURS[index % len(_COLOURS)]
            where = [place[x] for x, _ in points]
            axes.plot(
                where,
                [e.value for _, e in points],
                color=colour,
                marker=_MARKERS[index % len(_MARKERS)],
                markersize=4,
                linewidth=1.4,
                label=key,
            )
            axes.fill_between(
                where,
                [e.low for _, e in points],
                [e.high for _, e in points],
                color=colour,
                alpha=0.1,
                linewidth=0,
            )
        if evenly:
            axes.set_xticks(range(len(ticks)), [f"{x:g}" for x in ticks])
        axes.set_xlabel(axes_labels[0])
        axes.set_ylabel(axes_labels[1])
        figure.legend(loc="outside lower left", handlelength=2.4)
        return Drawing(name, title, caption, to_svg(figure))
