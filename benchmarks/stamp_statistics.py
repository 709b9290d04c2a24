"""Statistics of stamps, a fixed list: what a two-sample test of real and simulated stamps looks at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.images.gaussians import FWHM_OF_SIGMA
from astroreel.photometry.centroid import centroids
from astroreel.sequences.prepare import background_noise
from astroreel.sequences.record import STAMP_SIZE, SequenceSet
from astroreel.sequences.rim import RIM
from astroreel.survey.survey import Survey

Floats = NDArray[np.float64]

GRID = np.arange(STAMP_SIZE) - STAMP_SIZE // 2

#: Apertures [pixel] whose share of the light is looked at, and that which stands for all of it.
APERTURES, WHOLE = (1.5, 2.5, 3.5, 5.0, 7.0), 10.0


def statistics(sequences: SequenceSet, survey: Survey) -> dict[str, Floats]:
    """Every statistic of every frame, by name, (M,) each.

    border_*: level over the header's sky, and noise over that expected; smooth_*: the same less a smooth
    fit, with the correlation of neighbouring pixels; slope_*; share_R: of the light within R pixels;
    windowed moments to the fourth order, scaled by the width that the header lets expect.
    """
    noise = background_noise(sequences)
    sky = sequences.epochs["sky"]
    border = np.asarray(sequences.stamps)[:, RIM].astype(float)
    level = np.median(border, axis=1)
    stamps = sequences.stamps - level[:, None, None].astype(np.float32)
    sigma = expected_sigma(sequences, survey)
    x, y = centroids(stamps, sigma)
    return {
        "border_level": np.log(level / sky),
        **_border((border - level[:, None]) / noise[:, None]),
        **_texture((border - level[:, None]) / noise[:, None]),
        **_shares(stamps, x, y),
        **_moments(stamps, x, y, sigma),
    }


def expected_sigma(sequences: SequenceSet, survey: Survey) -> Floats:
    """Standard deviation of a star for the seeing in the header [pixel], (M,)."""
    pixscale = sequences.objects["pixscale"][sequences.owner]
    return survey.fwhm(sequences.epochs["seeing"]) / pixscale / FWHM_OF_SIGMA


def fwhm(sequences: SequenceSet, survey: Survey) -> Floats:
    """FWHM of the Gaussian whose windowed moments a stamp has [pixel], (M,)."""
    window = expected_sigma(sequences, survey) ** 2
    seen = np.exp(statistics(sequences, survey)["size"]) * window / 2.0
    return FWHM_OF_SIGMA / np.sqrt(np.maximum(1.0 / seen - 1.0 / window, 1e-3))


def correlations(border: Floats) -> tuple[Floats, Floats]:
    """Variance of a stamp's border less a smooth fit, (M,), and its covariances, (M, 6).

    Between pixels 1, 2 and 3 apart, along x and then along y. A quartic surface is taken off, which lowers
    all of them by some 0.05 of the variance for white noise.
    """
    residual = border @ _SMOOTH_RESIDUAL
    full = np.full((len(border), STAMP_SIZE, STAMP_SIZE), np.nan)
    full[:, RIM] = residual
    along_x = [np.nanmean(full[:, :, lag:] * full[:, :, :-lag], axis=(1, 2)) for lag in (1, 2, 3)]
    along_y = [np.nanmean(full[:, lag:] * full[:, :-lag], axis=(1, 2)) for lag in (1, 2, 3)]
    return np.mean(residual**2, axis=1), np.stack([*along_x, *along_y], axis=1)


def _border(border: Floats) -> dict[str, Floats]:
    spread = border.std(axis=1)
    return {
        "border_noise": np.log(1.4826 * np.median(np.abs(border), axis=1)),
        "border_spread": np.log(spread),
        "border_max": border.max(axis=1),
        "border_min": border.min(axis=1),
        "border_skewness": np.mean((border / spread[:, None]) ** 3, axis=1),
        "slope_x": border @ _X_OF_BORDER / len(_X_OF_BORDER),
        "slope_y": border @ _Y_OF_BORDER / len(_Y_OF_BORDER),
    }


def _texture(border: Floats) -> dict[str, Floats]:
    variance, covariance = correlations(border)
    return {
        "smooth_noise": 0.5 * np.log(variance),
        **{
            f"correlation_{axis}{lag}": covariance[:, column] / variance
            for column, (axis, lag) in enumerate((a, n) for a in "xy" for n in (1, 2, 3))
        },
    }


def _shares(stamps: NDArray[np.float32], x: Floats, y: Floats) -> dict[str, Floats]:
    radius = np.hypot(GRID - x[:, None, None], (GRID - y[:, None])[:, :, None])
    whole = np.sum(stamps * (radius < WHOLE), axis=(1, 2))
    # Pixels on an aperture's rim count in part.
    return {
        f"share_{limit:g}": np.sum(stamps * np.clip(limit + 0.5 - radius, 0.0, 1.0), axis=(1, 2)) / whole
        for limit in APERTURES
    }


def _moments(stamps: NDArray[np.float32], x: Floats, y: Floats, sigma: Floats) -> dict[str, Floats]:
    u, v = (GRID - x[:, None]) / sigma[:, None], (GRID - y[:, None]) / sigma[:, None]
    window_u, window_v = np.exp(-0.5 * u**2), np.exp(-0.5 * v**2)

    def moment(i: int, j: int) -> Floats:
        return np.einsum("mij,mi,mj->m", stamps, window_v * v**j, window_u * u**i)

    total, second = moment(0, 0), moment(2, 0) + moment(0, 2)
    return {
        "size": np.log(second / total),
        "e1": (moment(2, 0) - moment(0, 2)) / second,
        "e2": 2.0 * moment(1, 1) / second,
        "coma_x": (moment(3, 0) + moment(1, 2)) / total,
        "coma_y": (moment(0, 3) + moment(2, 1)) / total,
        "trefoil_1": (moment(3, 0) - 3.0 * moment(1, 2)) / total,
        "trefoil_2": (3.0 * moment(2, 1) - moment(0, 3)) / total,
        "kurtosis": (moment(4, 0) + 2.0 * moment(2, 2) + moment(0, 4)) / second,
        "squareness": (moment(4, 0) - 6.0 * moment(2, 2) + moment(0, 4)) / total,
    }


_Y_OF_BORDER, _X_OF_BORDER = (grid[RIM].astype(float) for grid in np.meshgrid(GRID, GRID, indexing="ij"))
_SURFACE = np.stack(
    [_X_OF_BORDER**i * _Y_OF_BORDER**j for i in range(5) for j in range(5 - i)], axis=1
) / float(STAMP_SIZE // 2)
_SMOOTH_RESIDUAL = np.eye(len(_SURFACE)) - _SURFACE @ np.linalg.pinv(_SURFACE)
