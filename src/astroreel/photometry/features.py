"""The light-curve features of the forest: those of FATS that the thesis uses (3.2.3 and its appendix).

The appendix names families; here they are expanded. Left out as there: the colour features (Color,
Eta_color, Q31_color), StetsonJ and StetsonL. Light curves are in ADU at the reference zero point, as in
the thesis.

What the ``light-curve`` package (Rust) has is taken from it; it is also what ``feets``, the successor
of FATS, calls. The definitions are those of feets 1.0.1, save

- PercentAmplitude is divided by the median, and MedianBRP counts the points within a tenth of the full
  range around it, as in FATS (feets: not divided; half that width);
- Q31 interpolates between epochs as the other percentiles do, not as numpy does;
- PeriodLS comes from a floating-mean periodogram, and each of the three frequencies of
  Freq{i}_harmonics_amplitude_{j} is searched after the ones before it are subtracted, as in FATS
  (feets takes the three highest points of one periodogram, which are neighbours of one peak);
- SlottedA_length and StetsonK_AC look 100 days back and no further;
- CAR_sigma and CAR_tau are those of the highest likelihood: see `autoregressive`.

Where feets itself departs from FATS: Amplitude is half the full range (FATS: between the medians of the
extreme 5 %; the same below 21 epochs); AndersonDarling is the statistic, not a sigmoid of it; Beyond1Std,
Std, Meanvariance and Skew use unweighted moments with N - 1; Eta_e has another factor.

A feature that is not defined, because there are too few epochs or no variation, is :data:`UNDEFINED`.
"""

from __future__ import annotations

from collections.abc import Sequence

import light_curve as lc
import numpy as np
from numpy.typing import NDArray

from astroreel.photometry import autocorrelation, autoregressive, periodic
from astroreel.photometry.curves import LightCurves

Floats = NDArray[np.float64]

#: Value of an undefined feature.
UNDEFINED = 0.0
#: Features are cut to this size, so that they fit single precision.
LARGEST = 1e12

#: FATS's name: the feature of the light-curve package, whose first value is taken.
_LIBRARY = {
    "Amplitude": lc.Amplitude(),
    "AndersonDarling": lc.AndersonDarlingNormal(),
    "Beyond1Std": lc.BeyondNStd(1.0),
    "Eta_e": lc.EtaE(),
    "FluxPercentileRatioMid20": lc.MagnitudePercentageRatio(0.40, 0.05),
    "FluxPercentileRatioMid35": lc.MagnitudePercentageRatio(0.325, 0.05),
    "FluxPercentileRatioMid50": lc.MagnitudePercentageRatio(0.25, 0.05),
    "FluxPercentileRatioMid65": lc.MagnitudePercentageRatio(0.175, 0.05),
    "FluxPercentileRatioMid80": lc.MagnitudePercentageRatio(0.10, 0.05),
    "LinearTrend": lc.LinearTrend(),
    "MaxSlope": lc.MaximumSlope(),
    "Mean": lc.Mean(),
    "Meanvariance": lc.MeanVariance(),
    "MedianAbsDev": lc.MedianAbsoluteDeviation(),
    "MedianBRP": lc.MedianBufferRangePercentage(0.20),
    "PercentAmplitude": lc.PercentAmplitude(),
    "PercentDifferenceFluxPercentile": lc.PercentDifferenceMagnitudePercentile(0.05),
    "Q31": lc.InterPercentileRange(0.25),
    "Skew": lc.Skew(),
    "SmallKurtosis": lc.Kurtosis(),
    "Std": lc.StandardDeviation(),
    "StetsonK": lc.StetsonK(),
}
_FREQUENCIES = 3
_HARMONICS = 4
_AMPLITUDES = tuple(
    f"Freq{i}_harmonics_amplitude_{j}" for i in range(1, _FREQUENCIES + 1) for j in range(_HARMONICS)
)
_IN_ORDER = ("Autocor_length", "Con", "PairSlopeTrend", "Rcs")
_AUTOREGRESSIVE = ("CAR_mean", "CAR_sigma", "CAR_tau")
_SLOTTED = ("SlottedA_length", "StetsonK_AC")
_PERIODIC = ("PeriodLS", "Period_fit", "Psi_CS", "Psi_eta", *_AMPLITUDES)
_NAMES = tuple(sorted((*_LIBRARY, *_AUTOREGRESSIVE, *_IN_ORDER, *_SLOTTED, *_PERIODIC)))

_EXTRACTOR = lc.Extractor(lc.Median(), *_LIBRARY.values())
_CHUNK = 256
#: Bound on the pairs of epochs that are looked at together.
_PAIRS = 2**22


def feature_names() -> tuple[str, ...]:
    """FATS's names of the features, in the order of their columns."""
    return _NAMES


def features(curves: LightCurves) -> Floats:
    """Features of every light curve, (N, F), always finite.

    Epochs that could not be measured are left out first; a curve may be of any length, even empty. The
    features of a curve do not depend, to the last bit, on the curves beside it.
    """
    curves = curves.measured()
    lengths = curves.lengths
    table = np.full((len(curves), len(_NAMES)), UNDEFINED)
    # Curves of one length together: plain arrays without padding.
    for length in np.unique(lengths[lengths > 0]):
        members = np.flatnonzero(lengths == length)
        rows = int(np.clip(_PAIRS // length**2, 1, _CHUNK))
        for start in range(0, len(members), rows):
            which = members[start : start + rows]
            table[which] = _of_one_length(curves.select(which), int(length))
    return np.clip(np.nan_to_num(table, nan=UNDEFINED, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)


def features_by_epoch(curves: LightCurves, epochs: Sequence[int]) -> Floats:
    """Features of the first n epochs of every light curve for each n of ``epochs``, (N, len(epochs), F).

    Where a curve is shorter than n, the features of the whole curve.
    """
    count = np.minimum(np.asarray(epochs, np.int64)[None, :], curves.lengths[:, None])
    owner = np.broadcast_to(np.arange(len(curves))[:, None], count.shape)
    wanted = np.stack([owner.ravel(), count.ravel()], axis=1)
    distinct, place = np.unique(wanted, axis=0, return_inverse=True)
    table = features(curves.select(distinct[:, 0]).first(distinct[:, 1]))
    return table[place.reshape(-1)].reshape(*count.shape, len(_NAMES))


def _of_one_length(curves: LightCurves, length: int) -> Floats:
    time, flux, error = (values.reshape(-1, length) for values in (curves.mjd, curves.flux, curves.error))
    away = flux - flux.mean(axis=1, keepdims=True)
    since = time - time[:, :1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        columns = {
            **_from_library(time, flux, error),
            **_autoregressive(since, flux, error),
            **_in_order(away),
            **_slotted(since, away),
            **_periodic(since, away),
        }
    return np.stack([columns[name] for name in _NAMES], axis=1)


def _from_library(time: Floats, flux: Floats, error: Floats) -> dict[str, Floats]:
    members = list(zip(time, flux, error, strict=True))
    values = _EXTRACTOR.many(members, fill_value=np.nan, sorted=True, check=False)
    widths = [len(feature.names) for feature in _LIBRARY.values()]
    first = 1 + np.cumsum([0, *widths[:-1]])
    columns = dict(zip(_LIBRARY, values[:, first].T, strict=True))
    columns["PercentAmplitude"] = columns["PercentAmplitude"] / values[:, 0]
    return columns


def _autoregressive(time: Floats, flux: Floats, error: Floats) -> dict[str, Floats]:
    if time.shape[1] < 2:
        return {name: np.full(len(time), UNDEFINED) for name in _AUTOREGRESSIVE}
    mean = flux.mean(axis=1)
    sigma, tau = autoregressive.fit(time, flux - mean[:, None], error)
    return {"CAR_mean": mean / tau, "CAR_sigma": sigma, "CAR_tau": tau}


def _in_order(flux: Floats) -> dict[str, Floats]:
    outlying = np.abs(flux) > 2 * flux.std(axis=1, keepdims=True)
    runs = outlying[:, :-2] & outlying[:, 1:-1] & outlying[:, 2:]
    steps = np.where(np.diff(flux[:, -30:], axis=1) > 0, 1, -1)
    return {
        "Autocor_length": autocorrelation.autocorrelation_length(flux).astype(np.float64),
        "Con": runs.sum(axis=1) / max(runs.shape[1], 1),
        "PairSlopeTrend": steps.sum(axis=1) / 30.0,
        "Rcs": _range_of_sum(flux),
    }


def _slotted(time: Floats, flux: Floats) -> dict[str, Floats]:
    correlation = autocorrelation.slotted_autocorrelation(time, flux)
    below = correlation < np.exp(-1.0)
    length = np.where(below.any(axis=1), below.argmax(axis=1) * autocorrelation.SLOT, np.nan)
    known = np.isfinite(correlation)
    mean = np.nansum(correlation, axis=1) / known.sum(axis=1)
    away = np.where(known, correlation - mean[:, None], 0.0)
    stetson = np.abs(away).sum(axis=1) / np.sqrt(known.sum(axis=1) * (away**2).sum(axis=1))
    return {"SlottedA_length": length, "StetsonK_AC": stetson}


def _periodic(time: Floats, flux: Floats) -> dict[str, Floats]:
    if time.shape[1] < periodic.MIN_EPOCHS:
        return {name: np.full(len(time), UNDEFINED) for name in _PERIODIC}
    peaks = periodic.search(time, flux, _FREQUENCIES, _HARMONICS)
    best = peaks.frequency[:, 0]
    order = np.argsort(np.mod(time * best[:, None] / 2, 1.0), axis=1, kind="stable")
    folded = np.take_along_axis(flux, order, axis=1)
    return {
        "PeriodLS": 1.0 / best,
        "Period_fit": periodic.false_alarm_probability(peaks.power[:, 0], time),
        "Psi_CS": _range_of_sum(folded),
        "Psi_eta": (np.diff(folded, axis=1) ** 2).sum(axis=1) / ((flux.shape[1] - 1) * flux.var(axis=1)),
        **dict(zip(_AMPLITUDES, peaks.amplitude.reshape(-1, len(_AMPLITUDES)).T, strict=True)),
    }


def _range_of_sum(flux: Floats) -> Floats:
    """Range of the cumulative sum of deviations, over their number and standard deviation."""
    return np.ptp(np.cumsum(flux, axis=1), axis=1) / (flux.shape[1] * flux.std(axis=1))
