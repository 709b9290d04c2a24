"""The rim of stamps: its level, whatever is in the middle and whichever pixels are bad."""

from __future__ import annotations

import numpy as np

from astroreel.sequences.rim import RIM, rim_level


def test_the_level_of_a_rim_is_the_median_of_its_good_pixels() -> None:
    rng = np.random.default_rng(2)
    stamps = rng.normal(500, 20, (5, 21, 21)).astype(np.float32)
    stamps[:, 3:-3, 3:-3] += 1e4  # an object
    stamps[1, 0, :4] = stamps[2, :, :2] = stamps[3] = np.nan
    level, count = rim_level(stamps)
    np.testing.assert_array_equal(count, [216, 212, 174, 0, 216])
    rims = np.where(RIM, stamps, np.nan).reshape(5, -1)
    np.testing.assert_allclose(level[[0, 1, 2, 4]], np.nanmedian(rims[[0, 1, 2, 4]], axis=1), rtol=1e-6)
    assert level[3] == 0
