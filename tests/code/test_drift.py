"""Drift: silent at its stated rate where nothing drifted, and heard where seeing, sky or answers did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

from astroreel.schedule import drift as module
from astroreel.schedule.drift import Drift, Measured, compare, drift
from astroreel.sequences.file import write_sequence
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, SplitConfig, SplitObject
from tests.conftest import MakeSequence

Rng = np.random.Generator
Said = tuple[np.ndarray, np.ndarray]
LEVEL = 0.05


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PERMUTATIONS", 399)


def draw(rng: Rng, fields: int, objects: int, shift: float = 0.0, tilt: float = 0.0) -> tuple[Measured, Said]:
    """Objects of which half of the variance is the field's own: inputs, and answers of seven classes."""
    names = np.repeat([f"{rng.integers(2**40)}" for _ in range(fields)], objects)

    def values(columns: int) -> np.ndarray:
        common = np.repeat(rng.normal(size=(fields, columns)), objects, axis=0)
        return (common + rng.normal(size=(len(names), columns))) / np.sqrt(2)

    inputs = values(4)
    inputs[:, 0] += shift
    logits = 2.0 * values(7)
    logits[:, 0] += tilt
    answers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    measured = {name: inputs[:, i] for i, name in enumerate(("seeing", "sky noise", "depth", "airmass"))}
    return Measured(names, measured), (names, answers)


def compared(rng: Rng, before: tuple[Measured, Said], after: tuple[Measured, Said]) -> Drift:
    return compare(before[0], after[0], before[1], after[1], LEVEL, rng)


@pytest.mark.parametrize(("reference", "stream"), [((30, 8), (10, 8)), ((30, 12), (8, 2)), ((15, 4), (5, 1))])
def test_where_nothing_drifted_the_alarm_comes_at_its_rate_at_most(
    reference: tuple[int, int], stream: tuple[int, int]
) -> None:
    rng, trials = np.random.default_rng(5), 60
    alarms = sum(compared(rng, draw(rng, *reference), draw(rng, *stream)).drifted for _ in range(trials))
    assert alarms <= binom.ppf(0.999, trials, LEVEL)


def as_independent(drawn: tuple[Measured, Said]) -> tuple[Measured, Said]:
    """The same objects, each in a field of its own."""
    fields = np.array([f"{number}" for number in range(len(drawn[0].fields))])
    return Measured(fields, drawn[0].values), (fields, drawn[1][1])


def test_objects_taken_as_independent_would_cry_wolf() -> None:
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(20):
        alone = [as_independent(draw(rng, fields, 12)) for fields in (30, 10)]
        alarms += compared(rng, *alone).drifted
    assert alarms > binom.ppf(0.999, 20, LEVEL), "or the test above shows nothing"


def test_a_shifted_input_is_heard_and_named() -> None:
    rng = np.random.default_rng(6)
    found = compared(rng, draw(rng, 30, 8), draw(rng, 12, 8, shift=2.0))
    assert found.drifted and found.tests[0].name == "seeing"
    assert found.reason.startswith("96 objects in 12 fields differ from the reference: seeing (p 0.0")


def test_another_mixture_of_answers_is_heard() -> None:
    rng = np.random.default_rng(7)
    found = compared(rng, draw(rng, 30, 8), draw(rng, 12, 8, tilt=4.0))
    assert {test.name for test in found.tests if test.adjusted <= LEVEL} == {"class shares", "confidence"}


def test_more_comparisons_need_more_of_each() -> None:
    rng = np.random.default_rng(8)
    found = compared(rng, draw(rng, 20, 5), draw(rng, 8, 5))
    assert all(test.p <= test.adjusted <= 1 for test in found.tests)
    least = min(found.tests, key=lambda test: test.p)
    assert least.adjusted <= len(found.tests) * least.p


def test_a_statistic_is_kolmogorovs_where_each_field_has_one_object() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(9)
    first, second = draw(rng, 30, 1), draw(rng, 10, 1, shift=1.0)
    (found,) = [test for test in compared(rng, first, second).tests if test.name == "seeing"]
    peer = ks_2samp(first[0].values["seeing"], second[0].values["seeing"])
    assert found.statistic == pytest.approx(peer.statistic, abs=0.04), "but for the grid"
    assert found.p == pytest.approx(peer.pvalue, abs=0.05)


@pytest.fixture
def project(tmp_path: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty labelled objects in twenty fields, and a model that says the same of all."""
    objects = {}
    for seed in range(40):
        name, field = f"o{seed}", f"f{seed // 2}"
        sequence = make_sequence(seed=seed, name=name, field=field)
        write_sequence(tmp_path / "data" / "target" / f"{name}.fits", sequence)
        objects[name] = SplitObject("rr_lyrae", field, 0, 0, 10, -1)
    Split(objects, {}, []).write(tmp_path / "data" / "split.json")

    class Same:
        def predict(self, sequences: SequenceSet) -> np.ndarray:
            return np.full((len(sequences.epochs), 7), 1 / 7)

    monkeypatch.setattr(module, "load_classifier", lambda bundle: Same())
    return tmp_path


def looked(project: Path) -> Drift | None:
    parameters = SimpleNamespace(split=SplitConfig(), preparation=Preparation())
    return drift(project, parameters, project / "bundle", {"o0", "o1"}, LEVEL)  # type: ignore[arg-type]


def arrive(
    project: Path, make_sequence: MakeSequence, fields: int, factor: float = 1.0, sky: float = 0.0
) -> None:
    for seed in range(100, 100 + 2 * fields):
        sequence = make_sequence(seed=seed, label="", field=f"new{seed // 2}")
        epochs = sequence.epochs.copy()
        epochs["seeing"] *= factor
        epochs["sky"] += sky
        noise = 1.0 + (np.sqrt((epochs["sky"]) / sequence.epochs["sky"]) - 1.0)[:, None, None]
        light = (sequence.stamps - sequence.epochs["sky"][:, None, None]) * noise
        shifted = replace(sequence, epochs=epochs, stamps=(light + epochs["sky"][:, None, None]).astype("f4"))
        write_sequence(project / "arrivals" / "unlabelled" / f"{seed}.fits", shifted)


def test_a_stream_like_the_reference_is_not_heard(project: Path, make_sequence: MakeSequence) -> None:
    arrive(project, make_sequence, 10)
    found = looked(project)
    assert found is not None and not found.drifted
    assert (found.objects, found.fields, found.reference_objects, found.reference_fields) == (20, 10, 40, 20)
    assert found.to_json()["drifted"] is False


@pytest.mark.parametrize(("name", "change"), [("seeing", {"factor": 1.3}), ("sky noise", {"sky": 600.0})])
def test_another_seeing_or_sky_is_heard(
    project: Path, make_sequence: MakeSequence, name: str, change: dict[str, float]
) -> None:
    arrive(project, make_sequence, 10, **change)
    found = looked(project)
    assert found is not None and name in {test.name for test in found.tests if test.adjusted <= LEVEL}


def test_a_stream_of_few_fields_says_nothing(project: Path, make_sequence: MakeSequence) -> None:
    assert looked(project) is None
    arrive(project, make_sequence, 4)
    assert looked(project) is None
