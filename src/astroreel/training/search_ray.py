"""The Ray back end of the search: Ray Tune places the trials, Optuna's sampler proposes them.

The only file that imports Ray. Trials report to the driver, which alone writes run records.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import ray
import torch
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from astroreel.errors import UserError
from astroreel.sequences.prepare import Prepared
from astroreel.training.loop import Progress
from astroreel.training.reporter import NullReporter, Reporter
from astroreel.training.search import SearchConfig, SearchResult, Trial, run_trial, suggest

_LOSS = "loss"
_OBJECT_STORE_BYTES = 2_000_000_000


def search_ray(
    config: SearchConfig,
    train_set: Prepared,
    valid_set: Prepared,
    reporter: Reporter,
    storage: Path,
    progress: Progress | None = None,
) -> SearchResult:
    """Run the trials on a Ray cluster; see `run_search`. A search that was cut short goes on."""
    _connect(config)
    trainable = tune.with_resources(
        tune.with_parameters(_trainable, train_set=train_set, valid_set=valid_set, config=config),
        {"cpu": config.cpus, "gpu": config.gpus},
    )
    folder = (storage / "ray").resolve()
    tuner = _tuner(trainable, config, folder, progress)
    grid = tuner.fit()
    ended = [grid[index] for index in range(len(grid))]
    results = [result for result in ended if result.error is None and _LOSS in (result.metrics or {})]
    if not results:
        raise UserError(f"search: every trial failed: see {folder} for their errors")
    trials = tuple(
        Trial(number, dict(result.config or {}), float((result.metrics or {})[_LOSS]))
        for number, result in enumerate(results)
    )
    for trial in trials:
        child = reporter.child(f"trial-{trial.number:03d}")
        child.params(trial.values)
        child.metrics({"best_valid_loss": trial.loss})
        child.close()
    return SearchResult(trials)


def _trainable(
    values: dict[str, Any], train_set: Prepared, valid_set: Prepared, config: SearchConfig
) -> None:
    torch.set_num_threads(max(int(config.cpus), 1))
    tune.report({_LOSS: run_trial(values, train_set, valid_set, config, NullReporter())})


def _tuner(trainable: Any, config: SearchConfig, folder: Path, progress: Progress | None) -> tune.Tuner:
    study = folder / "search"
    if tune.Tuner.can_restore(str(study)):
        return tune.Tuner.restore(str(study), trainable, resume_unfinished=True, resume_errored=True)

    def space(trial: optuna.Trial) -> None:
        suggest(trial, config.networks)

    sampler = optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=4)
    proposals = OptunaSearch(space=space, metric=_LOSS, mode="min", sampler=sampler)
    at_once = max(int(ray.cluster_resources().get("CPU", 1) // config.cpus), 1)
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=ConcurrencyLimiter(proposals, max_concurrent=at_once),
            num_samples=config.trials,
            metric=_LOSS,
            mode="min",
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(folder),
            verbose=0,
            callbacks=[] if progress is None else [_Count(config.trials, progress)],
        ),
    )


class _Count(tune.Callback):
    """Tells a progress function how many trials have ended."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.total, self.done, self.progress = total, 0, progress

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def _connect(config: SearchConfig) -> None:
    if ray.is_initialized():
        return
    if config.address is not None:
        ray.init(address=config.address, log_to_driver=False)
        return
    ray.init(include_dashboard=False, log_to_driver=False, object_store_memory=_OBJECT_STORE_BYTES)
