"""Stage simulate: the labelled training, validation and test sequences (thesis 3.1)."""

from __future__ import annotations

import numpy as np
from stage import DATA, stage

from astroreel.lightcurves.partition import Split
from astroreel.sequences.simulate import simulate
from astroreel.sequences.store import save_store
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.survey import load_survey

if __name__ == "__main__":
    with stage("simulate") as run:
        config = run.parameters.simulate
        run.reporter.params(config.model_dump())
        survey = load_survey(config.survey)
        conditions = ConditionsTable.read(DATA / "conditions.ecsv")
        sizes: dict[Split, int] = {"train": config.n_train, "valid": config.n_valid, "test": config.n_test}
        generators = np.random.default_rng(config.seed).spawn(len(sizes))
        for (split, n), rng in zip(sizes.items(), generators, strict=True):
            with run.progress(f"simulate {split}") as progress:
                sequences = simulate(survey, conditions, n, split, config, rng, progress=progress)
            save_store(DATA / "simulated" / split, sequences)
            run.reporter.metrics({f"{split}.objects": n, f"{split}.stamps": len(sequences.epochs)})
