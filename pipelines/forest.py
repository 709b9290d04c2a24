"""Stage forest: the random forest on features of simulated sequences, calibrated (thesis 3.2.3)."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from stage import DATA, MODELS, stage

from astroreel.files import write_json
from astroreel.models.forest import ForestClassifier, train_forest, training_rows
from astroreel.photometry.feature_set import FeatureSet
from astroreel.training.calibrate_forest import calibrated

if __name__ == "__main__":
    with stage("forest") as run:
        config = run.parameters.forest
        run.reporter.params(config.model_dump())
        train, valid = (FeatureSet.load(DATA / "features" / f"{name}.npz") for name in ("train", "valid"))
        rng = np.random.default_rng(config.seed)
        rows, labels = training_rows(train, config.truncations, rng)
        forest, grid = train_forest(rows, labels, valid.features[:, -1], valid.labels, config)
        best = max(grid, key=lambda point: point.accuracy)
        classifier = calibrated(ForestClassifier(forest, run.parameters.preparation), valid)
        classifier.save(MODELS / "forest")
        write_json(MODELS / "forest_grid.json", {"best": asdict(best), "grid": [asdict(p) for p in grid]})
        run.reporter.metrics({"valid_accuracy": best.accuracy, "temperature": classifier.temperature})
        run.reporter.params({"best": asdict(best), "rows": len(rows)})
        run.reporter.artifact(MODELS / "forest_grid.json")
