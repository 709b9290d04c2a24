"""Section ``ablation``: what each way to close the gap buys, switched on or off by itself.

Every arm is paired with the pipeline's own models, on the same draws and the same objects. Nothing is chosen
here: the defaults were chosen on surrogates, and what this section says of the target is only reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from astroreel.classes import CLASSES
from astroreel.evaluation.metrics import ACCURACY, by_sample_count
from astroreel.evaluation.predictions import Stage
from astroreel.models.bundle import load_bundle
from astroreel.models.classifier import Classifier
from astroreel.models.forest import ForestClassifier
from astroreel.models.rcnn import RcnnClassifier
from astroreel.study.bench import Bench
from astroreel.study.closing import Floats, class_shares, pooled, surest, symmetric, with_shares
from astroreel.study.pretraining import pretrained_bundle, pretraining
from astroreel.study.resimulated import AS_IS, RESIMULATIONS, resimulated
from astroreel.study.section import Section
from astroreel.study.tables import SimulatedTable, TargetTable, probabilities, said
from astroreel.study.units import Result, Unit
from astroreel.training.reporter import NullReporter

NAME = "ablation"

#: The pipeline's own models, which every arm is paired with.
_DEFAULT = "default"

#: Fine-tunings with other parameters; the learning rate is given over the pipeline's.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "no_replay": {"replay": 0},
    "no_flips": {"flips": False},
    "mixup": {"mixup": 0.2},
    "condition_noise": {"condition_noise": 0.1},
    "frozen_trunk": {"trunk_rate": 0.0, "learning_rate": 10.0},
    "slow_trunk": {"trunk_rate": 0.1, "learning_rate": 10.0},
}

# Seconds on one core of a laptop at scale default.
_GUESSES = {"train": 45.0, "pretrain": 600.0, "predict": 10.0}


@dataclass(frozen=True)
class Said:
    """What an arm says in one draw and fold (None: there is but one).

    Attributes
    ----------
    target
        (N, 22, 7) of the target's objects in the fold.
    test
        (M, 7) at the end of the simulated test set.
    """

    target: Floats
    test: Floats
    draw: int | None = None
    fold: int | None = None

    @classmethod
    def of(cls, result: Result, draw: int | None = None, fold: int | None = None) -> Said:
        """What a unit left."""
        return cls(result["target"], result["test"], draw, fold)


Arms = dict[str, list[Said]]


def together(parts: Sequence[Said]) -> Said:
    """Several models as one."""
    first = parts[0]
    target, test = pooled([one.target for one in parts]), pooled([one.test for one in parts])
    return Said(target, test, first.draw, first.fold)


def draws(bench: Bench) -> int:
    """The pipeline's own draws: all of them at the budget ``full``, else the first."""
    own = len(bench.split.shots)
    return own if bench.budget == "full" else min(own, 1)


def plan(bench: Bench) -> list[Unit]:
    """All units, those first that others need."""
    return [
        *pretraining(bench, _GUESSES["pretrain"]),
        *_zero_units(bench),
        *_tuned_units(bench),
        *_resimulated_units(bench),
    ]


def _zero_units(bench: Bench) -> Iterator[Unit]:
    arms: dict[str, Callable[[Bench], Result]] = {
        _DEFAULT: partial(zero_shot, 0),
        "forest": zero_shot_forest,
        "symmetries": zero_shot_symmetries,
        **{f"seed{seed}": partial(zero_shot, seed) for seed in range(1, bench.seeds)},
    }
    return (Unit(f"zero-{arm}", [], compute, _GUESSES["predict"]) for arm, compute in arms.items())


def _tuned_units(bench: Bench) -> Iterator[Unit]:
    arms: dict[str, tuple[Callable[[int, int, Bench], Result], object, float]] = {
        _DEFAULT: (own_rcnn, [], _GUESSES["predict"]),
        "forest": (own_forest, [], _GUESSES["predict"]),
        "symmetries": (own_symmetries, [], 3 * _GUESSES["predict"]),
        "self_training": (self_training, [], _GUESSES["train"]),
        **{
            name: (partial(recipe, name), dict(change), _GUESSES["train"]) for name, change in RECIPES.items()
        },
        **{f"seed{seed}": (partial(of_seed, seed), [], _GUESSES["train"]) for seed in range(1, bench.seeds)},
    }
    for (arm, (compute, key, guess)), (draw, fold) in product(arms.items(), _pieces(bench)):
        yield Unit(f"{arm}-draw{draw}-fold{fold}", key, partial(compute, draw, fold), guess)


def _resimulated_units(bench: Bench) -> list[Unit]:
    arms = RESIMULATIONS if bench.budget == "full" else {}
    return [Unit(f"resimulated-{arm}", [], partial(resimulated, arm), _GUESSES["pretrain"]) for arm in arms]


def _pieces(bench: Bench) -> list[tuple[int, int]]:
    return [(draw, fold) for draw, fold in bench.split.pieces if draw < draws(bench)]


def zero_shot(seed: int, bench: Bench) -> Result:
    """The RCNN of a pretraining."""
    return _says(bench, _rcnn(bench, seed), None)


def zero_shot_forest(bench: Bench) -> Result:
    """The forest of simulations alone."""
    return _says(bench, ForestClassifier.from_bundle(load_bundle(bench.forest)), None)


def zero_shot_symmetries(bench: Bench) -> Result:
    """The mean over the eight positions of the stamps."""
    return _turned(bench, _rcnn(bench), None)


def own_rcnn(draw: int, fold: int, bench: Bench) -> Result:
    """The pipeline's fine-tuned RCNN."""
    return _says(bench, _own(bench, draw, fold), fold)


def own_forest(draw: int, fold: int, bench: Bench) -> Result:
    """The pipeline's forest with the same labels."""
    bundle = load_bundle(bench.tuned(draw, fold) / "forest")
    return _says(bench, ForestClassifier.from_bundle(bundle), fold)


def own_symmetries(draw: int, fold: int, bench: Bench) -> Result:
    """The mean over the eight positions of the stamps."""
    return _turned(bench, _own(bench, draw, fold), fold)


def recipe(name: str, draw: int, fold: int, bench: Bench) -> Result:
    """The RCNN fine-tuned with other parameters."""
    start = bench.few_shot
    change = dict(RECIPES[name])
    change["learning_rate"] = start.finetune.learning_rate * change.get("learning_rate", 1.0)
    changed = replace(start, finetune=start.finetune.model_copy(update=change))
    which = start.measured.indices(bench.split.shots[draw][fold])
    return _says(bench, changed.rcnn(which, bench.piece(draw, fold), NullReporter()), fold)


def of_seed(seed: int, draw: int, fold: int, bench: Bench) -> Result:
    """The RCNN of another pretraining, fine-tuned as the pipeline does."""
    start = replace(bench.few_shot, pretrained=load_bundle(pretrained_bundle(bench, seed)))
    which = start.measured.indices(bench.split.shots[draw][fold])
    return _says(bench, start.rcnn(which, bench.piece(draw, fold), NullReporter()), fold)


def self_training(draw: int, fold: int, bench: Bench) -> Result:
    """The RCNN fine-tuned with the labels, and with what it says itself of objects without, as many a class.

    Those without are of the fields that the model may learn from; their labels are not read.
    """
    start = bench.few_shot
    shots = start.measured.indices(bench.split.shots[draw][fold])
    unlabelled = np.setdiff1d(np.flatnonzero(bench.folds != fold), shots)
    final = probabilities(_own(bench, draw, fold), bench.target.select(unlabelled))[:, -1]
    chosen, given = surest(final, bench.parameters.split.shots)
    labels = start.target.labels.copy()
    labels[unlabelled[chosen]] = given
    taught = replace(start, target=replace(start.target, labels=labels))
    which = np.concatenate([shots, unlabelled[chosen]])
    return _says(bench, taught.rcnn(which, bench.piece(draw, fold), NullReporter()), fold)


def _rcnn(bench: Bench, seed: int = 0) -> RcnnClassifier:
    return RcnnClassifier.from_bundle(load_bundle(pretrained_bundle(bench, seed)))


def _own(bench: Bench, draw: int, fold: int) -> RcnnClassifier:
    return RcnnClassifier.from_bundle(load_bundle(bench.tuned(draw, fold) / "rcnn"))


def _says(bench: Bench, classifier: Classifier, fold: int | None) -> Result:
    return {
        "target": probabilities(classifier, bench.target.select(bench.members(fold))),
        "test": probabilities(classifier, bench.test)[:, -1],
    }


def _turned(bench: Bench, classifier: Classifier, fold: int | None) -> Result:
    parts = {"target": bench.target.select(bench.members(fold)).sequences, "test": bench.test.sequences}
    tables = {
        name: by_sample_count(symmetric(classifier, part), part.offsets).astype(np.float32)
        for name, part in parts.items()
    }
    return {"target": tables["target"], "test": tables["test"][:, -1]}


def run(bench: Bench) -> dict[str, Any]:
    """Leaves of every arm, before and after fine-tuning; ``gain`` is the arm minus the default."""
    units = bench.units(NAME)
    units.do_all(pretraining(bench, _GUESSES["pretrain"]), bench)
    results = units.do_all(plan(bench), bench)
    stages: dict[Stage, Arms] = {"zero_shot": _zero_arms(bench, results)}
    if _pieces(bench):
        stages["fine_tuned"] = _tuned_arms(bench, results)
    return {
        bench.domain: {stage: _leaves(bench, stage, arms) for stage, arms in stages.items()},
        "simulated": {stage: _simulated(bench, arms) for stage, arms in stages.items()},
        "resimulated": _resimulated(bench, results),
    }


def _zero_arms(bench: Bench, results: Mapping[str, Result]) -> Arms:
    parts = {
        name.removeprefix("zero-"): Said.of(results[name]) for name in results if name.startswith("zero-")
    }
    own = parts[_DEFAULT]
    seeds = [own, *(parts[f"seed{seed}"] for seed in range(1, bench.seeds))]
    folds = range(bench.parameters.split.folds if len(bench.target) else 0)
    return {
        _DEFAULT: [own],
        "symmetries": [parts["symmetries"]],
        "with_forest": [together([own, parts["forest"]])],
        "prior_correction": [_corrected(bench, own, fold, _uniform()) for fold in folds],
        **({"seeds": [together(seeds)]} if len(seeds) > 1 else {}),
    }


def _tuned_arms(bench: Bench, results: Mapping[str, Result]) -> Arms:
    def arm(name: str) -> list[Said]:
        return [
            Said.of(results[f"{name}-draw{draw}-fold{fold}"], draw, fold) for draw, fold in _pieces(bench)
        ]

    own, forest = arm(_DEFAULT), arm("forest")
    seeds = [own, *(arm(f"seed{seed}") for seed in range(1, bench.seeds))]
    return {
        _DEFAULT: own,
        **{name: arm(name) for name in RECIPES},
        "self_training": arm("self_training"),
        "symmetries": arm("symmetries"),
        "with_forest": [together(pair) for pair in zip(own, forest, strict=True)],
        **({"seeds": [together(parts) for parts in zip(*seeds, strict=True)]} if len(seeds) > 1 else {}),
    }


def _corrected(bench: Bench, whole: Said, fold: int, trained: Floats) -> Said:
    """Probabilities of a fold with the class shares of the other folds, which the model itself estimates."""
    others = whole.target[bench.folds != fold, -1]
    shares = class_shares(others, trained)
    return Said(with_shares(whole.target[bench.members(fold)], trained, shares), whole.test, None, fold)


def _uniform() -> Floats:
    return np.full(len(CLASSES), 1 / len(CLASSES))


def _leaves(bench: Bench, stage: Stage, arms: Arms) -> dict[str, Any]:
    if not len(bench.target):
        return {}
    table = TargetTable(
        bench,
        [
            said(bench, name, stage, one.target, one.draw, one.fold)
            for name, parts in arms.items()
            for one in parts
        ],
    )
    leaves = table.leaves()
    gains = {name: {"gain": table.lead(name, _DEFAULT)} for name in arms if name != _DEFAULT}
    return {name: {**leaves[name], **gains.get(name, {})} for name in arms}


def _simulated(bench: Bench, arms: Arms) -> dict[str, Any]:
    """Accuracy of every arm on the simulated test set, and what it gains or loses there."""
    table = SimulatedTable(bench)
    tests = {name: [one.test for one in parts] for name, parts in arms.items() if name != "prior_correction"}
    own = tests[_DEFAULT]
    return {
        name: {ACCURACY: table.accuracy(test).to_json(), "gain": {ACCURACY: table.gain(test, own).to_json()}}
        for name, test in tests.items()
    }


def _resimulated(bench: Bench, results: Mapping[str, Result]) -> dict[str, Any]:
    """The target without any real label, after short trainings on other simulations, all of one length."""
    arms = [name for name in RESIMULATIONS if f"resimulated-{name}" in results]
    if not arms or not len(bench.target):
        return {}
    table = TargetTable(
        bench,
        [said(bench, name, "zero_shot", results[f"resimulated-{name}"]["target"]) for name in arms],
    )
    leaves = table.leaves()
    return {
        name: {**leaves[name], **({"gain": table.lead(name, AS_IS)} if name != AS_IS else {})}
        for name in arms
    }


SECTION = Section(NAME, "what each way to close the gap buys", run, plan)
