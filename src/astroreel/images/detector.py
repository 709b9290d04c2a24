"""The detector: from the light that falls on it to the numbers that are read (thesis 2.1.4, 3.1.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def expose(
    light: NDArray[np.float32],
    sky: NDArray[np.float64],
    gain: NDArray[np.float64],
    rdnoise: NDArray[np.float64],
    saturate: NDArray[np.float64],
    rng: np.random.Generator,
    correlation: float = 0.0,
) -> NDArray[np.float32]:
    """One noisy exposure of each of n stamps, (n, 21, 21) [ADU], with sky.

    Electrons are Poisson in every pixel, read noise is Gaussian, and what exceeds the saturation level
    is cut to it; charge does not bleed.

    Parameters
    ----------
    light
        (n, 21, 21) flux of the sources in every pixel [ADU].
    sky
        (n,) sky level [ADU/pixel].
    gain, rdnoise, saturate
        (n,) gain [e-/ADU], read noise [e-], saturation level [ADU].
    rng
        Source of the noise.
    correlation
        Weight that resampling gives to each neighbour along a row and along a column, 0 to 0.25; 0 is
        an image as read. With it the noise of neighbouring pixels is correlated and weaker, the light
        is not smoothed.
    """
    per_adu = gain.astype(np.float32)[:, None, None]
    expected = (light + sky.astype(np.float32)[:, None, None]) * per_adu
    electrons = rng.standard_normal(light.shape, dtype=np.float32)
    electrons *= rdnoise.astype(np.float32)[:, None, None]
    electrons += rng.poisson(expected)
    if correlation:
        electrons = expected + _resampled(electrons - expected, correlation)
    electrons /= per_adu
    return np.minimum(electrons, saturate.astype(np.float32)[:, None, None], out=electrons)


def _resampled(noise: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Noise after a small symmetric kernel along y and x; stamps wrap around at their edges."""
    for axis in (1, 2):
        neighbours = np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
        noise = (1.0 - 2.0 * weight) * noise + weight * neighbours
    return noise
