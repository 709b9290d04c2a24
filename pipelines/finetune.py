"""Stage finetune: a few real sequences a class, for every draw and fold (thesis 3.2.4).

The RCNN is fine-tuned; the forest's counterpart is grown anew on the simulated curves and 100 copies of
each real one. Models that are tested on a fold have seen no object of its fields.
"""

from __future__ import annotations

import numpy as np
from stage import DATA, MODELS, stage

from astroreel.files import read_json, replacing_folder
from astroreel.models.bundle import load_bundle
from astroreel.models.forest import ForestClassifier, augment, train_forest, training_rows
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.file import read_folder
from astroreel.sequences.prepare import prepare
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store
from astroreel.training.finetune import finetune

if __name__ == "__main__":
    with stage("finetune") as run:
        preparation, forest_config = run.parameters.preparation, run.parameters.forest
        run.reporter.params({**run.parameters.finetune.model_dump(), "copies": forest_config.copies})
        split = Split.read(DATA / "split.json")
        target = prepare(cut(read_folder(DATA / "target"), split, run.parameters.split), preparation)
        simulated = prepare(load_store(DATA / "simulated" / "train"), preparation)
        measured = FeatureSet.load(DATA / "features" / "target.npz")
        valid = FeatureSet.load(DATA / "features" / "valid.npz")
        train = FeatureSet.load(DATA / "features" / "train.npz")
        rng = np.random.default_rng(forest_config.seed)
        rows = training_rows(train.curves, train.labels, forest_config.truncations, rng)
        best = read_json(MODELS / "forest_grid.json")["best"]
        chosen = {"n_estimators": (best["n_estimators"],), "max_depth": (best["max_depth"],)}
        forest_config = forest_config.model_copy(update=chosen)
        pretrained = load_bundle(MODELS / "pretrained")

        pieces = [(draw, fold) for draw in range(len(split.shots)) for fold in range(len(split.shots[0]))]
        with replacing_folder(MODELS / "finetuned") as folder, run.progress("fine-tune") as progress:
            for done, (draw, fold) in enumerate(pieces, start=1):
                name, shots = f"draw-{draw}-fold-{fold}", split.shots[draw][fold]
                reporter = run.reporter.child(name)
                which = measured.indices(shots)
                classifier = RcnnClassifier.from_bundle(pretrained)
                finetune(
                    classifier.network,
                    target.select(which),
                    simulated,
                    run.parameters.finetune,
                    done,
                    reporter,
                )
                classifier.to_bundle(folder / name / "rcnn")
                real = training_rows(
                    measured.curves.select(which), measured.labels[which], forest_config.truncations, rng
                )
                features, labels, weights = augment(*rows, *real, forest_config.copies)
                own = forest_config.model_copy(update={"seed": forest_config.seed + done})
                grown, _ = train_forest(features, labels, valid.features[:, -1], valid.labels, own, weights)
                ForestClassifier(grown, preparation).save(folder / name / "forest")
                reporter.params({"draw": draw, "fold": fold, "shots": ", ".join(shots)})
                reporter.close()
                progress(done, len(pieces))
