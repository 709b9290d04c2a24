"""Resampling of whole stamps: light stays as it is, noise becomes that of an aligned image, to the rim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from astroreel.images.resampling import resample_stamps
from astroreel.photometry.centroid import centroids
from astroreel.sequences.hits import aligned

GRID = np.arange(21) - 10


def star(x: float = 0.0, y: float = 0.0, sigma: float = 1.8, flux: float = 1e5) -> NDArray[np.float32]:
    profile = np.exp(-((GRID - x) ** 2 + (GRID[:, None] - y) ** 2) / (2 * sigma**2))
    return (250.0 + flux * profile / (2 * np.pi * sigma**2)).astype(np.float32)


def shifted(
    stamps: NDArray[np.floating], x: float = 0.0, y: float = 0.0, order: int = 2
) -> NDArray[np.float32]:
    n = len(stamps)
    return resample_stamps(stamps.astype(np.float32), np.full(n, x), np.full(n, y), order)


def test_a_shift_by_nothing_changes_nothing() -> None:
    stamps = np.random.default_rng(0).normal(250, 8, (3, 21, 21))
    np.testing.assert_allclose(shifted(stamps), stamps, rtol=1e-6)


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.0), (-0.3, 0.8), (0.97, -0.97)])
@pytest.mark.parametrize("order", [2, 3])
def test_a_star_moves_by_the_shift_and_keeps_its_flux(x: float, y: float, order: int) -> None:
    moved = shifted(star()[None], x, y, order) - 250.0
    at_x, at_y = centroids(moved, np.array([1.8]))
    assert (at_x[0], at_y[0]) == pytest.approx((-x, -y), abs=0.02)
    assert moved.sum() == pytest.approx(1e5, rel=0.005)
    # Where the kernel is worst, half a pixel off, it blurs the peak a little.
    expected = star(-x, -y) - 250.0
    assert np.abs(moved[0] - expected).max() < 0.02 * expected.max()


@settings(max_examples=25, deadline=None)
@given(x=st.floats(-1, 1), y=st.floats(-1, 1), level=st.floats(-1e4, 1e5), order=st.integers(2, 5))
def test_a_level_stays_up_to_the_rim(x: float, y: float, level: float, order: int) -> None:
    np.testing.assert_allclose(shifted(np.full((1, 21, 21), level), x, y, order), level, rtol=1e-5, atol=1e-2)


def test_the_noise_of_the_rim_is_like_that_elsewhere() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-1, 1, (2, 3000))
    noise = resample_stamps(rng.normal(0, 1, (3000, 21, 21)).astype(np.float32), x, y, 2)
    inside = noise[:, 5:16, 5:16]
    for rim in (noise[:, 0], noise[:, -1], noise[:, :, 0], noise[:, :, -1]):
        assert rim.std() == pytest.approx(inside.std(), rel=0.03)
        along = np.mean(rim[:, 1:] * rim[:, :-1])
        assert along == pytest.approx(np.mean(inside[:, :, 1:] * inside[:, :, :-1]), abs=0.035)
    across = np.mean(noise[:, 0, 5:16] * noise[:, 1, 5:16])
    assert across == pytest.approx(np.mean(inside[:, 1:] * inside[:, :-1]), abs=0.04)


def test_a_neighbour_at_one_rim_does_not_appear_at_the_other() -> None:
    neighbour = star(x=9.5, flux=2e4)[None]
    moved = shifted(neighbour, x=0.5)
    peak = moved[0, 10, -1] - 250.0
    assert peak > 750.0
    assert np.abs(moved[0, :, :3] - 250.0).max() < 0.02 * peak


def test_bad_pixels_spoil_those_that_the_kernel_leans_on_and_no_others() -> None:
    whole = np.random.default_rng(2).normal(250, 8, (1, 21, 21)).astype(np.float32)
    holed = whole.copy()
    holed[0, 5, 6], holed[0, 0, 20] = np.nan, np.nan
    moved, reference = shifted(holed, 0.4, -0.3), shifted(whole, 0.4, -0.3)
    bad = np.isnan(moved[0])
    assert bad[5, 6] and bad[6, 5] and bad[0, 20]
    assert bad.sum() < 16
    far = np.ones((21, 21), bool)
    far[2:9, 3:10], far[:4, 17:] = False, False
    # A running median reaches two pixels further than the kernel, but only for what lies beyond the edge.
    np.testing.assert_allclose(moved[0][far & ~_edge()], reference[0][far & ~_edge()], atol=1e-3)
    assert np.isfinite(moved[0][far]).all()


def _edge() -> NDArray[np.bool_]:
    return np.pad(np.zeros((15, 15), bool), 3, constant_values=True)


def test_a_frame_without_a_good_pixel_stays_so() -> None:
    stamps = np.stack([np.full((21, 21), np.nan), star()])
    with np.errstate(all="raise"):
        moved = shifted(stamps, 0.3)
    assert np.isnan(moved[0]).all() and np.isfinite(moved[1]).all()


def test_frames_are_aligned_to_one_place_within_a_pixel_whatever_else_there_is() -> None:
    rng = np.random.default_rng(3)
    centroid = rng.uniform(-0.5, 0.5, (12, 2))
    stamps = np.stack([star(*place) for place in centroid])
    whole = aligned(stamps, centroid, "one", 2)
    x, y = centroids(whole - 250.0, np.full(12, 1.8))
    assert max(np.ptp(x), np.ptp(y)) < 0.05
    assert max(abs(x.mean()), abs(y.mean())) < 0.53
    np.testing.assert_array_equal(aligned(stamps[3:5], centroid[3:5], "one", 2), whole[3:5])
    other = aligned(stamps, centroid, "another", 2)
    assert np.hypot(centroids(other - 250.0, np.full(12, 1.8))[0].mean() - x.mean(), 0) > 0.01
