"""The search: one space for both back ends, a start that is known, and an end that can wait."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from astroreel.errors import UserError
from astroreel.files import write_json
from astroreel.models.networks import NETWORKS, build
from astroreel.models.thesis import ThesisConfig
from astroreel.sequences.prepare import Prepared
from astroreel.training.config import SearchConfig, TrainingConfig
from astroreel.training.reporter import NullReporter, Reporter, SpoolReporter, read_spool
from astroreel.training.search import SearchResult, Trial, importances, run_search
from astroreel.training.space import chosen_network, first_values, suggest
from tests.code.blobs import blobs

TRAINING = TrainingConfig(iterations=2, batch_size=8, learning_rate=2e-3, validate_every=1, device="cpu")
SIZES = (
    ("compact", "inputs", "conditions+light_curve+features"),
    ("photometric", "inputs", "conditions+light_curve+features"),
    ("compact", "filters", 16),
    ("compact", "units", 96),
    ("photometric", "masks", 32),
    ("photometric", "units", 192),
)
CONFIG = SearchConfig(trials=3, networks=("compact", "photometric"), training=TRAINING)


@pytest.fixture(scope="module")
def sets() -> tuple[Prepared, Prepared]:
    return blobs(16, seed=1, epochs=4), blobs(8, seed=2, epochs=4)


def search(
    config: SearchConfig, sets: tuple[Prepared, Prepared], folder: Path, **more: object
) -> SearchResult:
    return run_search(config, *sets, **({"reporter": NullReporter(), "storage": folder} | more))  # type: ignore


def test_whatever_the_space_holds_can_be_built() -> None:
    config = SearchConfig(networks=NETWORKS)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = set()
    for _ in range(40):
        trial = study.ask()
        suggest(trial, config)
        network = build(chosen_network(trial.params))
        found.add(network.config.name)
        assert chosen_network(trial.params).items() <= network.config.model_dump().items()
    assert found == set(NETWORKS)


def test_a_search_of_the_thesis_network_starts_with_table_3_3() -> None:
    config = SearchConfig(networks=("thesis",), training=TrainingConfig())
    values = first_values(config)
    assert values["learning_rate"] == 5e-4
    assert ThesisConfig.model_validate(chosen_network(values)) == ThesisConfig()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_search_starts_with_the_first_network_as_it_is_by_default(name: str) -> None:
    config = SearchConfig(networks=(name,))
    values = first_values(config)
    assert build(chosen_network(values)).config == build({"name": name}).config
    suggest(optuna.trial.FixedTrial(values), config)  # raises where a value is missing


def test_the_best_trial_is_the_one_with_the_lowest_loss(sets, tmp_path: Path) -> None:
    result = search(CONFIG, sets, tmp_path)
    assert [trial.number for trial in result.trials] == [0, 1, 2]
    assert result.trials[0].values == first_values(CONFIG)
    assert result.best.loss == min(trial.loss for trial in result.trials)


def test_every_trial_is_a_nested_run(sets, tmp_path: Path) -> None:
    with SpoolReporter(tmp_path / "run", "search") as reporter:
        result = search(CONFIG, sets, tmp_path / "study", reporter=reporter)
    children = read_spool(tmp_path / "run").children
    assert [child.name for child in children] == ["trial-000", "trial-001", "trial-002"]
    for child, trial in zip(children, result.trials, strict=True):
        assert child.status == "FINISHED"
        assert child.params == {name: str(value) for name, value in trial.values.items()}
        figures = {(figure.name, figure.step): figure.value for figure in child.figures}
        looks = [value for (name, _), value in figures.items() if name == "valid_loss"]
        assert figures["best_valid_loss", 0] == trial.loss == min(looks)
        assert len(looks) == 2 or trial.given_up
        assert figures["device_seconds", 0] > 0


class Killed(NullReporter):
    """A reporter during whose second trial the process is killed."""

    def __init__(self) -> None:
        self.trials = 0

    def child(self, name: str) -> Killed:
        self.trials += 1
        return self

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        if self.trials == 2:
            raise KeyboardInterrupt


def test_a_killed_search_goes_on_as_if_nothing_had_been(sets, tmp_path: Path) -> None:
    """The trial that was running when it was killed is run again, and the later ones are the same."""
    whole = search(CONFIG, sets, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(CONFIG, sets, tmp_path / "killed", reporter=Killed())
    done: list[int] = []
    resumed = search(CONFIG, sets, tmp_path / "killed", progress=lambda count, _: done.append(count))
    assert done == [2, 3]
    assert [(t.values, t.loss) for t in resumed.trials] == [(t.values, t.loss) for t in whole.trials]


SEARCH = """
import sys
from pathlib import Path
from astroreel.training.reporter import SpoolReporter
from tests.code.test_search import CONFIG, blobs, run_search

config = CONFIG.model_copy(update={"trials": 8, "networks": ("compact",)})
folder = Path(sys.argv[1])
with SpoolReporter(folder / "run", "search") as reporter:
    run_search(config, blobs(16, seed=1, epochs=4), blobs(8, seed=2, epochs=4), reporter, folder / "study")
"""


@pytest.mark.slow
def test_a_search_killed_five_times_ends_with_every_trial_once(sets, tmp_path: Path) -> None:
    """At moments drawn at random within a trial or between two; nothing is told twice."""
    rng, root = np.random.default_rng(3), Path(__file__).parents[2]
    command = [sys.executable, "-c", SEARCH, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": f"{root}/src:{root}"}
    journal = tmp_path / "study" / "study.jsonl"
    for _ in range(5):
        process = subprocess.Popen(command, env=environment)
        size = journal.stat().st_size if journal.exists() else 0
        while (not journal.exists() or journal.stat().st_size == size) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command, env=environment, check=True)
    config = CONFIG.model_copy(update={"trials": 8, "networks": ("compact",)})
    result = search(config, sets, tmp_path / "study")
    whole = search(config, sets, tmp_path / "whole")
    assert [(t.number, t.loss) for t in result.trials] == [(t.number, t.loss) for t in whole.trials]
    children = read_spool(tmp_path / "run").children
    assert sorted(child.name for child in children) == [f"trial-{number:03d}" for number in range(8)]
    assert {child.status for child in children} == {"FINISHED"}
    for child, trial in zip(sorted(children, key=lambda one: one.name), whole.trials, strict=True):
        figures = {figure.name: figure.value for figure in child.figures}
        assert figures["best_valid_loss"] == trial.loss
        assert child.params == {name: str(value) for name, value in trial.values.items()}


def test_a_finished_search_runs_nothing(sets, tmp_path: Path) -> None:
    first = search(CONFIG, sets, tmp_path)
    done: list[int] = []
    assert search(CONFIG, sets, tmp_path, progress=lambda count, _: done.append(count)) == first
    assert done == []


def test_what_is_stored_of_a_trial_makes_it_again(sets, tmp_path: Path) -> None:
    for trial in search(CONFIG, sets, tmp_path).trials:
        again = Trial.from_json(json.loads(json.dumps(trial.to_json())))
        assert replace(again, seconds=trial.seconds) == trial


def whole_trials(losses: Mapping[float, float]) -> optuna.Study:
    """A study of whole trials: the loss of each learning rate, with a network that says nothing of it."""
    study = optuna.create_study()
    for index, (rate, loss) in enumerate(losses.items()):
        values = {"learning_rate": rate, "network": ("compact", "photometric")[index % 2]}
        suggest(trial := optuna.trial.FixedTrial(values | {f"{n}.{s}": v for n, s, v in SIZES}), CONFIG)
        study.add_trial(
            optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=loss)
        )
    return study


def test_what_explains_the_loss_is_the_more_important() -> None:
    rates = np.geomspace(3e-4, 1e-2, 24).tolist()
    study = whole_trials({rate: abs(math.log(rate / 2e-3)) for rate in rates})
    found = importances(study)
    assert list(found) == ["learning_rate", "network"]
    assert found["learning_rate"] > 0.8
    assert sum(found.values()) == pytest.approx(1.0)


def test_where_no_two_trials_differ_nothing_is_important() -> None:
    assert importances(whole_trials({1e-3: 0.7})) == {}
    assert importances(whole_trials({1e-3: 0.7, 2e-3: math.inf})) == {}


def test_a_trial_that_diverges_is_left_out(sets, tmp_path: Path, monkeypatch) -> None:
    losses = iter([(0.9,), (math.inf,), (0.7,)])
    monkeypatch.setattr("astroreel.training.search_serial.run_trial", lambda *_: next(losses))
    result = search(CONFIG, sets, tmp_path)
    assert [(trial.number, trial.loss) for trial in result.trials] == [(0, 0.9), (2, 0.7)]


def test_a_search_in_which_all_diverges_is_an_error(sets, tmp_path: Path) -> None:
    train_set, valid_set = sets
    broken = train_set.select(np.arange(8))
    broken.stamps[:] = np.nan
    with pytest.raises(
        UserError, match=r"all 3 trials diverged: set search.training.learning_rate below 0.002"
    ):
        search(CONFIG, (broken, valid_set), tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(sets, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/study: cannot write here .*: choose another folder"):
        search(CONFIG, sets, tmp_path / "file" / "study")


def scripted(monkeypatch: pytest.MonkeyPatch, looks: list[list[float]]) -> None:
    """Trials that see these validation losses, one list a trial, whatever they try."""
    coming = iter(looks)

    def run(values: object, train: object, valid: object, config: object, reporter: Reporter) -> tuple[float]:
        losses = next(coming)
        for step, loss in enumerate(losses, start=1):
            reporter.metrics({"valid_loss": loss}, step)
        return (min(losses),)

    monkeypatch.setattr("astroreel.training.search_serial.run_trial", run)


def test_a_trial_that_lags_behind_is_given_up_and_never_chosen(sets, tmp_path: Path, monkeypatch) -> None:
    scripted(monkeypatch, [[0.9, 0.5], [0.4, 0.35], [0.8, 0.01], [0.7, 0.01]])
    config = CONFIG.model_copy(update={"trials": 4})
    result = search(config, sets, tmp_path)
    assert [trial.given_up for trial in result.trials] == [False, False, True, True]
    assert [trial.loss for trial in result.trials] == [0.5, 0.35, 0.8, 0.7]
    assert result.best.number == 1


def test_no_trial_begins_after_the_minutes_are_spent(sets, tmp_path: Path) -> None:
    result = search(CONFIG.model_copy(update={"minutes": 1e-9}), sets, tmp_path)
    assert len(result.trials) == 1


def test_a_search_may_start_where_another_ended(sets, tmp_path: Path) -> None:
    network = {
        "name": "compact",
        "filters": 8,
        "units": 64,
        "inputs": ["conditions", "light_curve", "features"],
    }
    found = {"network": network, "learning_rate": 0.003}
    write_json(tmp_path / "best.json", found)
    config = CONFIG.model_copy(update={"start": str(tmp_path / "best.json")})
    values = search(config.model_copy(update={"trials": 1}), sets, tmp_path / "study").best.values
    assert (
        chosen_network(values) == network | {"inputs": tuple(network["inputs"])}
        and values["learning_rate"] == 0.003
    )
    other = config.model_copy(update={"networks": ("photometric",)})
    with pytest.raises(UserError, match=r"search.start: .*best.json holds a compact network: add it"):
        search(other, sets, tmp_path / "other")
    write_json(tmp_path / "best.json", {"network": "compact"})
    with pytest.raises(UserError, match=r"search.start: .*best.json is no best.json of a search"):
        search(config, sets, tmp_path / "third")


def test_loss_and_latency_may_be_sought_together(sets, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"objectives": ("loss", "latency")})
    result = search(config, sets, tmp_path)
    assert not any(trial.given_up for trial in result.trials)
    assert all(trial.latency is not None and trial.latency > 0 for trial in result.trials)
    assert result.front[-1] == result.best
    assert [t.loss for t in result.front] == sorted((t.loss for t in result.front), reverse=True)


@pytest.mark.slow
def test_ray_runs_the_same_trials(sets, tmp_path: Path) -> None:
    """The first trial is the same as in this process; the second is kept by the same journal."""
    config = CONFIG.model_copy(update={"backend": "ray", "trials": 2})
    with SpoolReporter(tmp_path / "run", "search") as reporter:
        result = search(config, sets, tmp_path / "study", reporter=reporter)
    serial = search(CONFIG.model_copy(update={"trials": 1}), sets, tmp_path / "serial")
    assert result.trials[0].values == serial.trials[0].values
    assert result.trials[0].loss == pytest.approx(serial.trials[0].loss, rel=1e-4)
    children = read_spool(tmp_path / "run").children
    assert [child.name for child in children] == ["trial-000", "trial-001"]
    for child, trial in zip(children, result.trials, strict=True):
        figures = {(figure.name, figure.step): figure.value for figure in child.figures}
        looks = [value for (name, _), value in figures.items() if name == "valid_loss"]
        assert figures["best_valid_loss", 0] == trial.loss == min(looks)
    left = {path.name for path in (tmp_path / "study").iterdir()}
    assert left <= {"study.jsonl", "study.lock"}, "no pickle is left"
    assert len(search(CONFIG, sets, tmp_path / "study").trials) == 3
