"""Paired tests and the ways to close the gap, held against what scipy and the theory say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.metrics import MEAN_RECALL, mean_recall
from astroreel.evaluation.paired import mcnemar, mcnemar_p, paired
from astroreel.evaluation.predictions import Trials
from astroreel.sequences.split import Split, SplitObject
from astroreel.study.closing import class_shares, pooled, surest, symmetric, with_shares
from astroreel.study.shots import draw_shots
from tests.code.quick import quick_recipe
from tests.code.synthetic_predictions import make_objects, make_probabilities

COUNTS = {"supernova": 30, "rr_lyrae": 40, "non_variable": 60}


@given(won=st.integers(0, 60), lost=st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(won: int, lost: int) -> None:
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert mcnemar_p(np.array([won]), np.array([lost]))[0] == pytest.approx(expected)


def test_mcnemar_of_many_draws_is_twice_their_median() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random((5, 80)) < 0.8, rng.random((1, 80)) < 0.6
    alone = [mcnemar(one[None], second)["p"]["value"] for one in first]
    together = mcnemar(first, second)["p"]
    assert together["value"] == pytest.approx(min(2 * np.median(alone), 1.0), abs=2e-4)
    assert (together["low"], together["high"]) == (min(alone), max(alone))


@pytest.mark.parametrize("seed", range(3))
def test_models_that_do_alike_are_not_told_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hits = rng.random((1, 400)) < 0.8
    assert mcnemar(hits, rng.permuted(hits, axis=1))["p"]["value"] > 0.01
    assert mcnemar(hits, hits)["p"]["value"] == 1.0


def trials(skills: list[float], seed: int = 0) -> tuple[Trials, object]:
    objects = make_objects(COUNTS, np.random.default_rng(9))
    rng = np.random.default_rng(seed)
    tables = np.stack([make_probabilities(objects.labels, skill, rng) for skill in skills])
    return Trials(tables.argmax(axis=-1), tables[:, :, -1]), objects


def test_a_lead_is_the_difference_of_the_recalls_and_has_the_sign_of_the_skill() -> None:
    (good, objects), (bad, _) = trials([5.0, 5.0]), trials([1.0, 1.0], seed=1)
    resampling = Resampling(objects.fields, 200, np.random.default_rng(1))
    lead = paired(good, bad, objects, resampling)
    recalls = [
        np.mean([mean_recall(objects.labels, one[:, -1:])[0] for one in each.predicted])
        for each in (good, bad)
    ]
    assert lead[MEAN_RECALL]["value"] == pytest.approx(recalls[0] - recalls[1], abs=1e-4)
    assert lead[MEAN_RECALL]["low"] > 0 > lead["log_loss"]["high"]
    assert lead["mcnemar"]["p"]["value"] < 0.01
    assert paired(bad, good, objects, resampling)[MEAN_RECALL]["value"] == -lead[MEAN_RECALL]["value"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_class_shares_are_found_where_the_model_is_right_about_chances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, trained = rng.dirichlet(np.full(7, 5.0)), np.full(7, 1 / 7)
    labels = rng.choice(7, 4000, p=true)
    # A measurement whose distribution given the class is known, so that the posteriors are exact.
    seen = 1.5 * np.eye(7)[labels] + rng.normal(size=(4000, 7))
    likelihood = np.exp(1.5 * seen)
    posterior = with_shares(likelihood / likelihood.sum(axis=1, keepdims=True), trained, trained)
    assert class_shares(posterior, trained) == pytest.approx(true, abs=0.05)


def test_models_together_agree_with_both_where_they_agree() -> None:
    table = np.random.default_rng(1).dirichlet(np.ones(7), (5, 3))
    assert pooled([table, table]) == pytest.approx(table)
    assert (
        pooled([table, np.full_like(table, 1 / 7)]).argmax(axis=-1).tolist() == table.argmax(axis=-1).tolist()
    )


def test_the_surest_are_taken_alike_of_every_class() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    table = np.full((4, 7), 0.01)
    table[[0, 1, 2, 3], [0, 0, 0, 1]] = confidence
    chosen, given_class = surest(table, 2)
    assert (chosen.tolist(), given_class.tolist()) == ([0, 1, 3], [0, 0, 1])


def test_the_mean_over_the_symmetries_has_no_side() -> None:
    class Corner:
        """Tells the brightness of one corner."""

        def predict(self, sequences):
            bright = np.asarray(sequences.stamps)[:, 0, 0] / 2000
            return np.stack([bright, 1 - bright, *np.zeros((5, len(bright)))], axis=1)

    sequences = quick_recipe().block(0, 7)
    stamps = np.asarray(sequences.stamps)
    corners = stamps[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1) / 2000
    assert symmetric(Corner(), sequences)[:, 0] == pytest.approx(corners, rel=1e-5)
    assert symmetric(Corner(), sequences).sum(axis=1) == pytest.approx(1.0)


def make_split() -> Split:
    objects = {
        f"{label}-{n}": SplitObject(label, f"field-{n % 4}", n % 2, 0, 20, -1)
        for label, count in (("supernova", 12), ("rr_lyrae", 30))
        for n in range(count)
    }
    own = [f"{label}-{n}" for label in ("rr_lyrae", "supernova") for n in (5, 1, 3)]
    return Split(objects, {}, [[own, own]])


@pytest.mark.parametrize("draw", [0, 1])
def test_fewer_labels_are_among_more_and_none_is_of_the_fold(draw: int) -> None:
    split = make_split()
    drawn = {shots: draw_shots(split, draw, 0, shots, seed=1) for shots in (1, 3, 6, 20)}
    for fewer, more in ((1, 3), (3, 6), (6, 20)):
        assert all(drawn[more][label][: len(names)] == names for label, names in drawn[fewer].items())
    assert all(split.objects[name].fold == 1 for names in drawn[20].values() for name in names)
    assert {label: len(names) for label, names in drawn[20].items()} == {"supernova": 6, "rr_lyrae": 15}


def test_draws_begin_as_the_pipelines_own() -> None:
    assert draw_shots(make_split(), 0, 0, 3, seed=1)["supernova"] == [
        "supernova-5",
        "supernova-1",
        "supernova-3",
    ]
    first, second = (draw_shots(make_split(), draw, 0, 6, seed=1) for draw in (1, 2))
    assert first != second
