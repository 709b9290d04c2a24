"""Through which light a band sees: DECam's responses, coarsely.

Figures every 100 Angstrom of the responses of DES DR1 (Abbott et al. 2018, ApJS 239, 18), atmosphere and all,
the mean over each 100 Angstrom in per cent of the greatest. Other surveys' bands of these names differ by
less than supernovae among themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: First wavelength [Angstrom] and per cent.
_RESPONSES: dict[str, tuple[float, list[int]]] = {
    "u": (3200.0, [0, 1, 4, 11, 24, 47, 74, 100, 59, 1, 0]),
    "g": (3900.0, [0, 29, 45, 52, 59, 66, 72, 76, 80, 84, 87, 90, 93, 96, 98, 100, 33, 0]),
    "r": (5400.0, [0, 1, 4, 64, 83, 84, 86, 89, 91, 91, 94, 95, 97, 99, 100, 95, 99, 92, 16, 0]),
    "i": (6900.0, [0, 7, 59, 90, 93, 97, 99, 74, 93, 100, 98, 96, 97, 94, 96, 98, 98, 21, 0]),
    "z": (8400.0, [0, 56, 97, 100, 100, 100, 93, 92, 94, 81, 66, 67, 73, 78, 75, 70, 31, 1, 0]),
    "y": (9300.0, [0, 2, 19, 81, 100, 97, 91, 78, 63, 48, 34, 22, 15, 9, 3, 0]),
}
_STEP = 100.0

#: The bands that light curves are known in.
BANDS = tuple(_RESPONSES)


def band_response(band: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wavelengths [Angstrom] and relative response of one of :data:`BANDS`, both (W,)."""
    first, per_cent = _RESPONSES[band]
    response = np.array(per_cent, dtype=np.float64)
    return first + _STEP * np.arange(len(response), dtype=np.float64), response


def mean_wavelength(band: str) -> float:
    """Mean wavelength of a band, by its response [Angstrom]."""
    wavelength, response = band_response(band)
    return float(np.average(wavelength, weights=response))
