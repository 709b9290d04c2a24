"""Pictures of the data and of the training: sequences, light curves, learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.names import class_name
from astroreel.sequences.prepare import background_noise
from astroreel.sequences.record import Sequence as ImageSequence
from astroreel.sequences.record import SequenceSet

#: Not those of the RCNN and the forest, which these curves do not compare.
_CURVE_COLOURS = (drawing.GREEN, drawing.PURPLE, drawing.ORANGE)
_STRIP_FRAMES = 8
#: The middle of a stamp, where its object stands [pixel].
_CENTRE = slice(7, 14)


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


@dataclass(frozen=True)
class LightCurveExample:
    """One object's light curve.

    Attributes
    ----------
    label
        Its class.
    days
        (T,) days since its first epoch.
    flux, error
        (T,) [ADU at the reference].
    """

    label: str
    days: NDArray[np.floating]
    flux: NDArray[np.floating]
    error: NDArray[np.floating]


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


def light_curves(examples: Sequence[LightCurveExample]) -> Drawing:
    """Figure 3.3: a light curve of each class."""
    rows = -(-len(examples) // 2)
    with canvas(0.4 + 1.35 * rows) as figure:
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        for axes, example in zip(panels, examples, strict=False):
            axes.errorbar(
                example.days,
                example.flux / 1000,
                example.error / 1000,
                fmt="o",
                color=drawing.BLUE,
                markersize=3,
                linewidth=0.9,
            )
            axes.set_title(class_name(example.label), loc="left")
        for axes in panels[len(examples) :]:
            axes.set_axis_off()
        figure.supxlabel("days since the first epoch", size=10)
        figure.supylabel("flux [1000 ADU]", size=10)
        return Drawing(
            "light_curves",
            "Light curves",
            "One simulated object of each class as optimal photometry sees it (compare the thesis's"
            " Figure 3.3).",
            to_svg(figure),
        )


def stamp_strips(sequences: SequenceSet, domain: str) -> Drawing:
    """One row an object: up to eight of its stamps, sky-subtracted, in units of their noise.

    Real stamps (``domain`` ``real``) may stand in a report, never in a file that is committed.
    """
    with canvas(0.72 * len(sequences) + 0.1) as figure:
        panels = figure.subplots(len(sequences), squeeze=False)[:, 0]
        noise = np.split(background_noise(sequences), sequences.offsets[1:-1])
        for axes, sequence, sigma in zip(panels, sequences, noise, strict=True):
            strip = _strip(sequence, sigma)
            axes.imshow(strip, cmap="gray", vmin=-1.2, vmax=np.nanmax(strip))
            axes.set_axis_off()
            days = sequence.epochs["mjd"][-1] - sequence.epochs["mjd"][0]
            axes.set_title(
                f"{class_name(sequence.label)}, {len(sequence)} epochs in {days:.0f} d", loc="left"
            )
        return Drawing(
            f"{domain}_stamps",
            f"Image sequences, {domain} objects",
            "Up to eight epochs of one object a class, the brightest among them, in time's order from left"
            " to right; 21 x 21 pixels, sky-subtracted, on an arcsinh scale of the noise.",
            to_svg(figure),
        )


def _strip(sequence: ImageSequence, noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stamps side by side, one blank column between them."""
    scaled = (sequence.stamps - sequence.epochs["sky"][:, None, None]) / noise[:, None, None]
    brightest = np.nansum(scaled[:, _CENTRE, _CENTRE], axis=(1, 2)).argmax()
    chosen = np.unique(np.linspace(0, len(sequence) - 1, _STRIP_FRAMES).round().astype(int))
    chosen[np.abs(chosen - brightest).argmin()] = brightest  # an asteroid is seen in one frame alone
    framed = np.pad(np.arcsinh(scaled[chosen]), ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    padded = np.pad(framed, ((0, _STRIP_FRAMES - len(chosen)), (0, 0), (0, 0)), constant_values=np.nan)
    return np.concatenate(list(padded), axis=1)
