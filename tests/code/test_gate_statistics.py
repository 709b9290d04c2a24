"""The gate's statistics: wrong passes are as rare as stated, and the power is what is stated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import norm

from astroreel.evaluation.calibration import calibration_error
from astroreel.governance.statistics import (
    DIFFERENCES,
    HITS,
    Arrangement,
    Bounds,
    balanced_mean,
    jackknife,
    level_left,
    level_of_look,
    power,
)

LEVEL = 0.05
REPEATS = 2000
#: What chance may add to a share of about LEVEL, once in a thousand times.
CHANCE = 3 * (LEVEL * (1 - LEVEL) / REPEATS) ** 0.5


def hold_out() -> Arrangement:
    """Like a fold of HiTS: 300 objects in 18 fields, two thirds of one class in two of them."""
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 1, 3, 4], [30, 45, 30, 195])
    fields = rng.integers(0, 18, len(labels))
    fields[labels == 4] = rng.integers(0, 2, 195)
    fields[labels == 1] = np.where(rng.random(45) < 0.45, 9, fields[labels == 1])
    return Arrangement.of(labels, fields)


def often(found: list[Bounds], event: Callable[[Bounds], bool]) -> float:
    """How often something is so."""
    return sum(map(event, found)) / len(found)


def differences(
    arrangement: Arrangement, recall: float, gain: float, field: float, rng: np.random.Generator
) -> np.ndarray:
    """Differences of two models' hits, (B, N), from normal variables.

    What makes an object hard is half shared by the models; a part ``field`` of it is alike in a field.
    """
    n, fields = arrangement.fields.shape
    shared = rng.standard_normal((REPEATS, n)) * np.sqrt(0.5)

    def hits(chance: float) -> np.ndarray:
        own = rng.standard_normal((REPEATS, n)) * np.sqrt(0.5 - field)
        alike = rng.standard_normal((REPEATS, fields)) @ arrangement.fields.T * np.sqrt(field)
        return (shared + own + alike < ndtri(chance)).astype(float)

    return hits(recall + gain) - hits(recall)


@pytest.mark.parametrize("recall", [0.7, 0.85, 0.95])
@pytest.mark.parametrize("field", [0.0, 0.05])
def test_equal_models_are_found_better_at_most_as_often_as_the_level_says(
    recall: float, field: float
) -> None:
    rng = np.random.default_rng(1)
    found = balanced_mean(differences(hold_out(), recall, 0.0, field, rng), hold_out(), DIFFERENCES, LEVEL)
    assert often(found, lambda bounds: bounds.low > 0) <= LEVEL + CHANCE


def test_even_where_fields_differ_much_a_first_look_finds_equal_models_better_in_one_of_twenty() -> None:
    rng = np.random.default_rng(1)
    samples = differences(hold_out(), 0.85, 0.0, 0.2, rng)
    found = balanced_mean(samples, hold_out(), DIFFERENCES, level_of_look(LEVEL, 1))
    assert often(found, lambda bounds: bounds.low > 0) <= 0.05 + CHANCE


@pytest.mark.parametrize("gain", [0.03, 0.10])
def test_the_power_that_is_stated_is_how_often_a_better_model_is_found_better(gain: float) -> None:
    rng = np.random.default_rng(2)
    samples = differences(hold_out(), 0.85, gain, 0.0, rng)
    found = balanced_mean(samples, hold_out(), DIFFERENCES, LEVEL)
    measured = np.mean([bounds.low >= 0 for bounds in found])
    stated = np.mean([power(samples[i], hold_out(), gain, 0.0, LEVEL, rng) for i in range(10)])
    assert stated == pytest.approx(measured, abs=0.05)


def test_power_grows_with_the_gain_and_falls_with_the_looks() -> None:
    rng = np.random.default_rng(3)
    sample = differences(hold_out(), 0.85, 0.0, 0.0, rng)[0]
    gains = [power(sample, hold_out(), gain, 0.0, LEVEL, rng) for gain in (0.03, 0.1, 0.2)]
    looks = [power(sample, hold_out(), 0.1, 0.0, level_of_look(LEVEL, look), rng) for look in (1, 3, 10)]
    assert gains == sorted(gains)
    assert looks == sorted(looks, reverse=True)


@given(st.floats(0.001, 0.4), st.integers(1, 500))
def test_the_levels_of_all_looks_add_up_to_the_level(level: float, looks: int) -> None:
    spent = sum(level_of_look(level, look) for look in range(1, looks + 1))
    assert spent == pytest.approx(level * looks / (looks + 1))


@given(st.floats(0.001, 0.4), st.lists(st.booleans(), max_size=60))
def test_no_level_is_spent_twice_whichever_looks_pass(level: float, passed: list[bool]) -> None:
    levels = [level_left(level, passed[:look]) for look in range(len(passed) + 1)]
    spent = sum(own for own, handed_on in zip(levels, [*passed, False], strict=True) if not handed_on)
    assert spent == pytest.approx(level * len(levels) / (len(levels) + 1))


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_a_version_that_breaks_a_rule_is_ever_passed_no_oftener_than_the_level_says(shared: float) -> None:
    rng = np.random.default_rng(5)
    breaks = np.arange(12) % 3 == 1
    erred = 0
    for _ in range(REPEATS):
        noise = np.sqrt(shared) * rng.normal() + np.sqrt(1 - shared) * rng.normal(size=12)
        chances = norm.sf(noise + np.where(breaks, 0.0, 3.0))
        passed: list[bool] = []
        for chance in chances:
            passed.append(bool(chance <= level_left(LEVEL, passed)))
        erred += bool((np.array(passed) & breaks).any())
    assert erred / REPEATS <= LEVEL + CHANCE


def test_looks_that_pass_leave_the_later_ones_their_level() -> None:
    assert level_left(LEVEL, [True] * 11) == pytest.approx(LEVEL * 12 / 13)
    assert level_left(LEVEL, [False] * 11) == pytest.approx(LEVEL / 156)


def test_hits_are_bounded_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(4)
    arrangement = hold_out()
    truth = 0.9
    hits = (rng.random((REPEATS, len(arrangement.fields))) < truth).astype(float)
    found = balanced_mean(hits, arrangement, HITS, LEVEL)
    assert often(found, lambda bounds: bounds.low > truth) <= LEVEL + CHANCE
    assert often(found, lambda bounds: bounds.high < truth) <= LEVEL + CHANCE


def test_models_that_never_differ_are_not_proven_equal() -> None:
    (bounds,) = balanced_mean(np.zeros((1, 300)), hold_out(), DIFFERENCES, LEVEL)
    assert bounds.value == 0
    assert bounds.low < -0.01 < 0.01 < bounds.high


def test_of_one_field_nothing_follows() -> None:
    arrangement = Arrangement.of(np.zeros(50), np.zeros(50))
    (bounds,) = balanced_mean(np.ones((1, 50)), arrangement, HITS, LEVEL)
    assert (bounds.low, bounds.high) == HITS


def test_every_class_counts_alike() -> None:
    labels = np.repeat([0, 1], [90, 10])
    values = (labels == 0).astype(float)
    (bounds,) = balanced_mean(values[None], Arrangement.of(labels, np.arange(100)), HITS, LEVEL)
    assert bounds.value == 0.5


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.3))
def test_bounds_enclose_the_value_within_the_span_and_widen_as_the_level_falls(
    seed: int, level: float
) -> None:
    rng = np.random.default_rng(seed)
    labels, fields = rng.integers(0, 4, 60), rng.integers(0, 8, 60)
    values = rng.integers(-1, 2, (1, 60))
    arrangement = Arrangement.of(labels, fields)
    (bounds,) = balanced_mean(values, arrangement, DIFFERENCES, level)
    (wider,) = balanced_mean(values, arrangement, DIFFERENCES, level / 5)
    assert -1 <= wider.low <= bounds.low <= bounds.high <= wider.high <= 1


def test_the_jackknife_of_a_mean_is_the_standard_error_of_the_mean() -> None:
    rng = np.random.default_rng(5)
    values = rng.standard_normal(40)
    arrangement = Arrangement.of(np.zeros(40), np.arange(40))
    bounds = jackknife(lambda which: float(values[which].mean()), arrangement, 0.025)
    error = values.std(ddof=1) / np.sqrt(40)
    assert bounds.high - bounds.value == pytest.approx(2.0226909 * error)
    assert bounds.value == pytest.approx(values.mean())


def test_answers_that_are_equally_sure_are_one_bin_of_the_calibration() -> None:
    labels = np.repeat([0, 1], [900, 100])
    probabilities = np.tile(np.eye(7)[0], (1000, 1))
    assert calibration_error(labels, probabilities) == pytest.approx(0.5, abs=0.01)
