"""Stage simulate: the labelled training, validation and test sequences (thesis 3.1).

Stopped and started again, it goes on from its last whole shard.
"""

from __future__ import annotations

import shutil

from stage import CHECKPOINTS, DATA, console, stage

from astroreel.files import replacing_folder
from astroreel.lightcurves.partition import Split
from astroreel.sequences.recipe import Recipe
from astroreel.sequences.shards import is_finished, simulate_to
from astroreel.sequences.store import load_store
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.survey import load_survey


def say(message: str) -> None:
    console.print(f"simulate: {message}", markup=False)


if __name__ == "__main__":
    with stage("simulate") as run:
        config = run.parameters.simulate
        run.reporter.params(config.model_dump())
        survey = load_survey(config.survey)
        conditions = ConditionsTable.read(DATA / "conditions.ecsv")
        sizes: dict[Split, int] = {"train": config.n_train, "valid": config.n_valid, "test": config.n_test}
        unfinished = CHECKPOINTS / run.key
        # What was begun with other parameters or other code is of no use any more, and large.
        for stale in set(CHECKPOINTS.glob("simulate-*")) - {unfinished}:
            shutil.rmtree(stale)
        for split, n in sizes.items():
            folder = unfinished / split
            if not is_finished(folder):
                with run.progress(f"simulate {split}") as progress:
                    simulate_to(folder, Recipe(survey, conditions, split, config), n, "store", say, progress)
            run.reporter.metrics({f"{split}.objects": n, f"{split}.stamps": len(load_store(folder).epochs)})
        with replacing_folder(DATA / "simulated") as scratch:
            for split in sizes:
                shutil.move(unfinished / split, scratch / split)
        unfinished.rmdir()
