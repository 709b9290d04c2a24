"""The reference batch: a few made-up sequences by which a loaded model shows that it still answers as gated.

Made from formulas alone, so that it is the same on every machine and needs no data: point sources from none
to bright over sky with a fixed noise pattern, constant, fading and variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from astroreel.errors import UserError
from astroreel.models.load import load_classifier
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, STAMP_SIZE, Sequence, SequenceSet

#: Processors differ in the last digits of a sum; another model differs by more.
TOLERANCE = 1e-3

_EPOCHS = 12
_SKY, _GAIN, _EXPOSURE, _FWHM = 120.0, 4.0, 86.0, 4.0
_FLUXES = (0.0, 300.0, 3e3, 3e4)


def answers(bundle: Path) -> NDArray[np.float64]:
    """What the model in a bundle says of the reference batch after the last epochs, (N, 7).

    Raises `UserError` where the bundle is damaged, does not load, or its answers are no probabilities.
    """
    sequences = reference_batch()
    last = load_classifier(bundle).predict(sequences)[sequences.offsets[1:] - 1]
    if (
        not np.isfinite(last).all()
        or (last < 0).any()
        or not np.allclose(last.sum(axis=1), 1, atol=TOLERANCE)
    ):
        raise UserError("its answers to the reference batch are no probabilities")
    return last


def reference_batch() -> SequenceSet:
    """Constant, fading and variable sources of each brightness."""
    phase = np.arange(_EPOCHS)
    curves = (np.ones(_EPOCHS), np.exp(-phase / 4.0), 1 + 0.5 * np.sin(2.4 * phase))
    fluxes = [flux * curve for flux in _FLUXES for curve in curves]
    return SequenceSet.from_sequences(_sequence(index, flux) for index, flux in enumerate(fluxes))


def _sequence(index: int, flux: NDArray[np.float64]) -> Sequence:
    header = np.zeros((), OBJECT_DTYPE)
    for name, value in {
        "name": f"reference-{index}",
        "survey": "reference",
        "field": "reference",
        "pixscale": 0.27,
        "gain": _GAIN,
        "rdnoise": 6.0,
        "saturate": 4e4,
        "ra": np.nan,
        "dec": np.nan,
        "label_confidence": np.nan,
    }.items():
        header[name] = value
    epochs = np.zeros(_EPOCHS, EPOCH_DTYPE)
    epochs["mjd"] = 57070.0 + 1.1 * np.arange(_EPOCHS)
    epochs["band"] = "g"
    epochs["exptime"], epochs["seeing"], epochs["airmass"] = _EXPOSURE, _FWHM * 0.27, 1.2
    epochs["sky"], epochs["zp"], epochs["limmag"] = _SKY, 25.0, 23.5
    stamps = _SKY + flux[:, None, None] * _source() + np.sqrt(_SKY / _GAIN) * _pattern(index)
    return Sequence(cast(np.void, header[()]), stamps.astype(np.float32), epochs)


def _source() -> NDArray[np.float64]:
    """A Gaussian of unit flux, (21, 21)."""
    offset = np.arange(STAMP_SIZE) - STAMP_SIZE // 2
    sigma = _FWHM / 2.3548
    profile = np.exp(-(offset**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    return profile[:, None] * profile


def _pattern(index: int) -> NDArray[np.float64]:
    """Numbers distributed like noise, (T, 21, 21), from an additive recurrence: no generator's stream."""
    steps = np.arange(_EPOCHS * STAMP_SIZE**2) + 7919.0 * index
    uniform = (steps * (np.sqrt(5) - 1) / 2) % 1
    return ndtri(np.clip(uniform, 1e-6, 1 - 1e-6)).reshape(_EPOCHS, STAMP_SIZE, STAMP_SIZE)
