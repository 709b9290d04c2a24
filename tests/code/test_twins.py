"""Centroids find a star, and a twin has the magnitude, place and conditions of its object."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from astroreel.images.gaussians import FWHM_OF_SIGMA
from astroreel.photometry.centroid import REACH, centroids
from astroreel.photometry.optimal import photometry
from astroreel.photometry.twins import twins
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import SimulationConfig, Simulator
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey

SURVEY = load_survey("hits")
GRID = np.arange(21) - 10


@pytest.fixture(scope="module")
def reels() -> SequenceSet:
    conditions = generate_conditions(SURVEY, 5, np.random.default_rng(0))
    classes = ("non_variable", "rr_lyrae", "supernova")
    return Simulator(SURVEY, conditions, "train", SimulationConfig(seed=4), classes).block(0, 60)


def stars(x: np.ndarray, y: np.ndarray, sigma: float) -> np.ndarray:
    off_x, off_y = GRID - x[:, None], GRID - y[:, None]
    return np.exp(-0.5 * (off_y[:, :, None] ** 2 + off_x[:, None, :] ** 2) / sigma**2).astype(np.float32)


def test_centroids_find_round_stars() -> None:
    x, y = np.random.default_rng(1).uniform(-1.5, 1.5, (2, 200))
    found = centroids(stars(x, y, 1.8), np.full(200, 1.8))
    np.testing.assert_allclose(found, (x, y), atol=1e-3)


def test_centroids_bear_a_window_that_is_not_the_stars() -> None:
    x, y = np.random.default_rng(1).uniform(-1.5, 1.5, (2, 200))
    found = centroids(stars(x, y, 1.8), np.full(200, 1.5))
    np.testing.assert_allclose(found, (x, y), atol=0.01)


def test_centroids_stay_near_the_centre_where_there_is_no_star() -> None:
    noise = np.random.default_rng(1).normal(size=(100, 21, 21)).astype(np.float32)
    noise[:, 3, 4] = np.nan
    for place in centroids(noise, np.full(100, 1.8)):
        assert np.isfinite(place).all()
        assert np.abs(place).max() <= REACH


def test_a_twin_has_the_header_the_epochs_and_no_truth_of_its_object(reels: SequenceSet) -> None:
    twin = twins(reels, SURVEY, seed=1)
    assert twin.objects.tobytes() == reels.objects.tobytes()
    np.testing.assert_array_equal(twin.epochs, reels.epochs)
    assert twin.truth is None
    assert not np.array_equal(twin.stamps, reels.stamps)


def test_a_twin_is_as_bright_as_its_object(reels: SequenceSet) -> None:
    bright = reels.select(reels.labels != "supernova")
    mine, theirs = (photometry(part, Preparation()).flux for part in (bright, twins(bright, SURVEY, seed=1)))
    seen = mine > 2000.0
    assert np.median(theirs[seen] / mine[seen]) == pytest.approx(1.0, abs=0.02)
    assert np.std(np.log(theirs[seen] / mine[seen])) < 0.1


def test_a_twin_varies_as_its_object_does_and_a_constant_star_not(reels: SequenceSet) -> None:
    varying = reels.select(reels.labels == "rr_lyrae")
    mine, theirs = (
        photometry(part, Preparation()).flux for part in (varying, twins(varying, SURVEY, seed=1))
    )
    assert pearsonr(np.log(mine), np.log(theirs)).statistic > 0.95


def test_a_twin_stands_where_its_object_does(reels: SequenceSet) -> None:
    constant = reels.select(reels.labels == "non_variable")
    curves = photometry(constant, Preparation())
    seen = curves.flux > 50.0 * curves.error
    assert seen.sum() > 30
    sigma = SURVEY.fwhm(constant.epochs["seeing"]) / 0.27 / FWHM_OF_SIGMA
    sky = constant.epochs["sky"][:, None, None].astype(np.float32)
    twin = twins(constant, SURVEY, seed=1)
    for mine, theirs in zip(
        centroids(constant.stamps - sky, sigma), centroids(twin.stamps - sky, sigma), strict=True
    ):
        assert np.median(np.abs(mine - theirs)[seen]) < 0.05
        assert np.median(np.abs(mine)[seen]) > 0.1


def test_the_seed_alone_tells_twins_apart(reels: SequenceSet) -> None:
    few = reels.select(np.arange(6))
    first, again, other = (twins(few, SURVEY, seed).stamps for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
