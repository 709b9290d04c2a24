"""Statistics of scores are those of scikit-learn and of plain counting, under any weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from astroreel.evaluation.bootstrap import Resampling
from astroreel.study.confidence import abstention, untempered
from astroreel.study.resampled import accuracy_at, auc, log_ratio, mean, mean_over, recall_at, resample


def scored(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, what is positive, and whole weights, (4, n)."""
    rng = np.random.default_rng(seed)
    positive = np.arange(n) % 3 == 0
    scores = np.round(rng.normal(size=n) + positive, 1)
    return scores, positive, rng.integers(1, 4, (4, n)).astype(float)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_auc_is_scikit_learns_under_weights_and_with_ties(seed: int) -> None:
    scores, positive, weights = scored(seed)
    expected = [roc_auc_score(positive, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(auc(positive)(scores, weights), expected, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.05, 0.2, 0.5]))
def test_recall_is_that_at_the_lowest_threshold_with_few_enough_false_alarms(seed: int, share: float) -> None:
    scores, positive, weights = scored(seed)
    for row, found in zip(weights, recall_at(positive, share)(scores, weights), strict=True):
        alarms = [np.average(scores[~positive] > t, weights=row[~positive]) for t in np.unique(scores)]
        lowest = np.unique(scores)[np.array(alarms) <= share].min()
        assert found == pytest.approx(np.average(scores[positive] > lowest, weights=row[positive]))


def test_the_mean_over_classes_is_scikit_learns_balanced_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 4], 90, p=[0.1, 0.3, 0.6])
    said = np.where(rng.random(90) < 0.6, labels, 1)
    weights = rng.integers(1, 4, (3, 90)).astype(float)
    expected = [balanced_accuracy_score(labels, said, sample_weight=row) for row in weights]
    np.testing.assert_allclose(mean_over(labels)(said == labels, weights), expected)


def test_a_whole_weight_counts_as_so_many_objects() -> None:
    scores, positive, weights = scored(1)
    copies = np.repeat(np.arange(len(scores)), weights[0].astype(int))
    hits = np.stack([scores, scores > 0.4], axis=1)
    once = np.ones((1, len(copies)))
    for weighted, copied in (
        (auc(positive)(scores, weights[:1]), auc(positive[copies])(scores[copies], once)),
        (mean(scores > 0, weights[:1]), mean(scores[copies] > 0, once)),
        (accuracy_at(1.0)(hits, weights[:1]), accuracy_at(1.0)(hits[copies], once)),
        (log_ratio(positive)(scores > 0, weights[:1]), log_ratio(positive[copies])(scores[copies] > 0, once)),
    ):
        np.testing.assert_allclose(weighted, copied)


def test_who_is_surest_where_he_is_right_gains_by_abstaining() -> None:
    rng = np.random.default_rng(2)
    final = softmax(3.0 * rng.normal(size=(1, 400, 7)), axis=-1)
    labels = np.array([rng.choice(7, p=row) for row in final[0]])
    resampling = Resampling(np.arange(400), 200, rng)
    kept = abstention(labels, final, resampling)
    assert kept["50"].low > kept["100"].high
    assert kept["100"].value == (final[0].argmax(axis=1) == labels).mean()


def test_a_difference_of_two_that_err_alike_is_surer_than_either() -> None:
    rng = np.random.default_rng(3)
    first = rng.random((1, 200)) < 0.7
    second = first & (rng.random((1, 200)) < 0.95)
    resampling = Resampling(np.arange(200), 500, rng)
    both = [resample(mean, hits, resampling) for hits in (first, second)]
    lead, alone = (both[0] - both[1]).estimate(), both[0].estimate()
    assert lead.low > 0
    assert lead.high - lead.low < 0.5 * (alone.high - alone.low)


def test_where_all_agree_a_share_still_has_a_width() -> None:
    resampling = Resampling(np.arange(20), 200, np.random.default_rng(0))
    certain = resample(mean, np.ones((1, 20), bool), resampling)
    assert certain.estimate().low == 1.0
    assert certain.share().low < 0.9


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.3, 4.0))
def test_a_temperature_can_be_undone(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(2, 5, 7))
    tempered = softmax(logits / temperature, axis=-1)
    np.testing.assert_allclose(
        untempered(tempered, np.full((1, 1, 1), temperature)), softmax(logits, axis=-1)
    )
