"""One sequence to look at: its light curve, and a strip of its stamps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from astroreel.evaluation import drawing
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation, background_noise
from astroreel.sequences.record import SequenceSet

#: Stamps in a strip.
FRAMES = 8

#: At this reference a count is a microjansky, for zero points in the AB system.
_MICROJANSKY = Preparation(reference_zp=23.9, reference_exptime=1.0)
#: The middle of a stamp, where its object stands [pixel].
_CENTRE = slice(7, 14)


def light_curve(axes: Axes, reel: SequenceSet, chosen: NDArray[np.int64], kind: str) -> None:
    """Fluxes by optimal photometry against days since the first epoch; the chosen epochs are filled."""
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


def in_noise(reel: SequenceSet) -> NDArray[np.float64]:
    """Stamps (T, 21, 21) without their sky, in units of its noise."""
    sky = reel.epochs["sky"][:, None, None]
    return (np.asarray(reel.stamps) - sky) / background_noise(reel)[:, None, None]


def chosen_frames(stamps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Epochs to show, evenly spread, the brightest among them: an asteroid is seen in one alone."""
    brightest = np.nansum(stamps[:, _CENTRE, _CENTRE], axis=(1, 2)).argmax()
    chosen = np.unique(np.linspace(0, len(stamps) - 1, FRAMES).round().astype(np.int64))
    chosen[np.abs(chosen - brightest).argmin()] = brightest
    return chosen


def strip(stamps: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Stamps side by side, one blank column between them."""
    framed = np.pad(np.arcsinh(stamps[chosen]), ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    padded = np.pad(framed, ((0, FRAMES - len(chosen)), (0, 0), (0, 0)), constant_values=np.nan)
    return np.concatenate(list(padded), axis=1)
