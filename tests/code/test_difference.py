"""Difference fluxes and the host: what does not vary cancels at any seeing, and nothing looks ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from astroreel.photometry.difference import difference_curves, difference_features
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.features import feature_names, features
from astroreel.photometry.host import COLUMNS, host_by_epoch
from astroreel.photometry.measurement import column_names, measured_by_epoch
from astroreel.photometry.optimal import gaussian_profile, photometry, profile_width
from astroreel.sequences.prepare import Preparation, background_noise
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, SequenceSet

PREPARATION = Preparation()
EPOCHS = 14


def scene(
    n: int, flux: NDArray[np.float64], host: float = 0.0, blur: float = 2.5, noise: bool = True, seed: int = 1
) -> SequenceSet:
    """Point sources of flux (n, T) at the reference in round Gaussian hosts, under changing conditions."""
    rng = np.random.default_rng(seed)
    epochs = np.zeros(flux.size, EPOCH_DTYPE)
    epochs["mjd"] = (57070.0 + np.sort(rng.uniform(0, 20, flux.shape), axis=1)).ravel()
    epochs["seeing"], epochs["zp"] = rng.uniform(0.9, 1.9, flux.size), rng.uniform(24.9, 25.1, flux.size)
    epochs["exptime"], epochs["airmass"], epochs["sky"], epochs["limmag"] = 86.0, 1.1, 110.0, 23.5
    objects = np.zeros(n, OBJECT_DTYPE)
    for name, value in {"pixscale": 0.27, "gain": 4.0, "rdnoise": 6.0, "saturate": 4e4}.items():
        objects[name] = value
    stamps = np.zeros((flux.size, 21, 21), np.float32)
    made = SequenceSet(objects, np.arange(n + 1) * flux.shape[1], stamps, epochs)
    sigma, dimmed = profile_width(made), 10.0 ** (0.4 * (epochs["zp"] - PREPARATION.reference_zp))
    light = flux.reshape(-1, 1, 1) * gaussian_profile(sigma)
    light = (light + host * gaussian_profile(np.hypot(sigma, blur))) * dimmed[:, None, None]
    if noise:
        variance = background_noise(made)[:, None, None] ** 2 + light / 4.0
        light = light + rng.normal(size=light.shape) * np.sqrt(variance)
    made.stamps[:] = 110.0 + light
    return made


def last(curves_of: SequenceSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Difference fluxes and errors (N, T), as known at the last frame."""
    curves = difference_curves(curves_of, PREPARATION).select(curves_of.offsets[1:] - 1)
    return curves.padded(curves.flux), curves.padded(curves.error)


def test_a_host_cancels_whatever_the_seeing_and_does_not_in_the_whole_frame() -> None:
    hosted = scene(3, np.zeros((3, EPOCHS)), host=20_000.0, noise=False)
    difference, _ = last(hosted)
    whole = photometry(hosted, PREPARATION)
    assert np.ptp(whole.padded(whole.flux), axis=1).min() > 1500.0
    # What is left is the part of the host that the border's level takes away with the seeing.
    assert np.abs(difference).max() < 0.1 * np.ptp(whole.padded(whole.flux), axis=1).min()


def test_what_varies_is_measured_against_the_sharpest_frame() -> None:
    flux = 5_000.0 * (1.0 + 0.3 * np.sin(np.arange(3 * EPOCHS))).reshape(3, EPOCHS)
    reels = scene(3, flux, host=10_000.0, noise=False)
    sharpest = reels.epochs["seeing"].reshape(3, EPOCHS).argmin(axis=1)
    expected = flux - flux[np.arange(3), sharpest][:, None]
    np.testing.assert_allclose(last(reels)[0], expected, atol=150.0)


def test_errors_are_those_of_the_noise() -> None:
    reels = scene(300, np.full((300, EPOCHS), 3_000.0))
    flux, error = last(reels)
    pulls = (flux / error)[flux != 0.0]
    assert pulls.std() == pytest.approx(1.0, abs=0.1)
    assert np.median(pulls) == pytest.approx(0.0, abs=0.1)


def test_a_curve_knows_nothing_later_than_its_frame() -> None:
    reels = scene(4, np.random.default_rng(2).uniform(500, 5_000, (4, EPOCHS)))
    whole = difference_curves(reels, PREPARATION)
    assert len(whole) == len(reels.epochs)
    np.testing.assert_array_equal(whole.lengths, reels.position + 1)
    early = reels.window(0, 5)
    kept = whole.select(reels.position < 5)
    np.testing.assert_array_equal(difference_curves(early, PREPARATION).flux, kept.flux)
    table = difference_features(reels, PREPARATION, EPOCHS)
    np.testing.assert_array_equal(difference_features(early, PREPARATION, EPOCHS)[:, :5], table[:, :5])
    np.testing.assert_array_equal(table[2], features(whole.select(reels.owner == 2)).astype(np.float32))


def test_dead_frames_are_no_reference_and_have_no_flux() -> None:
    reels = scene(2, np.full((2, EPOCHS), 3_000.0))
    sharpest = int(reels.epochs["seeing"][:EPOCHS].argmin())
    reels.stamps[sharpest] = np.nan
    flux, error = last(reels)
    assert np.isnan(flux[0]).nonzero()[0].tolist() == [sharpest] and np.isinf(error[0, sharpest])
    reels.stamps[:EPOCHS] = np.nan
    assert np.isnan(last(reels)[0][0]).all()
    assert np.isfinite(difference_features(reels, PREPARATION, EPOCHS)).all()
    assert not host_by_epoch(reels, PREPARATION, EPOCHS)[0].any()


def test_a_host_is_told_from_a_star_and_measured() -> None:
    stars = scene(200, np.full((200, EPOCHS), 4_000.0))
    galaxies = scene(200, np.full((200, EPOCHS), 1_000.0), host=8_000.0, blur=0.68 / 0.27)
    star, galaxy = (
        dict(zip(COLUMNS, host_by_epoch(each, PREPARATION, EPOCHS)[:, -1].T, strict=True))
        for each in (stars, galaxies)
    )
    assert np.abs(star["Host_significance"]).mean() < 2.0
    assert galaxy["Host_significance"].min() > 20.0
    assert np.median(galaxy["Host_flux"]) == pytest.approx(8_000.0, rel=0.15)
    assert np.median(galaxy["Host_ratio"]) > 4.0 > 1.0 > np.abs(star["Host_ratio"]).max()
    assert star["Host_offset"].max() < 0.3


def test_light_off_the_centre_is_seen() -> None:
    centred = scene(5, np.full((5, EPOCHS), 20_000.0))
    offset = scene(5, np.full((5, EPOCHS), 20_000.0))
    offset.stamps[:] = np.roll(offset.stamps, 2, axis=2)
    at = COLUMNS.index("Host_offset")
    near, far = (host_by_epoch(each, PREPARATION, EPOCHS)[:, -1, at] for each in (centred, offset))
    assert far.min() > 5 * near.max()


def test_the_columns_are_those_of_the_three_kinds_after_every_frame() -> None:
    reels = scene(3, np.full((3, EPOCHS), 2_000.0))
    curves = photometry(reels, PREPARATION)
    table = measured_by_epoch(reels, curves, PREPARATION, EPOCHS)
    assert len(column_names()) == len(set(column_names())) == 2 * len(feature_names()) + len(COLUMNS)
    assert table.shape == (3, EPOCHS, len(column_names())) and np.isfinite(table).all()
    np.testing.assert_array_equal(table[:, -1, : len(feature_names())], features(curves).astype(np.float32))
    nothing = reels.select(np.zeros(3, bool))
    assert measured_by_epoch(nothing, photometry(nothing, PREPARATION), PREPARATION, 4).shape == (0, 4, 98)


def test_objects_measured_apart_and_put_together_are_those_measured_together(tmp_path: Path) -> None:
    reels = scene(6, np.random.default_rng(9).uniform(500, 5_000, (6, EPOCHS)), host=2_000.0)
    reels.objects["name"] = [f"object-{i}" for i in range(6)]
    reels.objects["label"] = "supernova"
    preparation = Preparation(max_epochs=EPOCHS)
    whole = FeatureSet.of(reels, preparation)
    parts = [FeatureSet.of(reels.select(which), preparation) for which in ([0], [1, 2, 3], [4, 5])]
    FeatureSet.concatenate(parts).save(tmp_path / "features.npz")
    together = FeatureSet.load(tmp_path / "features.npz")
    for name in ("names", "labels", "features", "border"):
        np.testing.assert_array_equal(getattr(together, name), getattr(whole, name))
    for column in ("offsets", "mjd", "flux", "error"):
        np.testing.assert_array_equal(getattr(together.curves, column), getattr(whole.curves, column))
