"""The forest and the trivial baselines: equal to scikit-learn, causal, and held in a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.ensemble import RandomForestClassifier

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.models.baselines import baselines
from astroreel.models.bundle import load_bundle, save_bundle
from astroreel.models.forest import (
    Forest,
    ForestClassifier,
    ForestConfig,
    augment,
    train_forest,
    training_rows,
)
from astroreel.models.load import load_classifier
from astroreel.photometry.border import COLUMNS as BORDER
from astroreel.photometry.curves import LightCurves
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.features import feature_names, features, features_by_epoch
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, SequenceSet
from astroreel.training.calibrate_forest import calibrated

N_FEATURES = len(feature_names())


def clouds(seed: int, n: int = 300, classes: tuple[int, ...] = (0, 1, 4)) -> tuple[np.ndarray, np.ndarray]:
    """Rows of features in overlapping clouds, one a class."""
    rng = np.random.default_rng(seed)
    labels = np.array(classes)[rng.integers(0, len(classes), n)]
    return rng.normal(size=(n, N_FEATURES)) + 0.7 * labels[:, None], labels


def light_curves(seed: int, n: int = 60) -> tuple[LightCurves, np.ndarray]:
    """Bright variable RR Lyrae (1), bright constant stars (4) and faint supernovae (0)."""
    rng = np.random.default_rng(seed)
    labels = np.tile([0, 1, 4], n // 3)
    lengths = rng.integers(8, 23, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    mjd = np.concatenate([57070 + np.sort(rng.uniform(0, 25, length)) for length in lengths])
    kind = np.repeat(labels, lengths)
    wave = np.sin(2 * np.pi * mjd / 0.6)
    level = np.repeat(rng.uniform(8_000, 40_000, n), lengths)
    flux = np.where(kind == 0, 200.0, level * np.where(kind == 1, 1 + 0.3 * wave, 1.0))
    return LightCurves(offsets, mjd, flux + rng.normal(0, 60, len(flux)), np.full(len(flux), 60.0)), labels


def sequences(seed: int, n: int = 6, length: int = 9) -> SequenceSet:
    rng = np.random.default_rng(seed)
    epochs = np.zeros(n * length, EPOCH_DTYPE)
    epochs["mjd"] = np.tile(57070 + np.sort(rng.uniform(0, 20, length)), n)
    for name, value in {
        "exptime": 86,
        "seeing": 1.3,
        "airmass": 1,
        "sky": 100,
        "zp": 25,
        "limmag": 23.5,
    }.items():
        epochs[name] = value
    objects = np.zeros(n, OBJECT_DTYPE)
    for name, value in {"pixscale": 0.27, "gain": 4, "rdnoise": 6, "saturate": 4e4}.items():
        objects[name] = value
    stamps = rng.normal(100, 6, (n * length, 21, 21)).astype(np.float32)
    stamps[:, 8:13, 8:13] += rng.uniform(0, 200, (n * length, 1, 1))
    return SequenceSet(objects, np.arange(n + 1) * length, stamps, epochs)


@pytest.fixture(scope="module")
def forest() -> Forest:
    model = RandomForestClassifier(20, max_depth=12, random_state=1)
    return Forest.from_sklearn(model.fit(*clouds(1)))


@settings(max_examples=10, deadline=None)
@given(depth=st.integers(1, 12), trees=st.integers(1, 9), seed=st.integers(0, 1000))
def test_probabilities_are_scikit_learns(depth: int, trees: int, seed: int) -> None:
    model = RandomForestClassifier(trees, max_depth=depth, random_state=seed).fit(*clouds(seed, 120))
    rows, _ = clouds(seed + 1, 80)
    probability = Forest.from_sklearn(model).predict_features(rows)
    assert probability.shape == (80, len(CLASSES))
    np.testing.assert_allclose(probability[:, model.classes_], model.predict_proba(rows), atol=1e-12)
    assert not probability[:, np.setdiff1d(np.arange(len(CLASSES)), model.classes_)].any()


def test_the_first_trees_of_a_forest_are_the_smaller_forest(forest: Forest) -> None:
    smaller = RandomForestClassifier(7, max_depth=12, random_state=1).fit(*clouds(1))
    rows, _ = clouds(2)
    np.testing.assert_array_equal(
        forest.first(7).predict_features(rows), Forest.from_sklearn(smaller).predict_features(rows)
    )
    assert len(forest.first(20)) == len(forest) == 20


def test_probabilities_keep_the_leading_shape_of_the_features(forest: Forest) -> None:
    rows, _ = clouds(3, 24)
    folded = forest.predict_features(rows.reshape(4, 6, N_FEATURES))
    np.testing.assert_array_equal(folded.reshape(24, -1), forest.predict_features(rows))


def test_the_grid_search_keeps_the_most_accurate_forest() -> None:
    config = ForestConfig(n_estimators=(1, 15), max_depth=(1, 8))
    valid = clouds(5)
    forest, grid = train_forest(*clouds(4), *valid, config)
    assert [(p.n_estimators, p.max_depth) for p in grid] == [(1, 1), (15, 1), (1, 8), (15, 8)]
    accuracy = (forest.predict_features(valid[0]).argmax(axis=1) == valid[1]).mean()
    assert accuracy == max(point.accuracy for point in grid) > 0.8


def test_training_is_the_same_every_time() -> None:
    config = ForestConfig(n_estimators=(5,), max_depth=(6,))
    first, second = (train_forest(*clouds(6), *clouds(7), config)[0] for _ in range(2))
    np.testing.assert_array_equal(first.threshold, second.threshold)
    np.testing.assert_array_equal(first.probability, second.probability)


def test_weights_count_as_copies() -> None:
    rows, labels = clouds(8, 200, (0, 1))
    real, real_labels = clouds(10, 10, (0, 1))[0], np.full(10, 4)
    augmented, augmented_labels, weights = augment(rows, labels, real, real_labels, copies=100)
    config = ForestConfig(n_estimators=(40,), max_depth=(6,))
    weighted, _ = train_forest(augmented, augmented_labels, rows, labels, config, weights)
    copied, _ = train_forest(
        np.concatenate([rows, np.repeat(real, 100, axis=0)]),
        np.concatenate([labels, np.repeat(real_labels, 100)]),
        rows,
        labels,
        config,
    )
    once, _ = train_forest(augmented, augmented_labels, rows, labels, config)
    where = clouds(9, 400, (0, 1))[0]
    by_weight, by_copy, alone = (f.predict_features(where)[:, 4].mean() for f in (weighted, copied, once))
    assert by_weight == pytest.approx(by_copy, abs=0.03)
    assert by_copy > 3 * alone


def test_training_rows_are_the_whole_curves_and_shorter_ones() -> None:
    curves, labels = light_curves(10, 12)
    rows, row_labels = training_rows(measured(curves, labels), 2, np.random.default_rng(0))
    assert rows.shape == (36, N_FEATURES) and row_labels.tolist() == [*labels] * 3
    np.testing.assert_array_equal(rows[:12], features(curves).astype(np.float32))
    counts = np.random.default_rng(0).integers(1, curves.lengths)
    np.testing.assert_array_equal(rows[12:24], features(curves.first(counts)).astype(np.float32))


def test_a_forest_tells_light_curves_apart_already_at_their_first_epochs() -> None:
    train, valid, test = (light_curves(seed, 150) for seed in (11, 12, 13))
    rows = training_rows(measured(*train), 2, np.random.default_rng(0))
    valid_rows = features(valid[0]), valid[1]
    config = ForestConfig(n_estimators=(20,), max_depth=(8,))
    forest, _ = train_forest(*rows, *valid_rows, config)
    whole = forest.predict_features(features(test[0])).argmax(axis=1)
    early = forest.predict_features(features(test[0].first(4))).argmax(axis=1)
    assert (whole == test[1]).mean() > 0.95
    assert (early == test[1]).mean() > 0.8


def test_a_forest_without_images_looks_at_the_light_curve_alone() -> None:
    (rows, labels), (valid, valid_labels) = clouds(14), clouds(15)
    told = np.eye(len(CLASSES))[labels] * 100.0  # in columns beyond those of the light curve
    wide, wide_valid = np.hstack([rows, told]), np.hstack([valid, np.eye(len(CLASSES))[valid_labels] * 100.0])
    config = ForestConfig(n_estimators=(15,), max_depth=(8,))
    with_images, _ = train_forest(wide, labels, wide_valid, valid_labels, config)
    alone, _ = train_forest(
        wide, labels, wide_valid, valid_labels, config.model_copy(update={"images": False})
    )
    plain, _ = train_forest(rows, labels, valid, valid_labels, config)
    assert (with_images.feature >= N_FEATURES).any()
    np.testing.assert_array_equal(alone.feature, plain.feature)
    np.testing.assert_array_equal(alone.predict_features(wide_valid), plain.predict_features(valid))


def test_no_class_is_ever_impossible(forest: Forest) -> None:
    rows, _ = clouds(16)
    plain = ForestClassifier(forest, Preparation()).predict_features(rows)
    assert (plain > 0).all()
    np.testing.assert_array_equal(plain.argmax(axis=1), forest.predict_features(rows).argmax(axis=1))


def test_a_calibrated_forest_has_a_lower_log_loss_and_the_same_first_choices() -> None:
    train, valid, test = (measured(*light_curves(seed, 150)) for seed in (31, 32, 33))
    rng = np.random.default_rng(2)
    noisy = [replace(s, labels=np.where(rng.random(150) < 0.3, 0, s.labels)) for s in (train, valid, test)]
    config = ForestConfig(n_estimators=(30,), max_depth=(12,))
    rows = training_rows(noisy[0], 0, rng)
    forest, _ = train_forest(*rows, noisy[1].features[:, -1], noisy[1].labels, config)
    before = ForestClassifier(forest, Preparation())
    after = calibrated(before, noisy[1])
    assert calibrated(after, noisy[1]).temperature == after.temperature
    loss = [
        -np.log(c.predict_features(noisy[2].features[:, -1])[np.arange(150), noisy[2].labels]).mean()
        for c in (before, after)
    ]
    assert loss[1] < loss[0]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_predictions_sum_to_one_after_every_epoch(forest: Forest, temperature: float) -> None:
    reels = sequences(1)
    probability = ForestClassifier(forest, Preparation(), temperature).predict(reels)
    assert probability.shape == (len(reels.epochs), len(CLASSES))
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=1e-12)


def test_a_prediction_uses_nothing_later_than_its_epoch(forest: Forest) -> None:
    classifier, reels = ForestClassifier(forest, Preparation()), sequences(2)
    whole = classifier.predict(reels)
    np.testing.assert_array_equal(classifier.predict(reels.window(0, 4)), whole[reels.position < 4])
    np.testing.assert_array_equal(classifier.predict(reels.select([3])), whole[reels.owner == 3])


def test_beyond_the_longest_window_a_prediction_stays(forest: Forest) -> None:
    reels = sequences(3, n=2, length=10)
    probability = ForestClassifier(forest, Preparation(max_epochs=6)).predict(reels).reshape(2, 10, -1)
    np.testing.assert_array_equal(probability[:, 6:], np.repeat(probability[:, 5:6], 4, axis=1))


def test_no_sequences_have_no_predictions(forest: Forest) -> None:
    nothing = sequences(4).select(np.zeros(6, bool))
    assert ForestClassifier(forest, Preparation()).predict(nothing).shape == (0, len(CLASSES))


def test_a_bundle_gives_the_same_classifier_back(forest: Forest, tmp_path: Path) -> None:
    classifier = ForestClassifier(forest, Preparation(reference_zp=24.0), temperature=1.7)
    digest = classifier.save(tmp_path / "forest")
    assert classifier.save(tmp_path / "again") == digest == load_bundle(tmp_path / "forest").digest
    reels = sequences(5)
    np.testing.assert_array_equal(
        load_classifier(tmp_path / "forest").predict(reels), classifier.predict(reels)
    )


def test_a_bundle_for_other_features_is_refused(forest: Forest, tmp_path: Path) -> None:
    ForestClassifier(forest, Preparation()).save(tmp_path / "forest")
    bundle = load_bundle(tmp_path / "forest")
    architecture = {**bundle.architecture, "features": ["Mean", "Colour"]}
    save_bundle(
        tmp_path / "other",
        kind="forest",
        weights=bundle.weights,
        architecture=architecture,
        preparation=Preparation(),
    )
    with pytest.raises(UserError, match="other features"):
        load_classifier(tmp_path / "other")


def test_a_bundle_without_its_arrays_is_refused(forest: Forest, tmp_path: Path) -> None:
    ForestClassifier(forest, Preparation()).save(tmp_path / "forest")
    bundle = load_bundle(tmp_path / "forest")
    weights = {name: array for name, array in bundle.weights.items() if name != "left"}
    save_bundle(
        tmp_path / "other",
        kind="forest",
        weights=weights,
        architecture=bundle.architecture,
        preparation=Preparation(),
    )
    with pytest.raises(UserError, match="weights"):
        load_classifier(tmp_path / "other")


@pytest.mark.parametrize("wrong", [{"max_depth": []}, {"n_estimators": [0]}, {"copies": 0}, {"trees": 3}])
def test_a_wrong_configuration_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ForestConfig.model_validate(wrong)


def measured(curves: LightCurves, labels: np.ndarray) -> FeatureSet:
    """Light curves with their features after every number of samples."""
    table = features_by_epoch(curves, range(1, 23)).astype(np.float32)
    border = np.zeros((len(curves), 22, len(BORDER)), np.float32)
    return FeatureSet(np.arange(len(curves)).astype(str), labels, curves, table, border)


@pytest.mark.parametrize("name", baselines())
def test_baselines_give_probabilities_and_none_to_classes_they_never_saw(name: str) -> None:
    train, test = measured(*light_curves(20, 30)), measured(*light_curves(21, 30))
    probability = baselines()[name].fit(train, seed=1).predict_proba(test)
    assert probability.shape == (30, len(CLASSES))
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=1e-12)
    assert not probability[:, [2, 3, 5, 6]].any()
    early = baselines()[name].fit(train, seed=1).predict_proba(test.first(1))
    assert np.isfinite(early).all()


def test_each_baseline_sees_only_what_its_name_says() -> None:
    train, test = measured(*light_curves(22, 60)), measured(*light_curves(23, 60))
    truth = test.labels
    right = {
        name: baseline.fit(train, seed=1).predict_proba(test).argmax(axis=1) == truth
        for name, baseline in baselines().items()
    }
    faint = truth == 0
    assert right["few_real_forest"].mean() > 0.9
    assert right["two_numbers"].mean() > 0.9
    # Brightness tells the faint class, and cannot tell the two bright ones.
    assert right["magnitude"][faint].mean() > 0.9
    assert right["magnitude"][~faint].mean() < 0.85
    # Lengths are drawn alike for all classes here.
    assert right["epoch_count"].mean() < 0.6
    assert right["cadence"].mean() < 0.6
    assert right["border"].mean() < 0.6


def test_the_times_of_the_images_are_days_since_the_first_and_minus_one_beyond_the_end() -> None:
    lengths = np.array([4, 9, 22])
    nightly = LightCurves(
        np.concatenate([[0], np.cumsum(lengths)]),
        57070.0 + np.concatenate([np.arange(length) for length in lengths]),
        np.zeros(lengths.sum()),
        np.ones(lengths.sum()),
    )
    table = baselines()["cadence"].describe(measured(nightly, lengths))
    days = np.arange(22.0)
    np.testing.assert_array_equal(table, np.where(days < lengths[:, None], days, -1.0))


def test_a_curve_without_a_measured_epoch_has_probabilities_too() -> None:
    train = measured(*light_curves(24, 30))
    dead = LightCurves(np.array([0, 3]), np.arange(3.0), np.full(3, np.nan), np.full(3, np.inf))
    for baseline in baselines().values():
        fitted = baseline.fit(train, seed=1)
        assert np.isfinite(fitted.predict_proba(measured(dead, np.zeros(1, np.int64)))).all()
