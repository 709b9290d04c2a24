"""Where chance is provable, the controls come out at it; where there is something to find, they find it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.tested import Tested as Objects
from astroreel.models.forest import Forest, ForestConfig, train_forest
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation, prepare
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.rim import RIM
from astroreel.sequences.simulate import SimulationConfig, simulate
from astroreel.sequences.split import TRANSIENT
from astroreel.study.before import before_detection
from astroreel.study.controls import permute_frames
from astroreel.study.rim import rim_alone
from astroreel.study.shuffled import forest_of_shuffled, network_of_shuffled
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey
from astroreel.training.config import FinetuneConfig

PREPARATION = Preparation()
GROWTH = ForestConfig(n_estimators=(25,), max_depth=(12,))
CHANCE = 1 / len(CLASSES)

Sample = tuple[SequenceSet, FeatureSet]


@pytest.fixture(scope="module")
def samples() -> tuple[Sample, Sample]:
    """Simulated objects of the seven classes, 350 to learn from and 210 to be tested on."""
    survey = load_survey("hits")
    conditions = generate_conditions(survey, 6, np.random.default_rng(0))
    made = (
        simulate(survey, conditions, n, split, SimulationConfig(seed=5))
        for n, split in ((350, "train"), (210, "test"))
    )
    first, second = ((sequences, FeatureSet.of(sequences, PREPARATION)) for sequences in made)
    return first, second


@pytest.fixture(scope="module")
def forest(samples: tuple[Sample, Sample]) -> Forest:
    (_, learned), _ = samples
    rows, labels = learned.features[:, -1], learned.labels
    return train_forest(rows, labels, rows[:1], labels[:1], GROWTH)[0]


def by_chance(hits: int, n: int) -> bool:
    """Whether one in seven explains so many hits; one experiment in two thousand is refused wrongly."""
    low, high = binom.ppf([2.5e-4, 1 - 2.5e-4], n, CHANCE)
    return bool(low <= hits <= high)


def accuracy(classes: np.ndarray, labels: np.ndarray) -> float:
    return float((classes == labels).mean())


def test_a_forest_learns_from_true_labels_and_nothing_from_shuffled_ones(
    samples: tuple[Sample, Sample], forest: Forest
) -> None:
    (_, learned), (_, asked) = samples
    rows = asked.features[:, -1]
    assert accuracy(forest.predict_features(rows).argmax(axis=1), asked.labels) > 0.45
    shuffled = [
        accuracy(
            forest_of_shuffled(learned.features[:, -1], learned.labels, rows, GROWTH, (seed,)), asked.labels
        )
        for seed in range(12)
    ]
    # Whole classes are right or wrong together: chance is the mean over shuffles.
    assert abs(np.mean(shuffled) - CHANCE) < 4 * np.std(shuffled, ddof=1) / np.sqrt(len(shuffled))


def test_a_network_learns_from_true_labels_and_nothing_from_shuffled_ones(
    samples: tuple[Sample, Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, asked = (prepare(sequences, Preparation(max_epochs=12)) for sequences, _ in samples)
    config = FinetuneConfig(iterations=40, batch_size=32, replay=0, learning_rate=1e-2)
    small = {"name": "photometric", "masks": 8, "filters": 2, "units": 24, "layers": 1}

    def taught(seed: int) -> float:
        return accuracy(network_of_shuffled(small, learned, asked, config, (seed,)), asked.labels)

    shuffled = [taught(seed) for seed in range(5)]
    assert abs(np.mean(shuffled) - CHANCE) < 4 * np.std(shuffled, ddof=1) / np.sqrt(len(shuffled)) + 0.01
    monkeypatch.setattr("astroreel.study.shuffled.shuffle", lambda labels, rng: labels)
    assert taught(0) > 0.25


def test_a_forest_that_tells_stamps_apart_is_right_by_chance_on_their_rims(
    samples: tuple[Sample, Sample], forest: Forest
) -> None:
    _, (sequences, asked) = samples
    blind = FeatureSet.of(rim_alone(sequences, np.random.default_rng(1)), PREPARATION)
    hits = forest.predict_features(blind.features[:, -1]).argmax(axis=1) == asked.labels
    assert by_chance(int(hits.sum()), len(hits))


def test_only_the_rim_is_left_and_no_source_inside_it(samples: tuple[Sample, Sample]) -> None:
    _, (sequences, _) = samples
    blind = rim_alone(sequences, np.random.default_rng(1))
    np.testing.assert_array_equal(blind.stamps[:, RIM], sequences.stamps[:, RIM])
    assert not np.isnan(blind.stamps[:, ~RIM]).any()
    curves = photometry(blind, PREPARATION)
    significance = curves.flux / curves.error
    assert np.nanmedian(np.abs(significance)) < 1.2  # 0.67 of a Gaussian
    assert abs(np.nanmean(np.clip(significance, -5, 5))) < 0.2


def test_permuted_frames_keep_what_was_seen_and_lose_when(samples: tuple[Sample, Sample]) -> None:
    _, (sequences, asked) = samples
    permuted = permute_frames(sequences, np.random.default_rng(1))
    np.testing.assert_array_equal(permuted.epochs["mjd"], sequences.epochs["mjd"])
    for start, stop in zip(sequences.offsets[:5], sequences.offsets[1:6], strict=True):
        before, after = (np.sort(part.epochs["seeing"][start:stop]) for part in (sequences, permuted))
        np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(
            *(np.sort(part.stamps[start:stop, 10, 10]) for part in (sequences, permuted))
        )
    curves = photometry(permuted, PREPARATION).padded(photometry(permuted, PREPARATION).flux)
    own = asked.curves.padded(asked.curves.flux)
    np.testing.assert_allclose(np.sort(curves, axis=1), np.sort(own, axis=1), rtol=1e-6)
    assert (np.nan_to_num(curves) != np.nan_to_num(own)).any(axis=1).mean() > 0.99


@pytest.mark.parametrize("knows", [False, True])
def test_before_the_detection_who_knows_nothing_is_at_chance(
    samples: tuple[Sample, Sample], knows: bool
) -> None:
    _, (sequences, asked) = samples
    objects = Objects.simulated("simulated", sequences, asked)
    rng = np.random.default_rng(2)
    said = rng.dirichlet(np.ones(7), (1, len(objects), 22))
    if knows:
        said[:, :, :, 0] += 2.0 * (sequences.labels == TRANSIENT)[None, :, None]
    resampling = Resampling(sequences.objects["name"], 400, rng)
    told = before_detection(objects, {("rcnn", "zero_shot"): said}, resampling, rng)["zero_shot"]["rcnn"]
    assert (told["auc"]["low"] <= 0.5 <= told["auc"]["high"]) is not knows
    assert (told["likelihood_ratio"]["low"] <= 1.0 <= told["likelihood_ratio"]["high"]) is not knows
    assert told["supernovae_called_so"]["n"] + told["others_called_so"]["n"] == told["auc"]["n"] <= 210
