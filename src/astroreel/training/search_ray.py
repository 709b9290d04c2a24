"""The Ray back end of the search: Ray Tune places the trials, Optuna's sampler proposes them.

Trials tell the driver what happens, and it alone writes run records.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from astroreel.sequences.prepare import Prepared, PreparedSet
from astroreel.training.config import SearchConfig
from astroreel.training.loop import Progress
from astroreel.training.reporter import NullReporter, Reporter
from astroreel.training.space import suggest
from astroreel.training.study import REDUCTION, STUDY, ended, minutes_spent, open_journal, sampler
from astroreel.training.trial import figures_of, name_of, run_trial

_LOSS = "loss"
_LATENCY = "latency"
_FIGURES = "figures"
_STEP = "step"
_LEAST_OBJECT_STORE = 150_000_000

#: How often a trial is begun anew after the node that it ran on was lost.
_LOST_NODES = 3


def search_ray(
    study: optuna.Study,
    config: SearchConfig,
    train_set: PreparedSet,
    valid_set: Prepared,
    reporter: Reporter,
    storage: Path,
    progress: Progress | None,
) -> None:
    """Run the trials that are missing; see `astroreel.training.search.run_search`.

    Trials that run side by side end in any order, so what they find does not hang on the seed alone.
    ``storage`` must be a folder that all nodes of the cluster share.
    """
    done = len(ended(study))
    left = math.inf if config.minutes is None else config.minutes - minutes_spent(study)
    if done >= config.trials or (done and left <= 0):
        return
    # Ray's own state holds pickles; the journal knows enough to go on, so nothing else is kept.
    scratch = (storage / "ray").resolve()
    proposals = OptunaSearch(
        space=partial(suggest, config=config),
        metric=list(config.objectives) if len(config.objectives) > 1 else _LOSS,
        mode=["min"] * len(config.objectives) if len(config.objectives) > 1 else "min",
        sampler=sampler(config, study),
        study_name=STUDY,
        storage=open_journal(storage),
    )
    with _connected(config, train_set, valid_set):
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_trial, train_set=train_set, valid_set=valid_set, config=config),
                {"cpu": config.cpus, "gpu": config.gpus},
            ),
            tune_config=tune.TuneConfig(
                search_alg=proposals,
                scheduler=_scheduler(config),
                num_samples=config.trials - done,
                time_budget_s=60.0 * left if math.isfinite(left) else None,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=str(scratch),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=_LOST_NODES),
                callbacks=[_Recorder(reporter, progress, done, config.trials)],
            ),
        )
        results = tuner.fit()
    shutil.rmtree(scratch, ignore_errors=True)
    if results.errors and not ended(study):
        raise results.errors[0]


def _trial(values: dict[str, Any], train_set: PreparedSet, valid_set: Prepared, config: SearchConfig) -> None:
    torch.set_num_threads(max(int(config.cpus), 1))
    loss, *more = run_trial(values, train_set, valid_set, config, _ToDriver())
    latency = more[0] if more else math.nan
    tune.report({_LOSS: loss, _LATENCY: latency, _STEP: config.training.iterations})


def _scheduler(config: SearchConfig) -> TrialScheduler:
    """Successive halving on the iterations done, or all to their end where two things are sought."""
    if len(config.objectives) > 1:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr=_STEP,
        metric=_LOSS,
        mode="min",
        max_t=config.training.iterations + 1,  # it is asked before what the last look says is reported
        grace_period=min(config.training.validate_every, config.training.iterations),
        reduction_factor=REDUCTION,
    )


class _ToDriver(NullReporter):
    """Tells the driver of every look at the validation set."""

    def __init__(self) -> None:
        self.best = math.inf

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.best = min(self.best, values["valid_loss"])
        tune.report({_LOSS: self.best, _LATENCY: math.nan, _FIGURES: dict(values), _STEP: step})


class _Recorder(tune.Callback):
    """Records what trials tell, in the driver."""

    def __init__(self, reporter: Reporter, progress: Progress | None, done: int, total: int) -> None:
        self.reporter, self.progress, self.total = reporter, progress, total
        self.started = self.done = done
        self.children: dict[str, Reporter] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.children[trial.trial_id] = self.reporter.child(name_of(self.started))
        self.children[trial.trial_id].params(trial.config)
        self.started += 1

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if _FIGURES in result:
            self.children[trial.trial_id].metrics(result[_FIGURES], result[_STEP])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        last, child = trial.last_result, self.children[trial.trial_id]
        latency = last[_LATENCY] if math.isfinite(last[_LATENCY]) else None
        child.metrics(figures_of((last[_LOSS], latency), last["time_total_s"]))
        child.close()
        self._count()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.children[trial.trial_id].close("FAILED")
        self._count()

    def _count(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


@contextmanager
def _connected(config: SearchConfig, *data: PreparedSet) -> Iterator[None]:
    """A connection to Ray: the one there is, or else one to the cluster that is named, or one started."""
    if ray.is_initialized():
        yield
        return
    if config.address is not None:
        ray.init(address=config.address, log_to_driver=False)
    else:
        room = max(_LEAST_OBJECT_STORE, 2 * sum(part.nbytes for part in data))
        ray.init("local", include_dashboard=False, log_to_driver=False, object_store_memory=room)
    try:
        yield
    finally:
        ray.shutdown()
