"""Stage evaluate: every model on the simulated test set and on the target (thesis 4.1).

Before and after fine-tuning, beside baselines that saw the same few labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from stage import DATA, MODELS, REPORTS, Stage, stage

from astroreel.evaluation import figures
from astroreel.evaluation.predictions import Domain, Predictions
from astroreel.evaluation.protocol import evaluate
from astroreel.evaluation.results import flat_values, save_curves, save_evaluation
from astroreel.evaluation.tested import Tested
from astroreel.files import write_json
from astroreel.models.baselines import baselines
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.file import read_folder
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store


def tested(domain: Domain, name: str, sequences: SequenceSet) -> Tested:
    """A set with its stored features."""
    return Tested(domain, sequences, FeatureSet.load(DATA / "features" / f"{name}.npz"))


def simulated(domain: Domain, name: str) -> Tested:
    return tested(domain, name, load_store(DATA / "simulated" / name))


def predictions(
    run: Stage, split: Split, target: Tested, test: Tested, train: Tested
) -> Iterator[Predictions]:
    for objects in (target, test, train):
        yield objects.rcnn(MODELS / "pretrained", "zero_shot")
        yield objects.forest(MODELS / "forest", "zero_shot")
    folds = np.array([entry.fold for entry in split.objects.values()])
    pieces = [(draw, fold) for draw in range(len(split.shots)) for fold in range(len(split.shots[0]))]
    with run.progress("evaluate") as progress:
        for done, (draw, fold) in enumerate(pieces, start=1):
            bundles = MODELS / "finetuned" / f"draw-{draw}-fold-{fold}"
            held_out = target.select(np.flatnonzero(folds == fold))
            for objects in (held_out, test):
                yield objects.rcnn(bundles / "rcnn", "fine_tuned", draw=draw, fold=fold)
                yield objects.forest(bundles / "forest", "fine_tuned", draw=draw, fold=fold)
            shots = target.select(target.features.indices(split.shots[draw][fold])).features
            for name, baseline in baselines().items():
                fitted = baseline.fit(shots.curves, shots.labels, seed=done)
                yield held_out.baseline(name, fitted, draw=draw, fold=fold)
            progress(done, len(pieces))


if __name__ == "__main__":
    with stage("evaluate") as run:
        run.reporter.params(run.parameters.evaluate.model_dump())
        split = Split.read(DATA / "split.json")
        source = run.parameters.source.target
        domain: Domain = "surrogate" if source == "surrogate" else "real"
        target = tested(domain, "target", cut(read_folder(DATA / "target"), split, run.parameters.split))
        test, train = simulated("simulated", "test"), simulated("simulated_train", "train")
        train = train.select(np.arange(min(len(train.features), len(test.features))))
        evaluation = evaluate(predictions(run, split, target, test, train), source, run.parameters.evaluate)
        write_json(REPORTS / "metrics.json", evaluation.metrics)
        save_evaluation(DATA / "evaluation.json", evaluation)
        save_curves(REPORTS / "plots" / "mean_recall.csv", evaluation.select_curves(domain, "mean_recall"))
        save_curves(REPORTS / "plots" / "accuracy.csv", evaluation.select_curves("simulated", "accuracy"))
        run.reporter.metrics(flat_values(evaluation.metrics))
        curves = [figures.target_mean_recall(evaluation), figures.simulated_accuracy(evaluation)]
        for drawing in (*curves, *figures.confusion_matrices(evaluation)):
            run.figure(drawing)
