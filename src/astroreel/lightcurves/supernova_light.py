"""The light of supernovae: absolute magnitude against age and redshift, for types Ia and II.

Spectra are taken through the survey's band once for a grid of phases and redshifts, so that a light
curve is a look-up with the K-correction in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from astroreel.lightcurves.base import require_band
from astroreel.lightcurves.response import BANDS, band_response, mean_wavelength

MAX_REDSHIFT = 1.0
_REDSHIFTS = np.linspace(0.0, MAX_REDSHIFT, 101)

_DARK = 15.0  # mag below peak at which a template counts as giving no light

IA_FIRST_PHASE = -20.0  # d from the peak, at stretch 1, at which Hsiao's template begins
_II_PLATEAU = 100.0  # d
_II_DROP = 2.0  # mag
_II_DROP_TIME = 5.0  # d
_LAST_AGE = 120.0  # d

#: Metal lines come to dim a type II's light below a wavelength [Angstrom], by so many mag per 1000 Angstrom,
#: with a time of so many days. With them g light curves fall from their peaks as those of SN 2009N, SN 2013fs
#: (Vincenzi et al. 2019, MNRAS 489, 5802) and Nugent's type II-P do on average, to 0.25 mag, at redshifts of
#: 0.02 to 0.3 and after 10 to 70 d.
_LINES, _LINES_FROM, _LINES_TIME = 1.5, 5600.0, 20.0

_R_V = 3.1


@dataclass(frozen=True)
class PhaseRedshiftTable:
    """Magnitudes on a regular grid of phases [d] and redshifts, read between by straight lines."""

    values: NDArray[np.float64]
    first_phase: float
    step: float

    def __call__(self, phase: NDArray[np.float64], redshift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Magnitudes at phases (n, T) and redshifts (n,), held constant beyond the grid."""
        row = (phase - self.first_phase) / self.step
        column = np.broadcast_to((redshift / _REDSHIFTS[1])[:, None], phase.shape)
        return map_coordinates(self.values, [row, column], order=1, mode="nearest")

    def brightest(self, redshift: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest magnitude of any phase at redshifts (n,)."""
        return np.interp(redshift, _REDSHIFTS, self.values.min(axis=0))


@cache
def type_ia(band: str) -> PhaseRedshiftTable:
    """Hsiao's template (Hsiao et al. 2007, ApJ 663, 1187; as sncosmo ships it).

    Phases count from the peak in B; magnitudes from the peak in rest-frame B.
    """
    import sncosmo

    require_band("supernova", band, BANDS)
    source = sncosmo.get_source("hsiao-subsampled")
    source.set_peakmag(0.0, "bessellb", "ab")
    phases = np.arange(IA_FIRST_PHASE, 86.0)
    return PhaseRedshiftTable(_through_band(source, band, phases), IA_FIRST_PHASE, 1.0)


@cache
def type_ii_correction(band: str) -> PhaseRedshiftTable:
    """K-correction of a type II: a cooling black body that loses its blue light to lines.

    Phases count from the explosion. The temperature falls from 17,000 K to 5,500 K with a time of
    15 d, about as measured for type II-P (Faran et al. 2018, MNRAS 473, 513).
    """
    import sncosmo

    require_band("supernova", band, BANDS)
    phases = np.arange(0.0, _LAST_AGE, 2.0)
    wavelength = np.arange(1500.0, 11500.0, 50.0)
    temperature = 5500.0 + 11500.0 * np.exp(-phases / 15.0)
    spectra = wavelength**-5.0 / np.expm1(1.438777e8 / (wavelength * temperature[:, None]))
    growth = _LINES * -np.expm1(-phases / _LINES_TIME)
    lost = growth[:, None] * np.maximum(_LINES_FROM - wavelength, 0.0) / 1000.0
    source = sncosmo.TimeSeriesSource(phases, wavelength, spectra * 10.0 ** (-0.4 * lost))
    magnitudes = _through_band(source, band, phases)
    return PhaseRedshiftTable(magnitudes - magnitudes[:, :1], 0.0, 2.0)


def dust_dimming(band: str, redshift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitudes lost in a band for each that the host's dust takes in V, at redshifts (n,).

    The law of Fitzpatrick (1999, PASP 111, 63) at the wavelength that the middle of the band is from.
    """
    return np.interp(redshift, _REDSHIFTS, _dimming(band))


@cache
def _dimming(band: str) -> NDArray[np.float64]:
    import sncosmo

    dust = sncosmo.F99Dust(_R_V)
    dust.set(ebv=1.0 / _R_V)
    return -2.5 * np.log10(dust.propagate(mean_wavelength(band) / (1.0 + _REDSHIFTS), 1.0))


def type_ii_shape(
    age: NDArray[np.float64], rise: NDArray[np.float64], decline: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Magnitudes below the peak of a type II-P at rest-frame ages (n, T) [d] since the explosion.

    The flux is (1 - exp(-age / rise)) 10^(-0.4 decline age), then drops after the plateau's 100 d
    (Anderson et al. 2014, ApJ 786, 67); inf before the explosion. ``rise`` [d] and ``decline`` [mag/d]
    are (n,).
    """
    rise, decline = rise[:, None], decline[:, None]
    since = np.maximum(age, 0.0)
    fading = 0.4 * np.log(10.0) * decline
    peak_age = rise * np.log1p(1.0 / (rise * fading))
    drop = _II_DROP / (1.0 + np.exp((_II_PLATEAU - since) / _II_DROP_TIME))
    return _rise(since, rise) - _rise(peak_age, rise) + decline * (since - peak_age) + drop


def _rise(age: NDArray[np.float64], rise: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return -2.5 * np.log10(-np.expm1(-age / rise))


def _through_band(source: object, band: str, phases: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitudes at 10 pc, (phases, redshifts), as the band sees the spectra from each redshift."""
    import sncosmo

    response = sncosmo.Bandpass(*band_response(band), name=f"response {band}")
    model = sncosmo.Model(source)
    columns = []
    for redshift in _REDSHIFTS:
        model.set(z=redshift, t0=0.0)
        flux = model.bandflux(response, phases * (1.0 + redshift), zp=0.0, zpsys="ab")
        columns.append(-2.5 * np.log10(np.maximum(flux, 1e-300)))
    magnitudes = np.stack(columns, axis=1)
    return np.minimum(magnitudes, magnitudes.min(axis=0) + _DARK)
