"""Search for a network and its learning rate: the space, what a trial is, and how the best is chosen.

Two back ends run the same trials: Optuna alone, in this process, and Ray Tune with Optuna's sampler,
over as many CPUs and GPUs as a cluster has. Both keep their trials in an Optuna journal, a file of
JSON lines, so that a search that was cut short goes on with what it knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from astroreel.errors import UserError
from astroreel.models.networks import build
from astroreel.sequences.prepare import Prepared
from astroreel.training.config import SearchConfig
from astroreel.training.loop import Progress, train
from astroreel.training.reporter import Reporter
from astroreel.training.step import Diverged

#: What Optuna calls the search in its journal.
STUDY = "search"

#: Trials drawn at random before the sampler builds on what it has seen.
_RANDOM_TRIALS = 4


@dataclass(frozen=True)
class Trial:
    """One trial: what was tried and the lowest validation loss that it reached."""

    number: int
    values: dict[str, Any]
    loss: float


@dataclass(frozen=True)
class SearchResult:
    """All trials that ended, in order, and the one with the lowest loss."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial with the lowest validation loss."""
        return min(self.trials, key=lambda trial: trial.loss)


def suggest(trial: optuna.Trial, config: SearchConfig) -> None:
    """The search space: a learning rate, a network, and the sizes that this network has."""
    trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True)
    match trial.suggest_categorical("network", config.networks):
        case "thesis":
            trial.suggest_categorical("thesis.filters", (16, 32, 64))
        case "compact":
            trial.suggest_categorical("compact.filters", (8, 16, 24))
            trial.suggest_categorical("compact.units", (64, 96, 128))
        case "photometric":
            trial.suggest_categorical("photometric.masks", (16, 24, 32))
            trial.suggest_categorical("photometric.units", (96, 128, 192))
        case "attention":
            trial.suggest_categorical("attention.masks", (16, 24, 32))
            trial.suggest_categorical("attention.width", (64, 96, 128))


def first_values(config: SearchConfig) -> dict[str, Any]:
    """What the first trial tries: the first network as it is by default, at the training's own rate.

    At the thesis's scale this is Table 3.3 itself.
    """
    sizes = {
        "thesis": {"filters": 64},
        "compact": {"filters": 16, "units": 96},
        "photometric": {"masks": 24, "units": 128},
        "attention": {"masks": 24, "width": 96},
    }
    name = config.networks[0]
    chosen = {f"{name}.{size}": value for size, value in sizes[name].items()}
    return {"network": name, "learning_rate": config.training.learning_rate, **chosen}


def chosen_network(values: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture that a trial's values mean."""
    name = values["network"]
    architecture = {"name": name}
    architecture |= {k.partition(".")[2]: v for k, v in values.items() if k.startswith(f"{name}.")}
    if name == "thesis":  # the dense layer and the LSTM keep the proportions of Table 3.3
        architecture |= {"dense": 16 * architecture["filters"], "units": 8 * architecture["filters"]}
    return architecture


def run_trial(
    values: Mapping[str, Any],
    train_set: Prepared,
    valid_set: Prepared,
    config: SearchConfig,
    reporter: Reporter,
) -> float:
    """Train what a trial's values mean, for the lowest validation loss; infinite where it diverges."""
    training = config.training.model_copy(update={"learning_rate": values["learning_rate"]})
    network = build(chosen_network(values), training.seed)
    try:
        return train(network, train_set, valid_set, training, reporter).best_loss
    except Diverged:
        return math.inf


def run_search(
    config: SearchConfig,
    train_set: Prepared,
    valid_set: Prepared,
    reporter: Reporter,
    storage: Path,
    progress: Progress | None = None,
) -> SearchResult:
    """Run the trials that the folder ``storage`` does not hold yet, and choose.

    Each trial is a nested run of ``reporter``, which the calling process alone writes. A trial whose
    training diverges counts as done and is left out of the result.

    Raises `UserError` where every trial diverged, or the folder cannot be written.
    """
    if config.backend == "ray":
        from astroreel.training.search_ray import search_ray as run_trials
    else:
        from astroreel.training.search_serial import search_serial as run_trials

    study = open_study(config, storage)
    run_trials(study, config, train_set, valid_set, reporter, storage, progress)
    trials = [Trial(trial.number, dict(trial.params), trial.values[0]) for trial in finished(study)]
    converged = tuple(trial for trial in trials if math.isfinite(trial.loss))
    if not converged:
        raise UserError(
            f"search: all {len(trials)} trials diverged: set search.training.learning_rate below "
            f"{config.training.learning_rate}, or search.trials higher"
        )
    return SearchResult(converged)


def open_study(config: SearchConfig, storage: Path) -> optuna.Study:
    """The study in the folder ``storage``; what a killed search left running will be tried again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=open_journal(storage), study_name=STUDY, load_if_exists=True)
    if not study.trials:
        study.enqueue_trial(first_values(config))
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def open_journal(storage: Path) -> JournalStorage:
    """The journal in the folder ``storage``; raises `UserError` where that cannot be written."""
    try:
        storage.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(storage / "study.jsonl")))
    except OSError as error:
        raise UserError(f"{storage}: cannot write here ({error.strerror}): choose another folder") from error


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that ended, those that diverged among them."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def sampler(config: SearchConfig, study: optuna.Study) -> optuna.samplers.BaseSampler:
    """The sampler of the trials to come.

    Its seed depends on how many trials have ended, so that a search taken up again does not draw anew
    what it drew at its start.
    """
    return optuna.samplers.TPESampler(
        seed=config.seed + len(finished(study)), n_startup_trials=_RANDOM_TRIALS, constant_liar=True
    )
