"""The serial back end of the search: one trial after the other, in this process."""

from __future__ import annotations

from pathlib import Path

import optuna

from astroreel.sequences.prepare import Prepared
from astroreel.training.config import SearchConfig
from astroreel.training.loop import Progress
from astroreel.training.reporter import Reporter
from astroreel.training.search import finished, run_trial, sampler, suggest


def search_serial(
    study: optuna.Study,
    config: SearchConfig,
    train_set: Prepared,
    valid_set: Prepared,
    reporter: Reporter,
    storage: Path,
    progress: Progress | None,
) -> None:
    """Run the trials that are missing; see `astroreel.training.search.run_search`."""
    for done in range(len(finished(study)), config.trials):
        study.sampler = sampler(config, study)
        trial = study.ask()
        suggest(trial, config)
        child = reporter.child(f"trial-{trial.number:03d}")
        child.params(trial.params)
        loss = run_trial(trial.params, train_set, valid_set, config, child)
        study.tell(trial, loss)
        child.metrics({"best_valid_loss": loss})
        child.close()
        if progress is not None:
            progress(done + 1, config.trials)
