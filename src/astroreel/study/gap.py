"""The gap between simulated and real objects, as two numbers of every model version.

``gap``: recall on simulated objects less that on real ones, over the classes that there are real objects of,
all classes weighing alike. ``domain_auc``: how well a second classifier tells simulated from real objects of
one class by what the model makes of them, the mean over the classes; half where it cannot. It is trained and
tested on different fields, on as many simulated objects as there are real ones of the class, and sees the
last state of an RCNN, or the light-curve features that a forest reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.predictions import Stage
from astroreel.evaluation.protocol import EvaluationConfig
from astroreel.evaluation.tested import Tested
from astroreel.models.bundle import load_bundle
from astroreel.models.rcnn import RcnnClassifier
from astroreel.study.bench import Bench
from astroreel.study.embedding import last_states
from astroreel.study.leaves import tree_of
from astroreel.study.probe import MODELS, tuned_key
from astroreel.study.resampled import Resampled, auc, mean_over, resample
from astroreel.study.section import Section
from astroreel.study.units import Unit

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

#: Fewest real objects and fields of a class that a domain is told by.
_FEWEST, _FOLDS = 10, 4

_TREES = 100


@dataclass(frozen=True)
class Gap:
    """How far the simulation is from the sky, for one model.

    Attributes
    ----------
    gap
        Mean recall on simulated objects less that on real ones.
    domain_auc
        How well simulated and real objects of one class are told apart, the mean over the classes.
    by_class
        The same of every class that has enough real objects.
    """

    gap: Estimate
    domain_auc: Estimate
    by_class: Mapping[str, Estimate]

    def tags(self) -> dict[str, str]:
        """Both numbers with their intervals, as a model version is tagged."""
        numbers = {"gap": self.gap, "domain_auc": self.domain_auc}
        return {name: f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for name, one in numbers.items()}

    def to_json(self) -> dict[str, Any]:
        """The leaves of contract 3."""
        classes = {f"domain_auc_by_class/{label}": one for label, one in self.by_class.items()}
        return tree_of({"gap": self.gap, "domain_auc": self.domain_auc, **classes})


def measure_gap(
    model: str, bundle: Path, stage: Stage, real: Tested, simulated: Tested, config: EvaluationConfig
) -> Gap | None:
    """The gap of one bundle; None where no class has enough real objects.

    Parameters
    ----------
    model, bundle, stage
        ``rcnn`` or ``forest``, its folder, and what it has learned from.
    real
        Objects of fields that the model has learned nothing of.
    simulated
        Simulated objects that it has not learned from.
    config
        Resamples and seed.
    """
    common = np.unique(real.features.labels)
    shown = simulated.select(np.flatnonzero(np.isin(simulated.features.labels, common)))
    rng = np.random.default_rng(config.seed)
    recall = {
        objects.domain: _recall(objects, getattr(objects, model)(bundle, stage).probabilities[:, -1], config)
        for objects in (shown, real)
    }
    by_class = _domains(_known(model, bundle, real), _known(model, bundle, shown), real, shown, config, rng)
    if not by_class:
        return None
    gap = recall[shown.domain] - recall[real.domain]
    classes = {label: one.share() for label, one in by_class.items()}
    return Gap(gap.estimate(), _mean(list(by_class.values())).share(), classes)


def _mean(numbers: list[Resampled]) -> Resampled:
    """The mean of numbers of different objects."""
    return Resampled(
        float(np.mean([one.point for one in numbers])),
        np.empty(0),
        np.mean([one.resampled for one in numbers], axis=0),
        sum(one.n for one in numbers),
    )


def _recall(objects: Tested, final: Floats, config: EvaluationConfig) -> Resampled:
    labels = objects.features.labels
    hits = final.argmax(axis=-1) == labels
    return resample(mean_over(labels), hits[None], _resampling(objects, config))


def _resampling(objects: Tested, config: EvaluationConfig) -> Resampling:
    units = _units(objects)
    # Real and simulated objects are independent: their resamples must be so too.
    return Resampling(units, config.resamples, np.random.default_rng((config.seed, len(units))))


def _units(objects: Tested) -> NDArray[np.str_]:
    """What is resampled, and tested, together: real objects of a field, simulated ones each."""
    simulated = objects.domain.startswith("simulated")
    return objects.sequences.objects["name" if simulated else "field"]


def _known(model: str, bundle: Path, objects: Tested) -> Floats:
    """What the model makes of each object, (N, D)."""
    if model == "forest":
        return objects.features.features[:, -1]
    return last_states(RcnnClassifier.from_bundle(load_bundle(bundle)), objects.sequences)


def _domains(
    of_real: Floats,
    of_simulated: Floats,
    real: Tested,
    simulated: Tested,
    config: EvaluationConfig,
    rng: np.random.Generator,
) -> dict[str, Resampled]:
    """How well the domains of each class are told apart."""
    found: dict[str, Resampled] = {}
    for label in np.unique(real.features.labels):
        mine = np.flatnonzero(real.features.labels == label)
        theirs = np.flatnonzero(simulated.features.labels == label)
        fields = _units(real)[mine]
        if len(mine) < _FEWEST or len(theirs) < _FEWEST or len(np.unique(fields)) < 2:
            continue
        n = min(len(mine), len(theirs))
        theirs = rng.choice(theirs, n, replace=False)
        units = np.concatenate([fields, _units(simulated)[theirs]])
        rows = np.concatenate([of_real[mine], of_simulated[theirs]])
        is_real = np.arange(len(rows)) < len(mine)
        scores = _scores(rows, is_real, units, config.seed)
        resampling = Resampling(units, config.resamples, np.random.default_rng((config.seed, int(label))))
        found[CLASSES[label]] = resample(auc(is_real), scores[None], resampling)
    return found


def _scores(rows: Floats, is_real: NDArray[np.bool_], units: NDArray[np.str_], seed: int) -> Floats:
    """How real each row looks to a forest that has not seen its field, (N,)."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    folds = min(_FOLDS, len(np.unique(units[is_real])))
    forest = RandomForestClassifier(_TREES, class_weight="balanced", min_samples_leaf=3, random_state=seed)
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    told = cross_val_predict(forest, rows, is_real, groups=units, cv=parts, method="predict_proba")
    return np.asarray(told[:, 1])


def gap_of_version(bench: Bench, model: str, piece: tuple[int, int] | None) -> Gap | None:
    """The gap of one of the pipeline's models, on all real objects of fields that it knows no label of.

    ``piece`` is the draw and fold of a fine-tuned one. None as `measure_gap`.
    """
    config, every = bench.parameters.evaluate, bench.target
    if piece is None:
        bundle = bench.pretrained if model == "rcnn" else bench.forest
        return measure_gap(model, bundle, "zero_shot", every, bench.test, config)
    held_out = every.select(np.flatnonzero(bench.folds == piece[1]))
    return measure_gap(model, bench.tuned(*piece) / model, "fine_tuned", held_out, bench.test, config)


def measure(bench: Bench, model: str, piece: tuple[int, int] | None) -> dict[str, Any]:
    """The numbers of one of the pipeline's models."""
    gap = gap_of_version(bench, model, piece)
    return {} if gap is None else gap.to_json()


def plan(bench: Bench) -> list[Unit]:
    """One unit for each model that the pipeline registers."""
    registry = bench.parameters.registry
    piece = (registry.draw, registry.fold)
    pieces = {"zero_shot": None, **({"fine_tuned": piece} if piece in bench.split.pieces else {})}
    key = [bench.parameters.evaluate.model_dump(), tuned_key(bench)]
    return [
        Unit(f"{stage}-{model}", [key, where], partial(measure, model=model, piece=where), guess=15.0)
        for stage, where in pieces.items()
        for model in (MODELS if bench.split.objects else ())
    ]


def run(bench: Bench) -> dict[str, Any]:
    """The gap of every model that the pipeline registers."""
    results = bench.units("gap").do_all(plan(bench), bench)
    tree: dict[str, Any] = {}
    for name, result in results.items():
        stage, model = name.split("-")
        tree.setdefault(stage, {})[model] = result
    return tree


SECTION = Section("gap", "how far the simulation is from the sky, for every registered model", run, plan)
