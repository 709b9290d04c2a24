"""Stage evaluate: every model on the simulated test set and on the target (thesis 4.1).

Before and after fine-tuning, beside baselines that saw the same few labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from stage import DATA, MODELS, REPORTS, Stage, stage

from astroreel.evaluation import figures
from astroreel.evaluation.answers import Answers
from astroreel.evaluation.predictions import Domain, Predictions
from astroreel.evaluation.protocol import evaluate
from astroreel.evaluation.results import flat_values, save_curves, save_evaluation
from astroreel.evaluation.tested import Tested
from astroreel.files import write_json
from astroreel.models.baselines import baselines
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.file import read_folder
from astroreel.sequences.split import Split, SplitConfig, cut
from astroreel.sequences.store import load_store


def real(domain: Domain, split: Split, config: SplitConfig) -> Tested:
    """The target's objects with their stored features."""
    sequences = cut(read_folder(DATA / "target"), split, config)
    detections = np.array([entry.detection for entry in split.objects.values()], dtype=np.int64)
    return Tested(domain, sequences, FeatureSet.load(DATA / "features" / "target.npz"), detections)


def simulated(domain: Domain, name: str, n: int | None = None) -> Tested:
    """A simulated set, or its first n objects."""
    sequences = load_store(DATA / "simulated" / name)
    features = FeatureSet.load(DATA / "features" / f"{name}.npz")
    return Tested.simulated(domain, sequences, features).select(np.arange(len(sequences))[:n])


def predictions(
    run: Stage, split: Split, target: Tested, test: Tested, train: Tested
) -> Iterator[Predictions]:
    for objects in (target, test, train):
        if len(objects):
            yield objects.rcnn(MODELS / "pretrained", "zero_shot")
            yield objects.forest(MODELS / "forest", "zero_shot")
    folds = np.array([entry.fold for entry in split.objects.values()])
    with run.progress("evaluate") as progress:
        for done, (draw, fold) in enumerate(split.pieces, start=1):
            bundles = MODELS / "finetuned" / f"draw-{draw}-fold-{fold}"
            held_out = target.select(np.flatnonzero(folds == fold))
            for objects in (held_out, test):
                yield objects.rcnn(bundles / "rcnn", "fine_tuned", draw=draw, fold=fold)
                yield objects.forest(bundles / "forest", "fine_tuned", draw=draw, fold=fold)
            shots = target.select(target.features.indices(split.shots[draw][fold])).features
            for name, baseline in baselines().items():
                fitted = baseline.fit(shots, seed=done)
                yield held_out.baseline(name, fitted, draw=draw, fold=fold)
            progress(done, len(split.pieces))


if __name__ == "__main__":
    with stage("evaluate") as run:
        run.reporter.params(run.parameters.evaluate.model_dump())
        split = Split.read(DATA / "split.json")
        source = run.parameters.source.target
        domain: Domain = "surrogate" if source == "surrogate" else "real"
        target, test = real(domain, split, run.parameters.split), simulated("simulated", "test")
        train = simulated("simulated_train", "train", len(test))
        told = list(predictions(run, split, target, test, train))
        Answers.of(told).save(DATA / "answers.npz")
        evaluation = evaluate(told, source, run.parameters.evaluate)
        write_json(REPORTS / "metrics.json", evaluation.metrics)
        save_evaluation(DATA / "evaluation.json", evaluation)
        save_curves(REPORTS / "plots" / "mean_recall.csv", evaluation.select_curves(domain, "mean_recall"))
        save_curves(REPORTS / "plots" / "accuracy.csv", evaluation.select_curves("simulated", "accuracy"))
        run.reporter.metrics(flat_values(evaluation.metrics))
        for draw in (figures.curves, figures.reliability_diagrams, figures.confusion_matrices):
            for drawing in draw(evaluation):
                run.figure(drawing)
