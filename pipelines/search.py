"""Stage search: hyperparameters of the RCNN, on simulated sequences alone."""

from __future__ import annotations

import shutil

from stage import CHECKPOINTS, DATA, MODELS, stage

from astroreel.evaluation import searching
from astroreel.files import write_json
from astroreel.sequences.prepare import LazyPrepared, prepare
from astroreel.sequences.store import load_store
from astroreel.training.search import run_search
from astroreel.training.space import chosen_network

if __name__ == "__main__":
    with stage("search") as run:
        config, preparation = run.parameters.search, run.parameters.preparation
        run.reporter.params(config.model_dump())
        train = LazyPrepared(load_store(DATA / "simulated" / "train"), preparation)
        valid = prepare(load_store(DATA / "simulated" / "valid"), preparation)
        unfinished = CHECKPOINTS / run.key
        with run.progress("search") as progress:
            result = run_search(config, train, valid, run.reporter, unfinished, progress)
        best = result.best
        found = {"network": chosen_network(best.values), "learning_rate": best.values["learning_rate"]}
        write_json(MODELS / "search" / "best.json", found)
        write_json(MODELS / "search" / "trials.json", [trial.to_json() for trial in result.trials])
        write_json(MODELS / "search" / "importances.json", result.importances)
        for drawing in searching.drawings(result.trials, result.importances):
            run.figure(drawing)
        run.reporter.params({"best": found})
        run.reporter.metrics({"best_valid_loss": best.loss})
        shutil.rmtree(unfinished, ignore_errors=True)
