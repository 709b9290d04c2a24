"""The study of normalisations: what it says of curves, and the curves themselves."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from astroreel.errors import UserError
from astroreel.models.networks import build
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.store import save_store
from astroreel.study.bench import Bench
from astroreel.study.normalisation import NORMS, SECTION, architecture, learning_curve, over_seeds, training
from astroreel.training.step import Diverged


def test_every_normalisation_is_trained_with_every_seed_of_a_budget() -> None:
    for budget, seeds in (("quick", 3), ("full", 5)):
        units = SECTION.plan(Bench(Path(), budget))
        assert len({unit.name for unit in units}) == len(units) == seeds * len(NORMS)
        assert len({str(unit.key) for unit in units}) == len(units)
        pickle.dumps([unit.compute for unit in units])


def test_the_renormalisation_goes_through_the_thesiss_schedule() -> None:
    whole, narrow = build({"name": "thesis"}).config, architecture("batch_renorm", 600)
    for name in ("renorm_warmup", "renorm_ramp"):
        assert narrow[name] / 600 == pytest.approx(getattr(whole, name) / 30_000)


def test_uneven_curves_have_jumps_and_rises_and_diverged_ones_are_counted() -> None:
    """Three trainings: one falls evenly by .01 a look, one jumps by .2 and back, one ends early."""
    falling = 2.0 - 0.01 * np.arange(20)
    curves = {
        "batch-1": {"valid_loss": falling.tolist(), "diverged": False},
        "batch-2": {"valid_loss": (falling + 0.2 * (np.arange(20) % 2)).tolist(), "diverged": False},
        "batch-3": {"valid_loss": [2.0, 1.9], "diverged": True},
    }
    for curve in curves.values():
        looks = len(curve["valid_loss"])
        curve |= {"iteration": list(range(looks)), "valid_accuracy": np.linspace(0.1, 0.9, looks).tolist()}
    others = {f"{norm}-{seed}": curves["batch-1"] for norm in NORMS if norm != "batch" for seed in (1, 2, 3)}
    units = SimpleNamespace(do_all=lambda plan, bench: curves | others)
    bench = SimpleNamespace(budget="quick", units=lambda section: units)
    tree = SECTION.run(bench)
    assert list(tree) == list(NORMS)
    even, uneven = tree["layer"], tree["batch"]
    assert even["jump"] == {"value": 0.01, "low": 0.01, "high": 0.01, "n": 3, "sd_draws": 0.0}
    assert even["rise"]["value"] == 0
    assert uneven["jump"]["value"] == pytest.approx((0.01 + 0.19) / 2, abs=0.006)
    assert uneven["rise"]["value"] == pytest.approx((0.0 + 0.19) / 2)
    assert (uneven["jump"]["n"], uneven["diverged"], even["diverged"]) == (2, 1, 0)
    assert [len(curve) for curve in uneven["curves"]["valid_loss"]] == [20, 20, 2]


def test_one_seed_has_no_interval() -> None:
    assert over_seeds(np.array([0.5])).to_json() == {"value": 0.5, "low": 0.5, "high": 0.5, "n": 1}


@pytest.fixture
def bench(make_sequence, tmp_path: Path) -> SimpleNamespace:
    for name, first in (("train", 0), ("valid", 50)):
        sequences = (make_sequence(6, seed, label="galaxy") for seed in range(first, first + 6))
        save_store(tmp_path / "simulated" / name, SequenceSet.from_sequences(sequences))
    return SimpleNamespace(data=tmp_path, parameters=SimpleNamespace(preparation=Preparation()))


@pytest.mark.parametrize("norm", NORMS)
def test_a_curve_has_a_point_for_every_look(bench: SimpleNamespace, norm: str) -> None:
    curve = learning_curve(norm, training(20, seed=1), bench)
    assert curve["iteration"] == [10, 20]
    assert len(curve["valid_loss"]) == len(curve["valid_accuracy"]) == 2
    assert not curve["diverged"]


def test_a_training_that_diverges_leaves_the_curve_so_far(bench: SimpleNamespace, monkeypatch) -> None:
    steps = iter(range(15))

    def diverging(*_: object) -> float:
        if next(steps) == 14:
            raise Diverged("loss nan")
        return 1.0

    monkeypatch.setattr("astroreel.training.step.Stepper.step", diverging)
    curve = learning_curve("none", training(20, seed=1), bench)
    assert curve["diverged"]
    assert curve["iteration"] == [10]


def test_an_unknown_normalisation_is_refused_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"thesis: norm: .*'batch_renorm', 'batch', .*, not 'instance'"):
        build({"name": "thesis", "norm": "instance"})
