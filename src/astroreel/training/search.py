"""Search for a network and its learning rate: which trials are run, and how the best is chosen.

Two back ends run the same trials: Optuna alone, in this process, and Ray Tune with Optuna's sampler,
over as many CPUs and GPUs as a cluster has. Both keep their trials in an Optuna journal
(:mod:`astroreel.training.study`), so that a search that was cut short goes on with what it knows.

A trial is given up at a look at the validation set where it does worse than two in three of those that
came as far (asynchronous successive halving; Li et al. 2018, arXiv:1810.05934).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Trial:
    """One trial that ended.

    Attributes
    ----------
    number, values
        Its number and what was tried.
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


@dataclass(frozen=True)
class SearchResult:
    """All trials that ended and did not diverge, in order."""

    trials: tuple[Trial, ...]

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
    run_trials(study, config, train_set, valid_set, reporter, storage, progress)
    trials = [_trial(trial) for trial in ended(study)]
    converged = tuple(trial for trial in trials if math.isfinite(trial.loss))
    if not converged:
        raise UserError(
            f"search: all {len(trials)} trials diverged: set search.training.learning_rate below "
            f"{config.training.learning_rate}, or search.trials higher"
        )
    return SearchResult(converged)


def _trial(frozen: optuna.trial.FrozenTrial) -> Trial:
    given_up = frozen.state == TrialState.PRUNED
    values = [min(frozen.intermediate_values.values())] if given_up else frozen.values
    seconds = frozen.duration.total_seconds() if frozen.duration else 0.0
    latency = values[1] if len(values) > 1 else None
    return Trial(frozen.number, dict(frozen.params), values[0], latency, seconds, given_up)
