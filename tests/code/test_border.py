"""The texture of the rim: it tells resampled stamps from others, and no longer once all are resampled."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from astroreel.images.resampling import resample_stamps
from astroreel.photometry.border import COLUMNS, border_by_epoch
from astroreel.sequences.prepare import background_noise
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, SequenceSet

OBJECTS, EPOCHS = 120, 12


def sky(stamps: NDArray[np.floating], epochs: int = EPOCHS) -> SequenceSet:
    """Stamps (M, 21, 21) of unit noise as frames of an empty sky, ``epochs`` an object."""
    n = len(stamps) // epochs
    objects, frames = np.zeros(n, OBJECT_DTYPE), np.zeros(len(stamps), EPOCH_DTYPE)
    for name, value in {"pixscale": 0.27, "gain": 4.0, "rdnoise": 6.0, "saturate": 4e4}.items():
        objects[name] = value
    for name, value in {"exptime": 86.0, "seeing": 1.3, "airmass": 1.0, "sky": 110.0, "zp": 25.0}.items():
        frames[name] = value
    frames["mjd"] = np.tile(57070.0 + np.arange(epochs), n)
    empty = SequenceSet(objects, np.arange(n + 1) * epochs, stamps.astype(np.float32), frames)
    empty.stamps[:] = 110.0 + empty.stamps * background_noise(empty)[:, None, None].astype(np.float32)
    return empty


def interpolated(rng: np.random.Generator, n: int, order: int = 2) -> NDArray[np.float64]:
    """Stamps cut from the middle of larger images that were resampled, so that nothing happens at a rim."""
    x, y = rng.random((2, n))
    image = rng.normal(size=(n, 33, 33))
    new, old = np.arange(6, 27)[:, None], np.arange(33)

    def weights(shift: NDArray[np.float64]) -> NDArray[np.float64]:
        distance = old - new - shift[:, None, None]
        kernel = np.where(abs(distance) < order, np.sinc(distance) * np.sinc(distance / order), 0.0)
        return kernel / kernel.sum(axis=2, keepdims=True)

    return weights(y) @ image @ weights(x).transpose(0, 2, 1)


def told_apart(first: SequenceSet, second: SequenceSet) -> float:
    """Area under the curve of a forest on the rims of two populations, cross-validated."""
    rows = np.concatenate([border_by_epoch(each, EPOCHS)[:, -1] for each in (first, second)])
    truth = np.repeat([0, 1], [len(first), len(second)])
    forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=1)
    return float(roc_auc_score(truth, cross_val_predict(forest, rows, truth, method="predict_proba")[:, 1]))


def test_the_rim_tells_resampled_objects_until_all_are_resampled() -> None:
    rng = np.random.default_rng(5)
    plain = sky(rng.normal(size=(OBJECTS * EPOCHS, 21, 21)))
    theirs = sky(interpolated(rng, OBJECTS * EPOCHS))
    assert told_apart(plain, theirs) > 0.98
    x, y = rng.uniform(-1, 1, (2, len(plain.stamps)))
    plain.stamps[:] = resample_stamps(plain.stamps, x, y, 2)
    assert 0.35 < told_apart(plain, theirs) < 0.65


def test_independent_noise_has_the_texture_that_is_expected_of_it() -> None:
    quiet = sky(np.random.default_rng(6).normal(size=(4000, 21, 21)), epochs=20)
    mean = dict(zip(COLUMNS, border_by_epoch(quiet, 20)[:, -1].mean(axis=0), strict=True))
    geary = mean.pop("geary")
    assert list(mean.values()) == pytest.approx([1.0] * 6, abs=0.005)
    assert geary == pytest.approx(np.sqrt(2 / np.pi), abs=0.005)


def test_wings_of_a_source_hardly_count_and_its_middle_not_at_all() -> None:
    stamps = np.random.default_rng(7).normal(size=(20 * EPOCHS, 21, 21))
    before = border_by_epoch(sky(stamps), EPOCHS)
    grid = np.arange(21) - 10.0
    smooth = 3.0 * np.exp(-(grid**2 + grid[:, None] ** 2) / 80.0)
    after = border_by_epoch(sky(stamps + smooth), EPOCHS)
    np.testing.assert_allclose(after[:, -1], before[:, -1], atol=0.03)
    stamps[:, 3:-3, 3:-3] = 1e4
    np.testing.assert_array_equal(border_by_epoch(sky(stamps), EPOCHS), before)


def test_only_frames_seen_so_far_count_and_bad_pixels_not() -> None:
    stamps = np.random.default_rng(8).normal(size=(3 * EPOCHS, 21, 21))
    whole = sky(stamps)
    whole.stamps[4, 0, :7], whole.stamps[7] = np.nan, np.nan
    table = border_by_epoch(whole, EPOCHS)
    assert table.shape == (3, EPOCHS, len(COLUMNS)) and np.isfinite(table).all()
    early = border_by_epoch(whole.window(0, 5), EPOCHS)
    np.testing.assert_array_equal(early[:, :5], table[:, :5])
    np.testing.assert_array_equal(early[:, 5:], np.repeat(early[:, 4:5], EPOCHS - 5, axis=1))
    np.testing.assert_array_equal(table[0, 7], table[0, 6])
