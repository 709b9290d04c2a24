"""Sequences to look at: of each class one object's light curve, and below it its stamps.

By themselves, or real ones beside simulated ones in the same conditions (Figures 3.3 and 3.7 to 3.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.names import class_name
from astroreel.evaluation.page import render_page
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation, background_noise
from astroreel.sequences.record import SequenceSet

#: At this reference a count is a microjansky, for zero points in the AB system.
_MICROJANSKY = Preparation(reference_zp=23.9, reference_exptime=1.0)
_FRAMES = 8
#: The middle of a stamp, where its object stands [pixel].
_CENTRE = slice(7, 14)


def longest_of_each_class(sequences: SequenceSet) -> SequenceSet:
    """One object a class, in the order of CLASSES: the first among those with the most epochs."""
    lengths, labels = sequences.lengths, sequences.labels
    present = [label for label in CLASSES if label in labels]
    return sequences.select([np.where(labels == label, lengths, -1).argmax() for label in present])


def gallery(sequences: SequenceSet) -> list[Drawing]:
    """A drawing of each object of a simulated set."""
    return [_draw("simulated", {"simulated": sequences.select([index])}) for index in range(len(sequences))]


def side_by_side(real: SequenceSet, simulated: SequenceSet, domain: str) -> list[Drawing]:
    """Each object of a target (``domain``: ``real`` or ``surrogate``) beside its simulated twin.

    Real stamps may stand in a report, never in a file that is committed.
    """
    return [
        _draw("twin", {domain: real.select([index]), "simulated": simulated.select([index])})
        for index in range(len(real))
    ]


def write_gallery(path: Path, sequences: SequenceSet) -> None:
    """Write one self-contained page with an object of each class.

    Raises `UserError` where it cannot be written.
    """
    drawings = gallery(longest_of_each_class(sequences))
    survey = str(sequences.objects["survey"][0]) if len(sequences) else ""
    render_page(path, "gallery.html", survey=survey, objects=len(sequences), drawings=drawings)


def _draw(name: str, reels: Mapping[str, SequenceSet]) -> Drawing:
    """One object, or two of the same epochs: their light curves in one panel, a strip of stamps each."""
    label = str(next(iter(reels.values())).labels[0])
    scaled = [_in_noise(reel) for reel in reels.values()]
    chosen = _chosen(scaled[0])
    strips = [_strip(stamps, chosen) for stamps in scaled]
    brightest = max(float(np.nanmax(strip)) for strip in strips)
    with canvas(1.75 + 0.65 * len(reels)) as figure:
        panels = figure.subplots(1 + len(reels), gridspec_kw={"height_ratios": [2.6, *(1 for _ in reels)]})
        for kind, reel in reels.items():
            _light_curve(panels[0], reel, chosen, kind)
        if len(reels) > 1:
            figure.legend(loc="outside upper right", ncols=len(reels))
        for axes, strip, kind in zip(panels[1:], strips, reels, strict=True):
            axes.imshow(strip, cmap="gray", vmin=-1.2, vmax=brightest)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.grid(False)
            if len(reels) > 1:
                axes.set_title(kind, loc="left", size=9, pad=2)
        return Drawing(
            f"{name}_{label}",
            class_name(label),
            f"Light curve by optimal photometry, and up to {_FRAMES} of its stamps (filled points),"
            " sky-subtracted, on an arcsinh scale of the noise.",
            to_svg(figure),
        )


def _light_curve(axes: Axes, reel: SequenceSet, chosen: NDArray[np.int64], kind: str) -> None:
    colour = drawing.ORANGE if kind == "simulated" else drawing.BLUE
    curves = photometry(reel, _MICROJANSKY)
    days = curves.mjd - curves.mjd[0]
    axes.errorbar(
        days,
        curves.flux,
        curves.error,
        fmt="o",
        color=colour,
        markersize=3.5,
        markerfacecolor="none",
        linewidth=0.9,
        label=kind,
    )
    axes.plot(days[chosen], curves.flux[chosen], "o", color=colour, markersize=3.5)
    axes.set(xlabel="days since the first epoch", ylabel="flux [µJy]")


def _in_noise(reel: SequenceSet) -> NDArray[np.float64]:
    """Stamps (T, 21, 21) without their sky, in units of its noise."""
    sky = reel.epochs["sky"][:, None, None]
    return (np.asarray(reel.stamps) - sky) / background_noise(reel)[:, None, None]


def _chosen(stamps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Epochs to show, evenly spread, the brightest among them: an asteroid is seen in one alone."""
    brightest = np.nansum(stamps[:, _CENTRE, _CENTRE], axis=(1, 2)).argmax()
    chosen = np.unique(np.linspace(0, len(stamps) - 1, _FRAMES).round().astype(np.int64))
    chosen[np.abs(chosen - brightest).argmin()] = brightest
    return chosen


def _strip(stamps: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Stamps side by side, one blank column between them."""
    framed = np.pad(np.arcsinh(stamps[chosen]), ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    padded = np.pad(framed, ((0, _FRAMES - len(chosen)), (0, 0), (0, 0)), constant_values=np.nan)
    return np.concatenate(list(padded), axis=1)
