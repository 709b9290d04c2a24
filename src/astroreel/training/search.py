"""Search for a network and its learning rate: which trials are run, and how the best is chosen.

Two back ends run the same trials: Optuna alone, in this process, and Ray Tune with Optuna's sampler,
over as many CPUs and GPUs as a cluster has. Both keep their trials in an Optuna journal
(:mod:`astroreel.training.study`), so that a search that was cut short goes on with what it knows.

A trial is given up at a look at the validation set where it does worse than two in three of those that
came as far (asynchronous successive halving; Li et al. 2018, arXiv:1810.05934).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from astroreel.errors import UserError
from astroreel.sequences.prepare import Prepared, PreparedSet
from astroreel.training.config import SearchConfig
from astroreel.training.loop import Progress
from astroreel.training.reporter import Reporter
from astroreel.training.study import ended, open_study
from astroreel.training.trial import figures_of, name_of


@dataclass(frozen=True)
class Trial:
    """One trial that ended.

    Attributes
    ----------
    number, values
        Its number among those that ended, and what was tried.
    loss
        Lowest validation loss that it reached [nat].
    latency
        Median time in which the network answers one alert on a processor [ms]; None where it was no
        objective.
    seconds
        Time that it took, of all the devices that a trial has.
    given_up
        Whether it was stopped before its end.
    """

    number: int
    values: dict[str, Any]
    loss: float
    latency: float | None
    seconds: float
    given_up: bool

    def to_json(self) -> dict[str, Any]:
        """As trials.json holds it: without the seconds, which are never the same again."""
        timed = {} if self.latency is None else {"latency": self.latency}
        found = {"trial": self.number, "loss": self.loss, "given_up": self.given_up, **timed}
        return {**found, "values": dict(self.values)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Trial:
        """A trial of a trials.json; its seconds are not known any more."""
        return cls(
            stored["trial"],
            dict(stored["values"]),
            stored["loss"],
            stored.get("latency"),
            math.nan,
            stored["given_up"],
        )


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    trials
        All trials that ended and did not diverge, in order.
    importances
        Share of the loss's variance between whole trials that each parameter explains, of those that every
        trial has (fANOVA; Hutter et al. 2014, ICML); empty where fewer than two trials differ.
    """

    trials: tuple[Trial, ...]
    importances: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> Trial:
        """The trial with the lowest validation loss, of those that went to their end where there is one."""
        whole = [trial for trial in self.trials if not trial.given_up]
        return min(whole or self.trials, key=lambda trial: trial.loss)

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials than which no other is as fast and better, fastest first; the best is the last."""
        timed = sorted((t.latency, t.loss, t.number, t) for t in self.trials if t.latency is not None)
        front: list[Trial] = []
        for _, loss, _, trial in timed:
            if not front or loss < front[-1].loss:
                front.append(trial)
        return tuple(front)


def run_search(
    config: SearchConfig,
    train_set: PreparedSet,
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
    for index, trial in enumerate(ended(study)):
        _tell_again(reporter.child(name_of(index)), trial)
    run_trials(study, config, train_set, valid_set, reporter, storage, progress)
    trials = [_trial(index, trial) for index, trial in enumerate(ended(study))]
    converged = tuple(trial for trial in trials if math.isfinite(trial.loss))
    if not converged:
        raise UserError(
            f"search: all {len(trials)} trials diverged: set search.training.learning_rate below "
            f"{config.training.learning_rate}, or search.trials higher"
        )
    return SearchResult(converged, importances(study))


def importances(study: optuna.Study) -> dict[str, float]:
    """The share of the loss's variance that each parameter explains, largest first."""
    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    known = optuna.create_study()
    known.add_trials(
        [
            optuna.trial.create_trial(params=one.params, distributions=one.distributions, value=one.values[0])
            for one in whole
            if math.isfinite(one.values[0])
        ]
    )
    if len({trial.value for trial in known.trials}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(known, evaluator=evaluator))


def _tell_again(child: Reporter, trial: optuna.trial.FrozenTrial) -> None:
    """Record a trial that an earlier process ran, whose record ended with that process."""
    found = _trial(0, trial)
    child.params(trial.params)
    for step, loss in sorted(trial.intermediate_values.items()):
        child.metrics({"valid_loss": loss}, step)
    child.metrics(figures_of((found.loss, found.latency), found.seconds))
    child.close()


def _trial(number: int, frozen: optuna.trial.FrozenTrial) -> Trial:
    given_up = frozen.state == TrialState.PRUNED
    values = [min(frozen.intermediate_values.values())] if given_up else frozen.values
    seconds = frozen.duration.total_seconds() if frozen.duration else 0.0
    latency = values[1] if len(values) > 1 else None
    return Trial(number, dict(frozen.params), values[0], latency, seconds, given_up)
