"""Optimal photometry and first detections against simulated stars and slow literal equations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from astroreel.photometry.curves import LightCurves
from astroreel.photometry.detection import first_detection
from astroreel.photometry.optimal import PSF_WIDTH, measure, photometry
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, SequenceSet
from astroreel.sequences.rim import WIDTH

GAIN, RDNOISE, SKY, SEEING, PIXSCALE = 4.0, 6.0, 120.0, 1.3, 0.27
SIGMA = PSF_WIDTH * SEEING / PIXSCALE / 2.354820045


def gaussian_star(x: float = 0.0, y: float = 0.0, sigma: float = SIGMA) -> np.ndarray:
    edges = np.arange(22) - 10.5
    columns = np.diff(norm.cdf(edges, loc=x, scale=sigma))
    rows = np.diff(norm.cdf(edges, loc=y, scale=sigma))
    return np.outer(rows, columns)


def exposures(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images (M, 21, 21) in ADU without sky, seen through photon and read noise."""
    electrons = rng.poisson((images + SKY) * GAIN) + rng.normal(0.0, RDNOISE, images.shape)
    return (electrons / GAIN).astype(np.float32)


def one_object(stamps: np.ndarray, **epoch_values: object) -> SequenceSet:
    epochs = np.zeros(len(stamps), EPOCH_DTYPE)
    values = {"exptime": 86.0, "seeing": SEEING, "airmass": 1.2, "sky": SKY, "zp": 25.05, "limmag": 23.6}
    for name, value in {"mjd": 57070.0 + np.arange(len(stamps)), **values, **epoch_values}.items():
        epochs[name] = value
    objects = np.zeros(1, OBJECT_DTYPE)
    for name, value in {"pixscale": PIXSCALE, "gain": GAIN, "rdnoise": RDNOISE, "saturate": 4e4}.items():
        objects[name] = value
    return SequenceSet(objects, np.array([0, len(stamps)]), stamps.astype(np.float32), epochs)


def literal_flux(stamp: np.ndarray) -> tuple[float, float]:
    """Equations 2.8 to 2.10, pixel by pixel, with the background from the border."""
    pixels = [(i, j) for i in range(21) for j in range(21) if np.isfinite(stamp[i, j])]
    inside = range(WIDTH, 21 - WIDTH)
    border = [stamp[i, j] for i, j in pixels if not (i in inside and j in inside)]
    level = float(np.median(border))
    noise = SKY / GAIN + (RDNOISE / GAIN) ** 2
    profile = gaussian_star()

    def weights(source: float) -> dict[tuple[int, int], float]:
        variance = {p: noise + max(source, 0.0) * profile[p] / GAIN for p in pixels}
        norm = sum(profile[p] ** 2 / variance[p] for p in pixels)
        return {p: profile[p] / variance[p] / norm for p in pixels}

    first = sum(weight * (stamp[p] - level) for p, weight in weights(0.0).items())
    final = weights(first)
    flux = sum(weight * (stamp[p] - level) for p, weight in final.items())
    variance = sum(w**2 * (noise + max(first, 0.0) * profile[p] / GAIN) for p, w in final.items())
    variance += sum(final.values()) ** 2 * np.pi / 2 * noise / len(border)
    return flux, float(np.sqrt(variance))


@pytest.mark.parametrize("flux", [0.0, 150.0, 2_000.0, 30_000.0, 300_000.0])
def test_fluxes_are_unbiased_and_errors_are_their_scatter(flux: float) -> None:
    rng = np.random.default_rng(1)
    star = exposures(np.repeat(flux * gaussian_star()[None], 3000, axis=0), rng)
    curve = photometry(one_object(star), Preparation())
    pull = (curve.flux - flux) / curve.error
    # The background costs a tenth of a sigma at most (the median of Poisson counts lies below their
    # mean), and a bright star whose wings reach the border a thousandth of its flux.
    assert abs(curve.flux.mean() - flux) < 0.1 * curve.error.mean() + 1e-3 * flux
    assert pull.std() == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("flux", [0.0, 500.0, 50_000.0])
def test_it_is_the_equations_pixel_by_pixel(flux: float) -> None:
    stamp = exposures(flux * gaussian_star()[None], np.random.default_rng(2))
    stamp[0, 3, 4] = stamp[0, 9, 10] = stamp[0, 0, :] = np.nan
    curve = photometry(one_object(stamp), Preparation())
    expected = literal_flux(stamp[0].astype(float) - SKY)
    assert (curve.flux[0], curve.error[0]) == pytest.approx(expected, rel=2e-5, abs=2e-3)


def test_bad_pixels_carry_no_weight() -> None:
    image = np.repeat(20_000 * gaussian_star()[None], 1500, axis=0)
    stamps = exposures(image, np.random.default_rng(3))
    stamps[:, 9:12, 12] = np.nan
    curve = photometry(one_object(stamps), Preparation())
    pull = (curve.flux - 20_000) / curve.error
    assert abs(curve.flux.mean() - 20_000) < 0.1 * curve.error.mean() + 1e-3 * 20_000
    assert pull.std() == pytest.approx(1.0, abs=0.08)


def test_a_frame_without_a_good_pixel_is_not_measured_and_spoils_no_other() -> None:
    stamps = exposures(np.repeat(900 * gaussian_star()[None], 3, axis=0), np.random.default_rng(4))
    whole = photometry(one_object(stamps), Preparation())
    stamps[1] = np.nan
    curve = photometry(one_object(stamps), Preparation())
    assert np.isnan(curve.flux[1]) and np.isinf(curve.error[1])
    np.testing.assert_array_equal(curve.flux[[0, 2]], whole.flux[[0, 2]])
    assert len(curve.measured().flux) == 2


def test_the_background_around_the_source_is_taken_off_whatever_the_table_says() -> None:
    stamps = exposures(np.repeat(900 * gaussian_star()[None], 4, axis=0), np.random.default_rng(5))
    right = photometry(one_object(stamps), Preparation())
    shifted = photometry(one_object(stamps + 7.0), Preparation())
    np.testing.assert_allclose(shifted.flux, right.flux, atol=0.02)


def test_one_magnitude_is_one_flux_at_any_zero_point_and_exposure_time() -> None:
    magnitude, zp, exptime = 20.0, np.array([24.6, 25.05, 25.4]), np.array([43.0, 86.0, 172.0])
    adu = exptime * 10 ** (0.4 * (zp - magnitude))
    stamps = (adu[:, None, None] * gaussian_star() + SKY).astype(np.float32)
    curve = photometry(one_object(stamps, zp=zp, exptime=exptime), Preparation())
    np.testing.assert_allclose(curve.flux, 86.0 * 10 ** (0.4 * (25.05 - magnitude)), rtol=3e-3)


def test_a_source_half_a_pixel_off_loses_at_most_four_percent() -> None:
    stamps = (5_000 * gaussian_star(0.5, 0.5) + SKY)[None]
    flux = photometry(one_object(stamps), Preparation()).flux[0]
    assert 0.96 * 5_000 < flux < 5_000


def test_what_an_epoch_measures_does_not_depend_on_other_epochs() -> None:
    stamps = exposures(np.repeat(900 * gaussian_star()[None], 5, axis=0), np.random.default_rng(6))
    sequence = one_object(stamps)
    whole = photometry(sequence, Preparation())
    start = photometry(sequence.window(0, 2), Preparation())
    np.testing.assert_array_equal(start.flux, whole.flux[:2])


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.1, 50.0))
def test_flux_is_linear_in_the_image_where_the_sky_is_the_noise(scale: float) -> None:
    image = (10 * np.random.default_rng(7).normal(size=(1, 21, 21))).astype(np.float32)
    arguments = np.array([SIGMA]), np.array([1e6]), np.array([GAIN])
    once, _ = measure(image, *arguments)
    scaled, _ = measure(np.float32(scale) * image, *arguments)
    np.testing.assert_allclose(scaled, scale * once, rtol=1e-2, atol=1e-3)


def light_curves(flux: np.ndarray, error: float | np.ndarray = 50.0) -> LightCurves:
    n, length = flux.shape
    return LightCurves(
        offsets=np.arange(n + 1) * length,
        mjd=np.tile(57070.0 + np.arange(length), n),
        flux=flux.ravel(),
        error=np.broadcast_to(error, flux.shape).ravel(),
    )


def test_constant_sources_seldom_have_a_detection() -> None:
    rng = np.random.default_rng(10)
    level = rng.choice([0.0, 500.0, 5_000.0, 100_000.0], size=(20_000, 1))
    noisy = light_curves(level + rng.normal(0, 50, (20_000, 25)))
    assert (first_detection(noisy) >= 0).mean() < 1e-3


def seen_through(seeing: np.ndarray, host: float, rng: np.random.Generator) -> np.ndarray:
    """A galaxy's light in the profile of a point: more of it, the wider the seeing."""
    return host * (1 + 0.6 * (seeing - 1.3)) + rng.normal(0, 50, seeing.shape)


def test_a_galaxy_whose_flux_follows_the_seeing_has_no_detection_where_the_seeing_is_given() -> None:
    rng = np.random.default_rng(11)
    seeing = rng.uniform(1.0, 2.0, (3_000, 25))
    curves = light_curves(seen_through(seeing, 8_000.0, rng))
    assert (first_detection(curves) >= 0).mean() > 0.5
    assert (first_detection(curves, seeing.ravel()) >= 0).mean() < 1e-3


def test_a_supernova_is_detected_through_the_seeing_of_its_host() -> None:
    rng = np.random.default_rng(12)
    seeing = rng.uniform(1.0, 2.0, (500, 25))
    flux = seen_through(seeing, 4_000.0, rng)
    flux[:, 14:] += 300.0 * np.arange(1, 12)
    found = first_detection(light_curves(flux), seeing.ravel())
    assert (np.abs(found - 16) <= 2).mean() > 0.95


def test_without_a_host_the_seeing_changes_no_detection() -> None:
    rng = np.random.default_rng(13)
    flux = rng.normal(0, 50, (300, 25))
    flux[:, 10:] += 1_000.0
    seeing = rng.uniform(1.0, 2.0, flux.shape)
    assert (first_detection(light_curves(flux), seeing.ravel()) == 10).mean() > 0.99


@pytest.mark.parametrize("host", [0.0, 2_000.0])
@pytest.mark.parametrize("rise", [3, 12, 24])
def test_a_supernova_is_detected_when_it_rises_over_its_host(host: float, rise: int) -> None:
    flux = np.full((1, 25), host)
    flux[0, rise:] += 1_500.0
    quiet = 30 * np.random.default_rng(12).normal(size=(200, 25))
    assert (first_detection(light_curves(flux + quiet)) == rise).mean() > 0.98


def test_a_supernova_bright_from_the_first_epoch_is_detected_there() -> None:
    fading = 4_000 * np.exp(-np.arange(25) / 4.0)[None] + 1_000.0
    assert first_detection(light_curves(fading)).tolist() == [0]


def test_one_bright_epoch_is_a_detection_and_one_faint_epoch_is_none() -> None:
    flux = np.zeros((2, 20))
    flux[0, 7], flux[1, 7] = 600.0, -600.0
    assert first_detection(light_curves(flux)).tolist() == [7, -1]


def test_epochs_that_were_not_measured_are_passed_over() -> None:
    flux = np.zeros((3, 12))
    flux[:, 8:] = 800.0
    error = np.full(flux.shape, 50.0)
    flux[1, 8], error[1, 8] = np.nan, np.inf
    flux[2], error[2] = np.nan, np.inf
    assert first_detection(light_curves(flux, error)).tolist() == [8, 9, -1]
    seeing = np.tile(np.linspace(1.0, 1.5, 12)[[3, 7, 0, 11, 5, 1, 9, 2, 10, 4, 8, 6]], 3)
    assert first_detection(light_curves(flux, error), seeing).tolist() == [8, 9, -1]


def test_no_objects_and_empty_objects_have_no_detection() -> None:
    nothing = np.empty(0)
    assert first_detection(LightCurves(np.array([0]), nothing, nothing, nothing)).tolist() == []
    assert first_detection(LightCurves(np.array([0, 0]), nothing, nothing, nothing)).tolist() == [-1]
    one = LightCurves(np.array([0, 0, 2]), np.array([0.0, 1.0]), np.zeros(2), np.ones(2))
    assert first_detection(one).tolist() == [-1, -1]
    assert first_detection(one.first(1), np.ones(1)).tolist() == [-1, -1]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100.0))
def test_a_detection_does_not_depend_on_the_unit_of_flux(seed: int, scale: float) -> None:
    flux = 200 * np.random.default_rng(seed).standard_t(2, (5, 15))
    np.testing.assert_array_equal(
        first_detection(light_curves(flux)), first_detection(light_curves(scale * flux, scale * 50.0))
    )


def test_the_first_epochs_of_light_curves_are_each_objects_own() -> None:
    curves = LightCurves(np.array([0, 3, 4]), np.arange(4.0), np.array([1.0, 2, 3, 9]), np.ones(4))
    start = curves.first(2)
    assert start.flux.tolist() == [1.0, 2.0, 9.0] and start.lengths.tolist() == [2, 1]
    repeated = curves.select([1, 0, 0]).first([5, 1, 3])
    assert repeated.flux.tolist() == [9.0, 1.0, 1.0, 2.0, 3.0]
    np.testing.assert_array_equal(curves.padded(curves.flux), [[1.0, 2.0, 3.0], [9.0, np.nan, np.nan]])
