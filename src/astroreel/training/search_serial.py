"""The serial back end of the search: one trial after the other, in this process."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.trial import TrialState

from astroreel.sequences.prepare import Prepared, PreparedSet
from astroreel.training.config import SearchConfig
from astroreel.training.loop import Progress
from astroreel.training.reporter import NullReporter, Reporter
from astroreel.training.space import suggest
from astroreel.training.study import ended, minutes_spent, sampler
from astroreel.training.trial import figures_of, name_of, run_trial


def search_serial(
    study: optuna.Study,
    config: SearchConfig,
    train_set: PreparedSet,
    valid_set: Prepared,
    reporter: Reporter,
    storage: Path,
    progress: Progress | None,
) -> None:
    """Run the trials that are missing; see `astroreel.training.search.run_search`."""
    for done in range(len(ended(study)), config.trials):
        if done and config.minutes is not None and minutes_spent(study) >= config.minutes:
            return
        study.sampler = sampler(config, study)
        trial = study.ask()
        suggest(trial, config)
        child = reporter.child(name_of(done))
        child.params(trial.params)
        child.metrics(_run(study, trial, config, train_set, valid_set, child))
        child.close()
        if progress is not None:
            progress(done + 1, config.trials)


def _run(
    study: optuna.Study,
    trial: optuna.Trial,
    config: SearchConfig,
    train_set: PreparedSet,
    valid_set: Prepared,
    child: Reporter,
) -> dict[str, float]:
    """Run one trial, tell the study, and return what is to be recorded of it."""
    began = time.perf_counter()
    watched = _Watched(child, trial, may_give_up=len(config.objectives) == 1)
    try:
        values = run_trial(trial.params, train_set, valid_set, config, watched)
        study.tell(trial, values)
    except optuna.TrialPruned:
        values = (watched.best,)
        study.tell(trial, state=TrialState.PRUNED)
    return figures_of(values, time.perf_counter() - began)


class _Watched(NullReporter):
    """Passes on every look at the validation set, and gives the trial up where the study says so."""

    def __init__(self, child: Reporter, trial: optuna.Trial, may_give_up: bool) -> None:
        self.child_run, self.trial, self.may_give_up = child, trial, may_give_up
        self.best = math.inf

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.child_run.metrics(values, step)
        self.best = min(self.best, values["valid_loss"])
        if self.may_give_up and step is not None:
            self.trial.report(values["valid_loss"], step)
            if self.trial.should_prune():
                raise optuna.TrialPruned
