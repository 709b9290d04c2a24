"""What an arriving sequence must make sense in, beyond contract 1: pixels, times, and its own header.

The bounds are wide: they are to keep out what is broken, not what is rare.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from astroreel.errors import InvalidSequence
from astroreel.sequences.record import Sequence
from astroreel.sequences.rim import RIM

#: Least share of pixels that are no NaN, in the frames that have any.
LEAST_FINITE = 0.5

#: Largest share of frames whose source is saturated.
MOST_SATURATED = 0.5

#: How far, as a factor, the median border of the frames may lie from the header's SKY.
SKY_FACTOR = 3.0

#: Least noise of the border, over that of sky and read noise: below it the stamps were smoothed or made up.
#: There is no largest one, since a bright source or a host reaches the border.
LEAST_NOISE = 0.25

#: How far in the future an exposure may be, for clocks that differ [d].
CLOCK_DRIFT = 0.05

#: A median absolute deviation times this is a standard deviation.
_MAD = 1.4826


def check_sense(sequence: Sequence, now: datetime) -> None:
    """Raise `InvalidSequence` at the first thing that makes no sense.

    Parameters
    ----------
    sequence
        Valid by contract 1.
    now
        The present, with its time zone: no exposure may be later.
    """
    name = sequence.name
    latest, present = float(sequence.epochs["mjd"][-1]), float(Time(now).mjd)
    if latest > present + CLOCK_DRIFT:
        raise InvalidSequence(
            name, "future", f"the last exposure is of MJD {latest:.3f}, now is {present:.3f}"
        )
    exposed = sequence.epochs["exptime"][:-1] / 86_400.0
    gaps = np.diff(sequence.epochs["mjd"])
    if (gaps < exposed).any():
        row = int(np.argmax(gaps < exposed))
        raise InvalidSequence(
            name, "cadence", f"row {row + 1} begins {gaps[row]:.6f} d after a row of {exposed[row]:.6f} d"
        )
    seen = np.isfinite(sequence.stamps).any(axis=(1, 2))
    stamps, epochs = sequence.stamps[seen], sequence.epochs[seen]
    _check_pixels(name, stamps, float(sequence.header["saturate"]))
    _check_sky(name, stamps, epochs, float(sequence.header["gain"]), float(sequence.header["rdnoise"]))


def _check_pixels(name: str, stamps: NDArray[np.float32], saturate: float) -> None:
    finite = float(np.isfinite(stamps).mean())
    if finite < LEAST_FINITE:
        raise InvalidSequence(
            name, "finite", f"{finite:.0%} of the pixels are numbers, expected {LEAST_FINITE:.0%}"
        )
    saturated = float((np.nanmax(stamps, axis=(1, 2)) >= saturate).mean())
    if saturated > MOST_SATURATED:
        raise InvalidSequence(
            name, "saturated", f"{saturated:.0%} of the frames are, expected at most {MOST_SATURATED:.0%}"
        )


def _check_sky(
    name: str, stamps: NDArray[np.float32], epochs: NDArray[np.void], gain: float, rdnoise: float
) -> None:
    border = stamps[:, RIM]
    level = np.nanmedian(border, axis=1)
    noise = _MAD * np.nanmedian(np.abs(border - level[:, None]), axis=1)
    expected = np.sqrt(np.maximum(epochs["sky"], 0.0) / gain + (rdnoise / gain) ** 2)
    bright, noisy = _ratio(level, epochs["sky"]), _ratio(noise, expected)
    if not 1.0 / SKY_FACTOR <= bright <= SKY_FACTOR:
        raise InvalidSequence(
            name, "sky", f"the border is {bright:.3g} times SKY, expected within a factor {SKY_FACTOR:g}"
        )
    if not noisy >= LEAST_NOISE:
        raise InvalidSequence(
            name,
            "noise",
            f"the border's noise is {noisy:.3g} times that of SKY, GAIN and RDNOISE, expected at least "
            f"{LEAST_NOISE:g}",
        )


def _ratio(found: NDArray[np.float32], expected: NDArray[np.float64]) -> float:
    known = np.isfinite(found) & (expected > 0)
    return float(np.median(found[known] / expected[known])) if known.any() else np.nan
