"""The gap between domains is nothing where there is none, and is seen where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from astroreel.evaluation.protocol import EvaluationConfig
from astroreel.evaluation.tested import Tested as Objects
from astroreel.models.forest import ForestClassifier, ForestConfig, train_forest
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import SimulationConfig, simulate
from astroreel.study.embedding import last_states
from astroreel.study.gap import Gap, measure_gap
from astroreel.study.robustness import SHIFTS, mistaken
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey

SURVEY = load_survey("hits")
PREPARATION = Preparation()
CLASSES = ("supernova", "rr_lyrae", "non_variable")
CONFIG = EvaluationConfig(resamples=200)


@pytest.fixture(scope="module")
def conditions() -> ConditionsTable:
    return generate_conditions(SURVEY, 20, np.random.default_rng(0)).max_seeing(SURVEY.max_seeing)


def sample(conditions: ConditionsTable, seed: int, n: int = 120) -> SequenceSet:
    return simulate(SURVEY, conditions, n, "test", SimulationConfig(seed=seed), CLASSES)


@pytest.fixture(scope="module")
def simulated(conditions: ConditionsTable) -> Objects:
    sequences = sample(conditions, 1)
    return Objects.simulated("simulated", sequences, FeatureSet.of(sequences, PREPARATION))


@pytest.fixture(scope="module")
def forest(simulated: Objects, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, labels = simulated.features.features[:, -1], simulated.features.labels
    grown, _ = train_forest(rows, labels, rows, labels, ForestConfig(n_estimators=(25,), max_depth=(8,)))
    folder = tmp_path_factory.mktemp("models") / "forest"
    ForestClassifier(grown, PREPARATION).save(folder)
    return folder


def gap_to(sequences: SequenceSet, forest: Path, simulated: Objects) -> Gap:
    real = Objects.simulated("simulated", sequences, FeatureSet.of(sequences, PREPARATION))
    found = measure_gap("forest", forest, "zero_shot", replace(real, domain="real"), simulated, CONFIG)
    assert found is not None
    return found


def test_two_samples_of_one_simulation_are_not_told_apart(
    conditions: ConditionsTable, forest: Path, simulated: Objects
) -> None:
    found = gap_to(sample(conditions, 2), forest, simulated)
    assert found.domain_auc.value == pytest.approx(0.5, abs=0.12)
    assert set(found.by_class) == set(CLASSES)
    assert found.domain_auc.n == 2 * 120


def test_brighter_objects_than_were_simulated_are_told_apart_and_recognised_less(
    conditions: ConditionsTable, forest: Path, simulated: Objects
) -> None:
    sequences = sample(conditions, 2)
    sky = sequences.epochs["sky"][:, None, None].astype(np.float32)
    other = replace(sequences, stamps=sky + 30.0 * (sequences.stamps[:] - sky))
    found = gap_to(other, forest, simulated)
    assert found.domain_auc.low > 0.6
    assert found.gap.low > 0
    assert found.tags()["gap"] == f"{found.gap.value:.3f} [{found.gap.low:.3f}, {found.gap.high:.3f}]"


def test_where_too_few_objects_are_real_there_is_no_gap_to_measure(
    conditions: ConditionsTable, forest: Path, simulated: Objects
) -> None:
    few = replace(simulated.select(np.arange(9)), domain="real")
    assert measure_gap("forest", forest, "zero_shot", few, simulated, CONFIG) is None


@pytest.mark.parametrize("name", ["photometric", "compact", "attention", "thesis"])
def test_the_last_layer_makes_the_last_prediction_of_the_last_state(simulated: Objects, name: str) -> None:
    small = {"thesis": {"filters": 4, "dense": 8, "units": 8}}.get(name, {})
    classifier = RcnnClassifier(build({"name": name, **small}, 1).eval(), PREPARATION)
    some = simulated.sequences.select(np.arange(6))
    layers = [layer for layer in classifier.network.modules() if isinstance(layer, torch.nn.Linear)]
    last = [layer for layer in layers if layer.out_features == 7][-1]
    with torch.inference_mode():
        logits = last(torch.from_numpy(last_states(classifier, some)))
    told = classifier.predict(some)[some.offsets[1:] - 1]
    np.testing.assert_allclose(torch.softmax(logits, dim=1), told, atol=1e-4)


@pytest.mark.parametrize("kind", list(SHIFTS))
def test_a_mistaken_header_is_that_of_the_same_exposure_undisturbed(
    conditions: ConditionsTable, kind: str
) -> None:
    seen = SHIFTS[kind](conditions, SURVEY, 0.2)
    sequences = simulate(
        SURVEY.model_copy(update={"max_seeing": np.inf}), seen, 6, "test", SimulationConfig(seed=1), CLASSES
    )
    wrong = mistaken(sequences, seen, conditions)
    np.testing.assert_array_equal(wrong.stamps[:], sequences.stamps[:])
    for index, sequence in enumerate(wrong):
        usual = conditions.field(str(sequence.header["field"]))
        where = np.searchsorted(usual["mjd"], sequence.epochs["mjd"])
        np.testing.assert_array_equal(usual[where], sequence.epochs)
        assert (sequence.epochs != sequences[index].epochs).all()
