"""Stage evaluate: every model on the simulated test set and on the target (thesis 4.1).

Before and after fine-tuning, beside trivial baselines that saw the same few labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from stage import DATA, MODELS, REPORTS, Stage, stage

from astroreel.evaluation import figures
from astroreel.evaluation.metrics import N_SAMPLES
from astroreel.evaluation.predictions import Domain, Predictions
from astroreel.evaluation.predictions import Stage as TrainingStage
from astroreel.evaluation.protocol import evaluate
from astroreel.evaluation.results import flat_values, save_curves, save_evaluation
from astroreel.files import write_json
from astroreel.models.baselines import baselines
from astroreel.models.bundle import load_bundle
from astroreel.models.forest import ForestClassifier
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.file import read_folder
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store


class Tested:
    """One set of objects, and what models say of it."""

    def __init__(self, domain: Domain, sequences: SequenceSet, features: FeatureSet) -> None:
        self.domain, self.sequences, self.features = domain, sequences, features

    def select(self, which: np.ndarray) -> Tested:
        curves = self.features.curves.select(which)
        chosen = FeatureSet(
            self.features.names[which], self.features.labels[which], curves, self.features.features[which]
        )
        return Tested(self.domain, self.sequences.select(which), chosen)

    def rcnn(self, name: str, stage: TrainingStage, **piece: int) -> Predictions:
        classifier = RcnnClassifier.from_bundle(load_bundle(MODELS / name))
        rows = classifier.predict(self.sequences)
        return Predictions.of(self.sequences, rows, model="rcnn", stage=stage, domain=self.domain, **piece)

    def forest(self, name: str, stage: TrainingStage, **piece: int) -> Predictions:
        classifier = ForestClassifier.from_bundle(load_bundle(MODELS / name))
        return self.table(classifier.predict_features(self.features.features), "forest", stage, **piece)

    def table(self, probabilities: np.ndarray, model: str, stage: TrainingStage, **piece: int) -> Predictions:
        """Predictions from probabilities (N, 22, 7)."""
        objects = self.sequences.objects
        return Predictions(
            model=model,
            stage=stage,
            domain=self.domain,
            probabilities=probabilities,
            names=objects["name"],
            fields=objects["field"],
            labels=self.features.labels,
            **piece,
        )


def simulated(domain: Domain, part: str) -> Tested:
    features = FeatureSet.load(DATA / "features" / f"{part}.npz")
    return Tested(domain, load_store(DATA / "simulated" / part), features)


def predictions(
    run: Stage, split: Split, target: Tested, test: Tested, train: Tested
) -> Iterator[Predictions]:
    for tested in (target, test, train):
        yield tested.rcnn("pretrained", "zero_shot")
        yield tested.forest("forest", "zero_shot")
    folds = np.array([entry.fold for entry in split.objects.values()])
    pieces = [(draw, fold) for draw in range(len(split.shots)) for fold in range(len(split.shots[0]))]
    with run.progress("evaluate") as progress:
        for done, (draw, fold) in enumerate(pieces, start=1):
            held_out = target.select(np.flatnonzero(folds == fold))
            for tested in (held_out, test):
                name = f"finetuned/draw-{draw}-fold-{fold}"
                yield tested.rcnn(f"{name}/rcnn", "fine_tuned", draw=draw, fold=fold)
                yield tested.forest(f"{name}/forest", "fine_tuned", draw=draw, fold=fold)
            shots = target.select(target.features.indices(split.shots[draw][fold])).features
            for model, baseline in baselines().items():
                fitted = baseline.fit(shots.curves, shots.labels, seed=done)
                growing = [held_out.features.curves.first(n) for n in range(1, N_SAMPLES + 1)]
                table = np.stack([fitted.predict_proba(curves) for curves in growing], axis=1)
                yield held_out.table(table, model, "fine_tuned", draw=draw, fold=fold)
            progress(done, len(pieces))


if __name__ == "__main__":
    with stage("evaluate") as run:
        run.reporter.params(run.parameters.evaluate.model_dump())
        split = Split.read(DATA / "split.json")
        sequences = cut(read_folder(DATA / "target"), split, run.parameters.split)
        domain: Domain = "surrogate" if run.parameters.source.target == "surrogate" else "real"
        target = Tested(domain, sequences, FeatureSet.load(DATA / "features" / "target.npz"))
        test, train = simulated("simulated", "test"), simulated("simulated_train", "train")
        train = train.select(np.arange(min(len(train.features), len(test.features))))
        evaluation = evaluate(
            predictions(run, split, target, test, train),
            run.parameters.source.target,
            run.parameters.evaluate,
        )
        write_json(REPORTS / "metrics.json", evaluation.metrics)
        save_evaluation(DATA / "evaluation.json", evaluation)
        save_curves(REPORTS / "plots" / "mean_recall.csv", evaluation.select_curves(domain, "mean_recall"))
        save_curves(REPORTS / "plots" / "accuracy.csv", evaluation.select_curves("simulated", "accuracy"))
        run.reporter.metrics(flat_values(evaluation.metrics))
        curves = [figures.target_mean_recall(evaluation), figures.simulated_accuracy(evaluation)]
        for drawing in (*curves, *figures.confusion_matrices(evaluation)):
            run.figure(drawing)
