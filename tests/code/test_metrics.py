"""The evaluation's numbers: against independent oracles, and their shape in metrics.json."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    log_loss,
    recall_score,
)

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Resampling, difference, measure
from astroreel.evaluation.calibration import calibration, calibration_error
from astroreel.evaluation.estimate import Estimate, wilson, wilson_mean
from astroreel.evaluation.metrics import (
    ClassMeans,
    accuracy,
    brier_scores,
    by_sample_count,
    class_means,
    confusion,
    log_losses,
    mean_recall,
)
from astroreel.evaluation.predictions import Objects, Predictions
from astroreel.evaluation.protocol import EvaluationConfig, evaluate
from astroreel.evaluation.results import (
    flat_values,
    load_evaluation,
    save_curves,
    save_evaluation,
)
from astroreel.files import write_json
from astroreel.sequences.record import SequenceSet
from tests.code.synthetic_predictions import (
    BASELINES,
    DRAWS,
    REAL_COUNTS,
    make_objects,
    make_predictions,
    make_probabilities,
)

PARAMETERS = EvaluationConfig(seed=1, resamples=200)
LEAVES = {"accuracy_22", "mean_recall_22", "recall_22", "recall_5", "log_loss", "brier"} | {
    "calibration_error",
    "supernova_recall_since_detection",
}


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(make_predictions(), "hits", PARAMETERS)


def draw_labels_and_predictions(seed, n=200, columns=3):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 3, 4], size=n, p=[0.1, 0.2, 0.3, 0.4])
    wrong = rng.integers(7, size=(n, columns))
    return labels, np.where(rng.random((n, columns)) < 0.7, labels[:, None], wrong)


# --- by sample count -----------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8), n_max=st.integers(1, 25))
def test_an_object_shorter_than_n_keeps_its_last_prediction(lengths, n_max):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.arange(offsets[-1], dtype=float)[:, None].repeat(7, axis=1)
    table = by_sample_count(rows, offsets, n_max)
    for start, length, of_object in zip(offsets, lengths, table, strict=False):
        expected = [start + min(n, length - 1) for n in range(n_max)]
        assert of_object[:, 0].tolist() == expected


def test_an_object_without_epochs_is_refused():
    with pytest.raises(ValueError, match="object 1 has no epoch"):
        by_sample_count(np.ones((5, 7)), np.array([0, 2, 2, 5]))


# --- measures against scikit-learn ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_mean_recall_and_confusion_agree_with_scikit_learn(seed):
    labels, predicted = draw_labels_and_predictions(seed)
    for column in range(predicted.shape[1]):
        one = predicted[:, column]
        assert accuracy(labels, predicted)[column] == pytest.approx(accuracy_score(labels, one))
        occurring = recall_score(labels, one, labels=np.unique(labels), average="macro")
        assert mean_recall(labels, predicted)[column] == pytest.approx(occurring)
        assert np.array_equal(confusion(labels, one), confusion_matrix(labels, one, labels=range(7)))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_mean_recall_counts_only_classes_that_occur_among_the_labels():
    labels, predicted = draw_labels_and_predictions(seed=5, columns=1)
    assert set(predicted[:, 0]) > set(labels)
    assert mean_recall(labels, predicted)[0] == pytest.approx(
        balanced_accuracy_score(labels, predicted[:, 0])
    )


def test_log_loss_is_balanced_over_classes_as_scikit_learn_weights_it():
    rng = np.random.default_rng(2)
    labels, _ = draw_labels_and_predictions(seed=2)
    probabilities = make_probabilities(labels, 2.0, rng)[:, -1]
    balanced = class_means(log_losses(labels, probabilities)[None, :, None], labels).balanced()[0, 0]
    weights = 1.0 / np.bincount(labels)[labels]
    assert balanced == pytest.approx(log_loss(labels, probabilities, sample_weight=weights, labels=range(7)))


def test_a_probability_of_zero_for_the_truth_costs_a_finite_log_loss():
    certain_and_wrong = np.eye(7)[[1]]
    assert np.isfinite(log_losses(np.array([0]), certain_and_wrong)).all()


def test_brier_score_is_zero_for_the_truth_and_two_for_certain_error():
    labels = np.array([0, 3])
    assert brier_scores(labels, np.eye(7)[[0, 4]]).tolist() == [0.0, 2.0]


def test_weights_of_objects_act_as_repeated_objects():
    labels, predicted = draw_labels_and_predictions(seed=4)
    counts = np.random.default_rng(4).integers(0, 4, size=len(labels))
    weighted = class_means((predicted == labels[:, None])[None], labels, counts[None].astype(float))
    repeated = np.repeat(np.arange(len(labels)), counts)
    assert weighted.overall()[0] == pytest.approx(accuracy(labels[repeated], predicted[repeated]))
    assert weighted.balanced()[0] == pytest.approx(mean_recall(labels[repeated], predicted[repeated]))


def test_a_draw_taken_alone_gives_the_measure_of_that_draw():
    labels, predicted = draw_labels_and_predictions(seed=6, columns=4)
    hits = (predicted == labels[:, None]).T[:, :, None]  # four draws of one column
    alone = class_means(hits, labels, draw_weights=np.eye(4))
    assert alone.balanced()[:, 0] == pytest.approx(mean_recall(labels, predicted))


# --- intervals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (470, 500)])
def test_wilson_agrees_with_scipy(hits, n):
    low, high = wilson(np.array([hits / n]), n)
    oracle = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_the_interval_of_one_class_is_its_wilson_interval():
    proportion, n = np.array([[0.9, 0.5]]), np.array([[40.0]])
    low, high = wilson(proportion, n)
    mean_low, mean_high = wilson_mean(proportion, n)
    assert mean_low == pytest.approx(low[0])
    assert mean_high == pytest.approx(high[0])


def test_the_mean_of_perfect_recalls_still_has_an_interval():
    low, high = wilson_mean(np.ones((4, 1)), np.full((4, 1), 20.0))
    assert 0.9 < low[0] < 1.0
    assert high[0] == 1.0


def test_bootstrap_intervals_cover_a_binomial_proportion():
    rng, truth, covered, trials = np.random.default_rng(0), 0.8, 0, 200
    labels = np.zeros(80, np.int64)
    for _ in range(trials):
        hits = rng.random((1, 80, 1)) < truth
        resampling = Resampling(np.arange(80), 300, rng)
        estimate = measure(hits, labels, resampling).estimates(ClassMeans.overall)[0]
        covered += estimate.low <= truth <= estimate.high
    assert 0.88 <= covered / trials <= 0.99


def test_objects_of_a_field_that_agree_count_as_one():
    rng = np.random.default_rng(1)
    labels, fields = np.zeros(200, np.int64), np.repeat(np.arange(10), 20)
    hits = (rng.random(10) < 0.6)[fields][None, :, None]
    widths = [
        e.high - e.low
        for units in (fields, np.arange(200))
        for e in measure(hits, labels, Resampling(units, 500, rng)).estimates(ClassMeans.overall)
    ]
    assert widths[0] > 3 * widths[1]


def test_draws_that_disagree_widen_the_interval_and_show_in_sd_draws():
    rng = np.random.default_rng(2)
    labels = np.zeros(400, np.int64)
    shares = np.array([0.5, 0.7, 0.9])
    hits = (rng.random((3, 400)) < shares[:, None])[:, :, None]
    estimate = measure(hits, labels, Resampling(np.arange(400), 500, rng)).estimates(ClassMeans.overall)[0]
    assert estimate.sd_draws == pytest.approx(hits.mean(axis=(1, 2)).std(ddof=1))
    assert estimate.high - estimate.low > 0.2


def test_a_paired_difference_is_narrower_than_unpaired_intervals_suggest():
    rng = np.random.default_rng(3)
    labels = rng.integers(7, size=300)
    hits = rng.random((1, 300, 1)) < 0.7
    better = hits | (rng.random((1, 300, 1)) < 0.1)
    resampling = Resampling(np.arange(300), 500, rng)
    first, second = measure(better, labels, resampling), measure(hits, labels, resampling)
    lead = difference(first, second, ClassMeans.overall)[0]
    alone = first.estimates(ClassMeans.overall)[0]
    assert lead.value == pytest.approx(better.mean() - hits.mean())
    assert lead.low > 0
    assert lead.high - lead.low < alone.high - alone.low


def test_a_model_does_not_differ_from_itself():
    labels, predicted = draw_labels_and_predictions(seed=7)
    resampling = Resampling(np.arange(len(labels)), 100, np.random.default_rng(0))
    one = measure((predicted == labels[:, None])[None], labels, resampling)
    assert {(e.value, e.low, e.high) for e in difference(one, one, ClassMeans.balanced)} == {(0.0, 0.0, 0.0)}


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6))
def test_an_estimate_survives_json_up_to_rounding(value, low, high, n):
    leaf = Estimate(value, low, high, n).to_json()
    assert set(leaf) == {"value", "low", "high", "n"}
    assert Estimate.from_json(json.loads(json.dumps(leaf))).to_json() == leaf
    assert leaf["value"] == pytest.approx(value, abs=1e-4)


def test_a_negative_zero_is_written_as_zero():
    assert json.dumps(Estimate(-1e-9, -0.0, 0.0, 1).to_json()["value"]) == "0.0"


# --- the protocol --------------------------------------------------------------------------------


def test_metrics_are_nested_by_domain_model_and_stage(evaluation):
    metrics = evaluation.metrics
    assert set(metrics) == {"target", "simulated", "real"}
    assert set(metrics["simulated"]) == {"rcnn", "forest", "difference"}
    assert set(metrics["real"]) == {"rcnn", "forest", *BASELINES, "difference"}
    for domain in ("simulated", "real"):
        for model in ("rcnn", "forest"):
            assert set(metrics[domain][model]["zero_shot"]) == LEAVES
            assert set(metrics[domain][model]["fine_tuned"]) == LEAVES | {"gain"}
        for stage in ("zero_shot", "fine_tuned"):
            assert set(metrics[domain]["difference"][stage]) == {
                "accuracy_22",
                "mean_recall_22",
                "supernova_recall_since_detection",
            }
    for baseline in BASELINES:
        assert set(metrics["real"][baseline]) == {"fine_tuned"}
        assert set(metrics["real"][baseline]["fine_tuned"]) == LEAVES | {"rcnn_lead"}


def test_leaves_are_estimates_with_the_spread_of_the_draws_where_there_are_draws(evaluation):
    zero_shot = evaluation.metrics["real"]["rcnn"]["zero_shot"]["mean_recall_22"]
    fine_tuned = evaluation.metrics["real"]["rcnn"]["fine_tuned"]["mean_recall_22"]
    assert set(zero_shot) == {"value", "low", "high", "n"}
    assert set(fine_tuned) == {"value", "low", "high", "n", "sd_draws"}
    assert fine_tuned["n"] == zero_shot["n"] == sum(REAL_COUNTS.values())
    assert fine_tuned["low"] <= fine_tuned["value"] <= fine_tuned["high"]


def test_differences_are_those_of_the_values(evaluation):
    real = evaluation.metrics["real"]

    def value(model, stage):
        return real[model][stage]["mean_recall_22"]["value"]

    def near(expected):
        return pytest.approx(expected, abs=2e-4)  # each is rounded to four decimals

    rcnn = value("rcnn", "fine_tuned")
    lead = real["difference"]["fine_tuned"]["mean_recall_22"]["value"]
    assert lead == near(rcnn - value("forest", "fine_tuned"))
    gain = real["rcnn"]["fine_tuned"]["gain"]["mean_recall_22"]["value"]
    assert gain == near(rcnn - value("rcnn", "zero_shot"))
    at_detection = [
        real[model]["fine_tuned"]["supernova_recall_since_detection"]["0"]["value"]
        for model in ("rcnn", "forest", "difference")
    ]
    assert at_detection[2] == near(at_detection[0] - at_detection[1])
    over = real["magnitude"]["fine_tuned"]["rcnn_lead"]["mean_recall_22"]["value"]
    assert over == near(rcnn - value("magnitude", "fine_tuned"))


def test_recall_is_given_for_the_classes_that_occur_with_their_number_of_objects(evaluation):
    recalls = evaluation.metrics["real"]["forest"]["zero_shot"]["recall_22"]
    assert {label: leaf["n"] for label, leaf in recalls.items()} == REAL_COUNTS
    assert set(evaluation.metrics["simulated"]["forest"]["zero_shot"]["recall_22"]) == set(CLASSES)


def test_the_early_recall_is_that_after_five_samples(evaluation):
    parts = {p.stage: p for p in make_predictions() if (p.domain, p.model) == ("real", "rcnn")}
    truth = parts["zero_shot"].objects.labels
    after_five = parts["zero_shot"].probabilities[:, 4].argmax(axis=-1)
    recalls = evaluation.metrics["real"]["rcnn"]["zero_shot"]["recall_5"]
    assert set(recalls) == set(REAL_COUNTS)
    for label, leaf in recalls.items():
        members = truth == CLASSES.index(label)
        assert leaf["value"] == pytest.approx(np.mean(after_five[members] == truth[members]), abs=1e-4)


def test_values_are_those_of_the_joined_folds(evaluation):
    parts = [
        p
        for p in make_predictions()
        if (p.domain, p.model, p.stage, p.draw) == ("real", "rcnn", "fine_tuned", 1)
    ]
    labels = np.concatenate([p.objects.labels for p in parts])
    predicted = np.concatenate([p.probabilities for p in parts]).argmax(axis=-1)
    of_draw = mean_recall(labels, predicted)[-1]
    leaf = evaluation.metrics["real"]["rcnn"]["fine_tuned"]["mean_recall_22"]
    assert abs(of_draw - leaf["value"]) <= leaf["sd_draws"] * DRAWS**0.5


def test_recall_rises_with_the_number_of_samples_and_ends_at_the_leaf(evaluation):
    (curve,) = [c for c in evaluation.select_curves("real", "mean_recall", "fine_tuned") if c.model == "rcnn"]
    assert len(curve.estimates) == 22
    assert curve.estimates[-1].value > curve.estimates[0].value + 0.2
    leaf = evaluation.metrics["real"]["rcnn"]["fine_tuned"]["mean_recall_22"]
    assert curve.estimates[-1].to_json() == leaf


def test_the_curve_of_a_class_passes_through_its_leaves(evaluation):
    for model in ("rcnn", "forest"):
        leaves = evaluation.metrics["real"][model]["fine_tuned"]
        for label in REAL_COUNTS:
            curves = evaluation.select_curves("real", f"recall_{label}", "fine_tuned")
            (curve,) = [one for one in curves if one.model == model]
            assert curve.estimates[4].to_json() == leaves["recall_5"][label]
            assert curve.estimates[21].to_json() == leaves["recall_22"][label]


def test_a_confusion_matrix_has_the_objects_of_each_class_in_its_row(evaluation):
    for matrix in evaluation.confusions:
        if matrix.domain == "real":
            rows = dict(zip(CLASSES, matrix.counts.sum(axis=1), strict=True))
            assert {label: n for label, n in rows.items() if n} == pytest.approx(REAL_COUNTS)


def test_the_surrogate_target_stands_under_its_own_name():
    metrics = evaluate(make_predictions(target_domain="surrogate"), "surrogate", PARAMETERS).metrics
    assert set(metrics) == {"target", "simulated", "surrogate"}
    assert metrics["target"] == "surrogate"


def test_evaluating_twice_in_any_order_gives_the_same_bytes(tmp_path):
    for name, predictions in (("a", make_predictions()), ("b", make_predictions()[::-1])):
        evaluation = evaluate(predictions, "hits", PARAMETERS)
        write_json(tmp_path / f"{name}.json", evaluation.metrics)
        save_evaluation(tmp_path / f"{name}-all.json", evaluation)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (tmp_path / "a-all.json").read_bytes() == (tmp_path / "b-all.json").read_bytes()


def test_a_saved_evaluation_is_read_back_whole(evaluation, tmp_path):
    save_evaluation(tmp_path / "a.json", evaluation)
    save_evaluation(tmp_path / "b.json", load_evaluation(tmp_path / "a.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_curves_are_written_as_a_row_a_number_of_samples(evaluation, tmp_path):
    save_curves(tmp_path / "curves.csv", evaluation.select_curves("simulated", "accuracy", "zero_shot"))
    header, *rows = (tmp_path / "curves.csv").read_text().splitlines()
    assert header == "n_samples,value,low,high,model,stage"
    assert len(rows) == 2 * 22
    assert rows[0].startswith("1,")


def test_metrics_hold_no_number_that_json_cannot(evaluation):
    json.dumps(evaluation.metrics, allow_nan=False)
    assert all(np.isfinite(value) for value in flat_values(evaluation.metrics).values())


def test_flat_values_name_a_leaf_by_its_path(evaluation):
    flat = flat_values(evaluation.metrics)
    leaf = evaluation.metrics["real"]["rcnn"]["zero_shot"]["mean_recall_22"]
    assert flat["real/rcnn/zero_shot/mean_recall_22"] == leaf["value"]


def test_objects_come_from_a_sequence_set(make_sequence):
    sequences = SequenceSet.from_sequences([make_sequence(6, seed=1), make_sequence(9, seed=2)])
    objects = Objects.of(sequences, np.array([-1, 3]))
    assert objects.labels.tolist() == [CLASSES.index("rr_lyrae")] * 2
    assert objects.names.tolist() == ["object-1", "object-2"]
    assert objects.lengths.tolist() == [6, 9]
    assert objects.select(np.array([1])).detections.tolist() == [3]


def one_prediction(objects, model="rcnn", fold=None):
    probabilities = make_probabilities(objects.labels, 1.0, np.random.default_rng(0))
    return Predictions(model, "zero_shot", "real", objects, probabilities, 0, fold)


def test_an_object_that_a_model_was_not_tested_on_is_refused():
    objects = make_objects({"supernova": 5, "galaxy": 5}, np.random.default_rng(0))
    predictions = [one_prediction(objects), one_prediction(objects.select(np.arange(9)), model="forest")]
    with pytest.raises(ValueError, match="every object must be tested once"):
        evaluate(predictions, "hits", PARAMETERS)


def test_an_object_tested_twice_in_a_draw_is_refused():
    objects = make_objects({"supernova": 5}, np.random.default_rng(0))
    with pytest.raises(ValueError, match="5 objects are tested twice"):
        evaluate([one_prediction(objects, fold=0), one_prediction(objects, fold=1)], "hits", PARAMETERS)


def test_an_unlabelled_object_is_refused():
    objects = make_objects({"supernova": 2}, np.random.default_rng(0))
    objects.labels[1] = -1
    with pytest.raises(ValueError, match="object00001 has no label"):
        evaluate([one_prediction(objects)], "hits", PARAMETERS)


def test_without_objects_of_the_target_there_are_only_simulated_figures():
    simulated = [one for one in make_predictions() if one.domain == "simulated" and one.stage == "zero_shot"]
    evaluation = evaluate(simulated, "lsst", PARAMETERS)
    assert set(evaluation.metrics) == {"target", "simulated"}
    assert not evaluation.labelled
    assert evaluation.target_classes == ()


# --- supernovae since their detection ------------------------------------------------------------


def test_supernovae_are_scored_at_the_sample_of_their_detection_and_on_while_they_last():
    objects = make_objects({"supernova": 13, "galaxy": 4}, np.random.default_rng(0))
    objects.lengths[:13] = [6, 6, 7, 8, 9, 22, 30, 30, 8, 8, 8, 8, 30]
    objects.detections[:13] = [4, 5, 2, 4, 4, 5, 5, -1, 5, 5, 5, 5, 21]
    probabilities = np.zeros((17, 22, 7))
    probabilities[..., 1] = 0.5
    for row, detection in enumerate(objects.detections[:13]):
        if detection >= 0:
            probabilities[row, detection + 1 :, 0] = 1.0  # right from one epoch after the detection on
    made = Predictions("rcnn", "zero_shot", "real", objects, probabilities)
    leaves = evaluate([made], "hits", PARAMETERS).metrics["real"]["rcnn"]["zero_shot"]
    since = leaves["supernova_recall_since_detection"]
    assert {epoch: (leaf["value"], leaf["n"]) for epoch, leaf in since.items()} == {
        "0": (0.0, 12),
        "1": (1.0, 10),
    }


def test_the_figure_of_supernovae_starts_at_the_leaf_of_their_detection(evaluation):
    for curve in evaluation.select_curves("real", "supernova_recall_since_detection"):
        leaf = evaluation.metrics["real"][curve.model][curve.stage]["supernova_recall_since_detection"]["0"]
        assert curve.estimates[0].to_json() == leaf
        assert leaf["n"] == REAL_COUNTS["supernova"]


# --- calibration ---------------------------------------------------------------------------------


def stated_and_so(n, stated, so, rng, labels=2):
    """Labels and probabilities of a model that states ``stated`` and is right with chance ``so``, (n,)."""
    truth = rng.integers(labels, size=n)
    said = np.where(rng.random(n) < so, truth, (truth + 1) % labels)
    probabilities = np.zeros((n, 7))
    probabilities[np.arange(n), said] = stated
    probabilities[np.arange(n), (said + 1) % labels] = 1 - stated
    return truth, probabilities


def test_the_calibration_error_is_how_far_stated_and_actual_shares_are_apart():
    rng = np.random.default_rng(0)
    stated = rng.uniform(0.7, 1.0, 20_000)
    for gap in (0.0, 0.1, 0.2):
        found = calibration_error(*stated_and_so(20_000, stated, stated - gap, rng))
        assert found == pytest.approx(gap, abs=0.012)


def test_the_calibration_error_of_few_objects_is_right_in_the_mean_of_its_square():
    rng = np.random.default_rng(1)
    squares, raw = [], []
    for _ in range(400):
        stated = rng.uniform(0.6, 1.0, 60)
        labels, final = stated_and_so(60, stated, stated - 0.15, rng)
        resampling = Resampling(np.arange(60), 100, rng)
        squares.append(calibration(labels, final[None], resampling).error.value ** 2)
        raw.append(calibration_error(labels, final) ** 2)
    assert squares == pytest.approx(raw)
    assert np.mean(squares) == pytest.approx(0.15**2, abs=0.006)


def test_the_interval_of_the_calibration_error_covers_the_truth():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        stated = rng.uniform(0.6, 1.0, 200)
        labels, final = stated_and_so(200, stated, stated - 0.15, rng)
        error = calibration(labels, final[None], Resampling(np.arange(200), 300, rng)).error
        assert error.low <= error.value <= error.high
        covered += error.low <= 0.15 <= error.high
    assert 85 <= covered <= 100


def test_a_reliability_diagram_has_the_shares_of_its_bins(evaluation):
    for one in evaluation.reliabilities:
        assert len(one.shares) == len(one.confidence) <= 10
        assert np.all(np.diff(one.confidence) > 0)
        assert all(0 <= share.low <= share.value <= share.high <= 1 for share in one.shares)
        leaf = evaluation.metrics[one.domain][one.model][one.stage]["calibration_error"]
        assert one.error.to_json() == leaf


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_every_interval_of_a_share_lies_within_zero_and_one_and_holds_its_value(seed):
    counts = {"supernova": 3, "rr_lyrae": 4, "non_variable": 5}
    predictions = make_predictions(seed, real_counts=counts, simulated=2)
    metrics = evaluate(predictions, "hits", EvaluationConfig(resamples=100)).metrics
    for domain in ("simulated", "real"):
        for stage in metrics[domain]["rcnn"].values():
            for leaf in (
                stage["accuracy_22"],
                stage["mean_recall_22"],
                *stage["recall_22"].values(),
                *stage["recall_5"].values(),
            ):
                assert 0 <= leaf["low"] <= leaf["value"] <= leaf["high"] <= 1
