"""Section ``samples``: every model against the number of real labels a class, down to none.

Cross-fitted by field, like the pipeline's own draws: in each draw every object is tested once, by models that
saw no object of its field. All models of a draw have seen the same labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from astroreel.classes import CLASSES
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import ACCURACY
from astroreel.evaluation.predictions import Predictions
from astroreel.models.baselines import baselines
from astroreel.models.bundle import load_bundle
from astroreel.models.classifier import Classifier
from astroreel.models.forest import ForestClassifier, train_forest
from astroreel.models.rcnn import RcnnClassifier
from astroreel.study.bench import Bench
from astroreel.study.pretraining import pretrained_bundle, pretraining
from astroreel.study.section import Section
from astroreel.study.shots import draw_shots
from astroreel.study.tables import SimulatedTable, TargetTable, probabilities, said
from astroreel.study.units import Result, Unit
from astroreel.training.reporter import NullReporter

NAME = "samples"

#: The forest as it was before any real label: without the augmentation of thesis 3.2.4.
_UNAUGMENTED = "forest_without_augmentation"
_MODELS = ("rcnn", "forest")

# Seconds on one core of a laptop at scale default.
_GUESSES = {"pretrain": 600.0, "zero": 10.0, "rcnn": 40.0, "forest": 50.0, "baselines": 10.0}


def plan(bench: Bench) -> list[Unit]:
    """All units, those first that others need."""
    zero = [
        Unit(f"zero-{model}-seed{seed}", [], partial(zero_shot, model, seed), _GUESSES["zero"])
        for model, seed in product(_MODELS, range(bench.seeds))
    ]
    return [*pretraining(bench, _GUESSES["pretrain"]), *zero, *_tuned(bench)]


def _tuned(bench: Bench) -> Iterator[Unit]:
    folds = range(bench.parameters.split.folds if bench.split.pieces else 0)
    for shots, draw, fold in product(bench.config.shots, range(bench.draws), folds):
        chosen = draw_shots(bench.split, draw, fold, shots, bench.config.seed)
        names = [name for members in chosen.values() for name in members]
        seed = bench.seed_of(draw)
        for model, compute in (
            ("rcnn", tuned_rcnn),
            ("forest", tuned_forest),
            ("baselines", tuned_baselines),
        ):
            of_seed = f"-seed{seed}" if model == "rcnn" else ""
            yield Unit(
                f"{model}-shots{shots}-draw{draw}-fold{fold}{of_seed}",
                names,
                partial(compute, draw, fold, names, seed),
                _GUESSES[model],
            )


def zero_shot(model: str, seed: int, bench: Bench) -> Result:
    """A model trained on simulations alone, with another seed than the pipeline's from the second on."""
    if model == "rcnn":
        return _says(bench, RcnnClassifier.from_bundle(load_bundle(pretrained_bundle(bench, seed))), None)
    if seed == 0:
        return _says(bench, ForestClassifier.from_bundle(load_bundle(bench.forest)), None)
    start = bench.few_shot
    config = start.forest.model_copy(update={"seed": start.forest.seed + seed})
    grown, _ = train_forest(*start.rows, start.valid.features[:, -1], start.valid.labels, config)
    return _says(bench, ForestClassifier(grown, start.pretrained.preparation), None)


def tuned_rcnn(draw: int, fold: int, names: list[str], seed: int, bench: Bench) -> Result:
    """The RCNN fine-tuned with the objects ``names``; the pipeline's own where it has the same."""
    if _is_pipelines(bench, draw, fold, names) and seed == 0:
        classifier = RcnnClassifier.from_bundle(load_bundle(bench.tuned(draw, fold) / "rcnn"))
        return _says(bench, classifier, fold)
    start = replace(bench.few_shot, pretrained=load_bundle(pretrained_bundle(bench, seed)))
    which = start.measured.indices(names)
    return _says(bench, start.rcnn(which, bench.piece(draw, fold), NullReporter()), fold)


def tuned_forest(draw: int, fold: int, names: list[str], seed: int, bench: Bench) -> Result:
    """The forest grown with copies of the objects ``names``; the pipeline's own where it has the same."""
    if _is_pipelines(bench, draw, fold, names):
        classifier = ForestClassifier.from_bundle(load_bundle(bench.tuned(draw, fold) / "forest"))
    else:
        start = bench.few_shot
        classifier = start.grown_forest(start.measured.indices(names), bench.piece(draw, fold))
    return _says(bench, classifier, fold)


def tuned_baselines(draw: int, fold: int, names: list[str], seed: int, bench: Bench) -> Result:
    """Every baseline that learns from the objects ``names`` alone."""
    shots = bench.target.select(bench.target.features.indices(names)).features
    held_out = bench.target.select(bench.members(fold))
    tables = {}
    for name, baseline in baselines().items():
        said = held_out.baseline(name, baseline.fit(shots, seed=bench.piece(draw, fold)))
        tables[name] = said.probabilities.astype(np.float32)
    return tables


def _is_pipelines(bench: Bench, draw: int, fold: int, names: list[str]) -> bool:
    return draw < len(bench.split.shots) and set(names) == set(bench.split.shots[draw][fold])


def _says(bench: Bench, classifier: Classifier, fold: int | None) -> Result:
    """What a model says of the target's fold (None: of all), and at the end of the simulated test set."""
    return {
        "target": probabilities(classifier, bench.target.select(bench.members(fold))),
        "test": probabilities(classifier, bench.test)[:, -1],
    }


def run(bench: Bench) -> dict[str, Any]:
    """The target's leaves for each number of labels, by model, and the simulated accuracy beside them."""
    units = bench.units(NAME)
    units.do_all(pretraining(bench, _GUESSES["pretrain"]), bench)
    results = units.do_all(plan(bench), bench)
    numbers = bench.config.shots if bench.split.pieces else ()
    tree = {}
    if len(bench.target):
        tree["0"] = _leaves(bench, _zero(bench, results))
        tree |= {str(shots): _leaves(bench, _few(bench, results, shots)) for shots in numbers}
    return {
        bench.domain: tree,
        "simulated": _simulated(bench, results),
        "labels_short": {str(shots): short for shots in numbers if (short := _short(bench, shots))},
    }


def _zero(bench: Bench, results: Mapping[str, Result]) -> Iterator[Predictions]:
    for model, seed in product(_MODELS, range(bench.seeds)):
        yield said(bench, model, "zero_shot", results[f"zero-{model}-seed{seed}"]["target"], draw=seed)


def _few(bench: Bench, results: Mapping[str, Result], shots: int) -> Iterator[Predictions]:
    unchanged = results["zero-forest-seed0"]["target"]
    for draw, fold in product(range(bench.draws), range(bench.parameters.split.folds)):
        stem, seed = f"shots{shots}-draw{draw}-fold{fold}", bench.seed_of(draw)
        tables = {
            "rcnn": results[f"rcnn-{stem}-seed{seed}"]["target"],
            "forest": results[f"forest-{stem}"]["target"],
            **results[f"baselines-{stem}"],
            _UNAUGMENTED: unchanged[bench.members(fold)],
        }
        for model, table in tables.items():
            yield said(bench, model, "fine_tuned", table, draw, fold)


def _leaves(bench: Bench, predictions: Iterable[Predictions]) -> dict[str, Any]:
    """The protocol's leaves of each model, and the RCNN paired with every other."""
    table = TargetTable(bench, predictions)
    leaves = table.leaves()
    return {**leaves, "rcnn_lead": {model: table.lead("rcnn", model) for model in leaves if model != "rcnn"}}


def _simulated(bench: Bench, results: Mapping[str, Result]) -> dict[str, Any]:
    """Accuracy on the simulated test set: what fine-tuning makes the models forget."""
    simulated = SimulatedTable(bench)
    tree: dict[str, Any] = {}
    for shots, model in product((0, *bench.config.shots), _MODELS):
        prefix = f"{model}-shots{shots}-" if shots else f"zero-{model}-"
        tables = [result["test"] for name, result in sorted(results.items()) if name.startswith(prefix)]
        if tables:
            leaf = simulated.accuracy(tables).to_json()
            tree.setdefault(str(shots), {})[model] = {ACCURACY: leaf}
    return tree


def _short(bench: Bench, shots: int) -> dict[str, Any]:
    """The classes that have fewer labels than asked for: how many a model has seen of them."""
    folds = range(bench.parameters.split.folds)
    seen = [draw_shots(bench.split, 0, fold, shots, bench.config.seed) for fold in folds]
    counts = {label: [len(one.get(label, [])) for one in seen] for label in CLASSES}
    return {
        label: Estimate(float(np.mean(n)), min(n), max(n), len(n)).to_json()
        for label, n in counts.items()
        if max(n) > 0 and min(n) < shots
    }


SECTION = Section(NAME, "every model against the number of real labels a class", run, plan)
