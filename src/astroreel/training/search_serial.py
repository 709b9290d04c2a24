"""The serial back end of the search: Optuna in this process, its study in a journal of JSON lines."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from astroreel.sequences.prepare import Prepared
from astroreel.training.loop import Progress
from astroreel.training.reporter import Reporter
from astroreel.training.search import SearchConfig, SearchResult, Trial, run_trial, suggest


def search_serial(
    config: SearchConfig,
    train_set: Prepared,
    valid_set: Prepared,
    reporter: Reporter,
    storage: Path,
    progress: Progress | None = None,
) -> SearchResult:
    """Run one trial after the other; see `run_search`. A trial that was cut short is run anew."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(storage / "study.jsonl"))),
        study_name="search",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=4),
    )

    def objective(trial: optuna.Trial) -> float:
        suggest(trial, config.networks)
        child = reporter.child(f"trial-{trial.number:03d}")
        return run_trial(trial.params, train_set, valid_set, config, child)

    while (done := len(_ended(study))) < config.trials:
        if progress is not None:
            progress(done, config.trials)
        study.optimize(objective, n_trials=1)
    if progress is not None:
        progress(config.trials, config.trials)
    return SearchResult(tuple(Trial(t.number, dict(t.params), float(t.value or 0.0)) for t in _ended(study)))


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
