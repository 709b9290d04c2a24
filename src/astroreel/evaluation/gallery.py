"""Sequences to look at: of each class one object's light curve, and below it its stamps.

By themselves, or real ones beside simulated ones in the same conditions (Figures 3.3 and 3.7 to 3.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from astroreel.classes import CLASSES
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.names import class_name
from astroreel.evaluation.page import render_page
from astroreel.evaluation.reel import FRAMES, chosen_frames, in_noise, light_curve, strip
from astroreel.sequences.record import SequenceSet


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
    scaled = [in_noise(reel) for reel in reels.values()]
    chosen = chosen_frames(scaled[0])
    strips = [strip(stamps, chosen) for stamps in scaled]
    brightest = max(float(np.nanmax(one)) for one in strips)
    with canvas(1.75 + 0.65 * len(reels)) as figure:
        panels = figure.subplots(1 + len(reels), gridspec_kw={"height_ratios": [2.6, *(1 for _ in reels)]})
        for kind, reel in reels.items():
            light_curve(panels[0], reel, chosen, kind)
        if len(reels) > 1:
            figure.legend(loc="outside upper right", ncols=len(reels))
        for axes, shown, kind in zip(panels[1:], strips, reels, strict=True):
            axes.imshow(shown, cmap="gray", vmin=-1.2, vmax=brightest)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.grid(False)
            if len(reels) > 1:
                axes.set_title(kind, loc="left", size=9, pad=2)
        return Drawing(
            f"{name}_{label}",
            class_name(label),
            f"Light curve by optimal photometry, and up to {FRAMES} of its stamps (filled points),"
            " sky-subtracted, on an arcsinh scale of the noise.",
            to_svg(figure),
        )
