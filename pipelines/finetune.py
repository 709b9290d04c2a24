"""Stage finetune: both models with a few real sequences a class, for every draw and fold (thesis 3.2.4).

Models that are tested on a fold have seen no object of its fields. A survey without labels has no draws.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from stage import DATA, MODELS, Stage, stage

from astroreel.files import read_json, replacing_folder, write_json
from astroreel.models.bundle import load_bundle
from astroreel.models.forest import training_rows
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.file import read_folder
from astroreel.sequences.prepare import LazyPrepared, prepare
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store
from astroreel.training.few_shot import FewShot


def few_shot(run: Stage, split: Split) -> FewShot:
    parameters = run.parameters
    preparation, config = parameters.preparation, parameters.forest
    train, valid, target = (
        FeatureSet.load(DATA / "features" / f"{n}.npz") for n in ("train", "valid", "target")
    )
    rng = np.random.default_rng(config.seed)
    best = read_json(MODELS / "forest_grid.json")["best"]
    chosen = {"n_estimators": (best["n_estimators"],), "max_depth": (best["max_depth"],)}
    return FewShot(
        pretrained=load_bundle(MODELS / "pretrained"),
        rows=training_rows(train.curves, train.labels, config.truncations, rng),
        simulated=LazyPrepared(load_store(DATA / "simulated" / "train"), preparation),
        valid=valid,
        target=prepare(cut(read_folder(DATA / "target"), split, parameters.split), preparation),
        measured=target,
        finetune=parameters.finetune,
        forest=config.model_copy(update=chosen),
    )


def train_all(run: Stage, split: Split, folder: Path) -> None:
    models = few_shot(run, split)
    with run.progress("fine-tune") as progress:
        for done, (draw, fold) in enumerate(split.pieces, start=1):
            name, shots = f"draw-{draw}-fold-{fold}", split.shots[draw][fold]
            reporter = run.reporter.child(name)
            models.train(folder / name, shots, done, reporter)
            reporter.params({"draw": draw, "fold": fold, "shots": ", ".join(shots)})
            reporter.close()
            progress(done, len(split.pieces))


if __name__ == "__main__":
    with stage("finetune") as run:
        run.reporter.params({**run.parameters.finetune.model_dump(), "copies": run.parameters.forest.copies})
        split = Split.read(DATA / "split.json")
        with replacing_folder(MODELS / "finetuned") as folder:
            write_json(folder / "shots.json", split.shots)
            if split.pieces:
                train_all(run, split, folder)
            else:
                target = run.parameters.source.target
                run.say(f"no labelled sequence of {target} yet: nothing to fine-tune with")
