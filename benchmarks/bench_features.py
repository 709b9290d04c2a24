"""Light-curve features: ours against feets, the successor of FATS, on the same curves in one run.

    python benchmarks/bench_features.py

Prints light curves per second of processor time (all threads together) and the ratio. feets computes
what both have.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import feets
import numpy as np

from astroreel.photometry.curves import LightCurves
from astroreel.photometry.features import feature_names, features

EPOCHS, OURS, FEETS = 22, 4096, 40

IN_FEETS = [
    "Amplitude",
    "AndersonDarling",
    "Autocor_length",
    "BeyondNStd",
    "CAR_mean",
    "CAR_sigma",
    "CAR_tau",
    "Con",
    "EtaE",
    "LinearTrend",
    "MaxSlope",
    "Mean",
    "MeanVariance",
    "MedianAbsDev",
    "MedianBRP",
    "PairSlopeTrend",
    "PercentAmplitude",
    "PercentDiffPercentile",
    "PercentageRatio",
    "PeriodLS",
    "Period_fit",
    "Psi_CS",
    "Psi_eta",
    "Q31",
    "Rcs",
    "Skew",
    "SlottedALength",
    "SmallKurtosis",
    "Std",
    "StetsonK",
    "StetsonK_AC",
    *(f"Freq{i}_harmonics_amplitude_{j}" for i in (1, 2, 3) for j in range(4)),
]


def random_curves(n: int, rng: np.random.Generator) -> LightCurves:
    mjd = 57070 + np.sort(rng.uniform(0, 25, (n, EPOCHS)), axis=1)
    error = rng.uniform(30, 60, (n, EPOCHS))
    flux = 1_000 + 200 * np.sin(2 * np.pi * mjd / 0.6) + rng.normal(0, error)
    return LightCurves(np.arange(n + 1) * EPOCHS, mjd.ravel(), flux.ravel(), error.ravel())


def by_feets(curves: LightCurves) -> None:
    space = feets.FeatureSpace(only=IN_FEETS, dask_options={"scheduler": "synchronous"})
    arrays = (values.reshape(-1, EPOCHS) for values in (curves.mjd, curves.flux, curves.error))
    space.extract_many(*({"time": t, "magnitude": f, "error": e} for t, f, e in zip(*arrays, strict=True)))


def rate(work: Callable[[LightCurves], object], curves: LightCurves) -> float:
    """Light curves per second of processor time."""
    work(curves.select(range(2)))  # the first call pays for imports
    start = time.process_time()
    work(curves)
    return len(curves) / (time.process_time() - start)


def main() -> None:
    warnings.simplefilter("ignore")
    curves = random_curves(OURS, np.random.default_rng(0))
    ours = rate(features, curves)
    theirs = rate(by_feets, curves.select(range(FEETS)))
    print(f"light curves of {EPOCHS} epochs per second of processor time")
    print(f"  astroreel ({len(feature_names())} features)  {ours:10.1f}")
    print(f"  feets {feets.__version__} ({len(IN_FEETS)} features)  {theirs:10.1f}")
    print(f"  ratio                    {ours / theirs:10.1f}")


if __name__ == "__main__":
    main()
