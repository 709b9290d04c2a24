"""Every supernova of the target by itself: light curve, what the models thought as it rose, stamps.

The thesis shows three (Figures 4.8 to 4.10); here are all, those that were never told among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation import drawing
from astroreel.evaluation.answers import Answers
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.page import render_page
from astroreel.evaluation.reel import chosen_frames, in_noise, light_curve, strip
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import TRANSIENT

_COLOURS = {"rcnn": drawing.BLUE, "forest": drawing.VERMILION}
_LINES = {"zero_shot": "--", "fine_tuned": "-"}


@dataclass(frozen=True)
class Told:
    """One supernova and how it was told.

    Attributes
    ----------
    drawing
        Its picture.
    name, field
        Its name and field.
    epochs, detection
        Its samples, and the one at which it is first detected, counted from 1; None for none.
    last
        Probability of a supernova after the last sample by ``MODEL.STAGE``.
    """

    drawing: Drawing
    name: str
    field: str
    epochs: int
    detection: int | None
    last: Mapping[str, float]


def supernovae(sequences: SequenceSet, detections: Mapping[str, int], answers: Answers) -> list[Told]:
    """All supernovae of a set, in the order of their names.

    Parameters
    ----------
    sequences
        The objects, cut to their windows.
    detections
        Sample, from 0, at which each is first detected; -1 for none.
    answers
        What the models said of them.
    """
    members = [i for i in range(len(sequences)) if sequences.labels[i] == TRANSIENT]
    members.sort(key=lambda index: str(sequences.objects["name"][index]))
    return [_told(sequences.select([index]), detections, answers) for index in members]


def write_supernovae(path: Path, told: Sequence[Told], target: str) -> None:
    """Write the page; raises `UserError` where it cannot be written."""
    keys = list(told[0].last) if told else []
    render_page(path, "supernovae.html", told=told, target=target, keys=[key.split(".") for key in keys])


def _told(reel: SequenceSet, detections: Mapping[str, int], answers: Answers) -> Told:
    name, field = str(reel.objects["name"][0]), str(reel.objects["field"][0])
    epochs = int(reel.lengths[0])
    probabilities = {
        key: table[:epochs, CLASSES.index(TRANSIENT)] for key, table in answers.of_object(name).items()
    }
    detection = detections[name] if 0 <= detections[name] < epochs else None
    return Told(
        drawing=_draw(name, reel, probabilities, detection),
        name=name,
        field=field,
        epochs=epochs,
        detection=None if detection is None else detection + 1,
        last={key: float(values[-1]) for key, values in probabilities.items()},
    )


def _draw(
    name: str, reel: SequenceSet, probabilities: Mapping[str, NDArray[np.float32]], detection: int | None
) -> Drawing:
    scaled = in_noise(reel)
    chosen = chosen_frames(scaled)
    days = reel.epochs["mjd"] - reel.epochs["mjd"][0]
    with canvas(3.9) as figure:
        panels = figure.subplots(3, gridspec_kw={"height_ratios": [2.2, 2.0, 1.0]})
        light_curve(panels[0], reel, chosen, "real")
        panels[0].set_xlabel("")
        panels[0].sharex(panels[1])
        panels[0].tick_params(labelbottom=False)
        _probabilities(panels[1], days, probabilities)
        if detection is not None:
            for axes in panels[:2]:
                axes.axvline(days[detection], color=drawing.MUTED, linewidth=0.9, linestyle=":")
        panels[2].imshow(strip(scaled, chosen), cmap="gray", vmin=-1.2)
        panels[2].set(xticks=[], yticks=[])
        panels[2].spines[:].set_visible(False)
        panels[2].grid(False)
        seen = "never detected here" if detection is None else f"detected at sample {detection + 1}"
        return Drawing(name, name, f"{seen.capitalize()} of {len(days)}.", to_svg(figure))


def _probabilities(
    axes: Axes, days: NDArray[np.float64], probabilities: Mapping[str, NDArray[np.float32]]
) -> None:
    for key, values in probabilities.items():
        model, stage = key.split(".")
        axes.plot(days, 100 * values, _LINES[stage], color=_COLOURS[model], linewidth=1.3, marker=".", ms=3)
    axes.set(ylim=(-3, 103), xlabel="days since the first epoch", ylabel="P(supernova) [%]")
