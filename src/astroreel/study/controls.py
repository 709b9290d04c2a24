"""Controls: what must come out at chance, or be explained.

- `before`: supernovae in the frames before their first detection;
- `permuted_times`: the frames of variable stars in another order. Brightness and how much it scatters stay,
  the phase and how fast it varies are lost: what is lost of the recall was known from these;
- `rim`: stamps of which only the rim is left, where no object is. The pipeline's own models on them, which
  may call them by classes that the target has none of, so that recalls fall below chance and AUC is what
  tells; and models taught with them, which find whatever the rim's texture tells;
- `shuffled`: models taught with shuffled labels. Those that know nothing else are right by chance, one in
  seven over simulated classes. Pretrained models with a few shuffled labels are not, for their simulated
  examples keep true ones: what these lose shows how much a few labels weigh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import MEAN_RECALL, RECALL
from astroreel.evaluation.tested import Tested
from astroreel.models.baselines import baselines
from astroreel.models.bundle import load_bundle
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.feature_set import FeatureSet
from astroreel.sequences.prepare import prepare
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import TRANSIENT
from astroreel.study.before import before_detection
from astroreel.study.bench import Bench
from astroreel.study.leaves import tree_of
from astroreel.study.probe import (
    MODELS,
    Answers,
    cross_fitted,
    registered,
    resampling_of,
    tested,
    tuned_key,
)
from astroreel.study.resampled import auc, mean, mean_over, resample
from astroreel.study.rim import rim_alone
from astroreel.study.section import Section
from astroreel.study.shuffled import forest_of_shuffled, network_of_shuffled, shuffle_shots
from astroreel.study.units import Unit
from astroreel.training.config import FinetuneConfig
from astroreel.training.reporter import NullReporter

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Change = Callable[[SequenceSet, np.random.Generator], SequenceSet]

#: Classes whose light varies with a period.
VARIABLE = ("rr_lyrae", "eclipsing_binary", "cepheid")

#: Simulated objects that a control is tested on, and that one is trained on from nothing.
_TESTED, _TRAINED = 700, 700

#: A training from nothing that is long enough to fit labels that can be fitted, and how often it is made.
_FROM_NOTHING = FinetuneConfig(iterations=60, batch_size=32, replay=0, learning_rate=4e-3)
_SHUFFLES = 10

_SUPERNOVA = CLASSES.index(TRANSIENT)


def permute_frames(sequences: SequenceSet, rng: np.random.Generator) -> SequenceSet:
    """The frames of each object in random order, each with its conditions, at the true ones' times."""
    order = np.lexsort((rng.random(len(sequences.epochs)), sequences.owner))
    epochs = sequences.epochs[order]
    epochs["mjd"] = sequences.epochs["mjd"]
    return replace(sequences, stamps=sequences.stamps[order], epochs=epochs)


def plan(bench: Bench) -> list[Unit]:
    """Two units a control: on simulated objects and on the target's, or on each fold of a draw."""
    key = [bench.config.seed, bench.parameters.evaluate.model_dump(), tuned_key(bench)]
    domains = ["simulated", "target"] if bench.split.objects else ["simulated"]
    measured = {"before": measure_before, "permuted": measure_permuted, "rim": measure_rim}
    pieces = [piece for piece in bench.split.pieces if piece[0] == 0 or bench.budget == "full"]
    taught = {"rim": teach_rim, "shuffled": teach_shuffled}
    return [
        *(
            Unit(f"{name}-{domain}", key, partial(measure, domain=domain), guess=20.0)
            for name, measure in measured.items()
            for domain in domains
        ),
        Unit("shuffled-from-nothing", key, measure_from_nothing, guess=40.0),
        *(
            Unit(f"{name}-draw-{draw}-fold-{fold}", key, partial(teach, draw=draw, fold=fold), guess=60.0)
            for name, teach in taught.items()
            for draw, fold in pieces
        ),
    ]


def run(bench: Bench) -> dict[str, Any]:
    """All controls."""
    results = bench.units("controls").do_all(plan(bench), bench)
    tree: dict[str, Any] = {}
    for name in ("before", "permuted", "rim"):
        tree[name] = {
            domain: results[unit]
            for domain, unit in (("simulated", f"{name}-simulated"), (bench.domain, f"{name}-target"))
            if unit in results
        }
    tree["shuffled"] = dict(results["shuffled-from-nothing"])
    for name, title in (("rim", "taught"), ("shuffled", "fine_tuned")):
        pieces = {unit: one for unit, one in results.items() if unit.startswith(f"{name}-draw")}
        if pieces:
            tree[name][title] = _taught(bench, list(pieces.values()))
    return tree


def measure_before(bench: Bench, domain: str) -> dict[str, Any]:
    """Supernovae before their detection."""
    objects, answers = _asked(bench, domain)
    return before_detection(objects, answers, resampling_of(bench, objects), _rng(bench, 1))


def measure_permuted(bench: Bench, domain: str) -> dict[str, Any]:
    """Recall of variable stars with their frames in another order, and what that costs."""
    objects, true, changed = _changed(bench, domain, permute_frames, _rng(bench, 2), VARIABLE)
    resampling, labels = resampling_of(bench, objects), objects.features.labels
    found: dict[str, Estimate] = {}
    for (model, stage), probabilities in changed.items():
        for label in VARIABLE:
            which = np.flatnonzero(labels == CLASSES.index(label))
            if len(which):
                before, after = (
                    resample(mean, _hits(said, labels)[:, which], resampling, which)
                    for said in (true[model, stage], probabilities)
                )
                found[f"{stage}/{model}/{RECALL}/{label}"] = after.share()
                found[f"{stage}/{model}/lost/{label}"] = (before - after).estimate()
    return tree_of(found)


def measure_rim(bench: Bench, domain: str) -> dict[str, Any]:
    """The pipeline's models where only the rim is left."""
    objects, _, changed = _changed(bench, domain, rim_alone, _rng(bench, 3), CLASSES)
    resampling, labels = resampling_of(bench, objects), objects.features.labels
    supernova = labels == _SUPERNOVA
    found: dict[str, Estimate] = {}
    for (model, stage), said in changed.items():
        recall = resample(mean_over(labels), _hits(said, labels), resampling)
        parted = resample(auc(supernova), said[:, :, -1, _SUPERNOVA], resampling)
        found[f"{stage}/{model}/{MEAN_RECALL}"] = recall.share()
        found[f"{stage}/{model}/auc_supernova"] = parted.share()
    return tree_of(found)


def measure_from_nothing(bench: Bench) -> dict[str, Any]:
    """Accuracy on simulated objects of both models, trained from nothing on labels shuffled anew each time.

    A classifier of shuffled labels still says one thing of like objects, so that whole classes are right or
    wrong together: what is one in seven is the mean over many shuffles.
    """
    preparation = bench.parameters.preparation
    train = bench.train.select(np.arange(min(len(bench.train), _TRAINED)))
    test = bench.test.select(np.arange(min(len(bench.test), _TESTED)))
    architecture = load_bundle(bench.pretrained).architecture
    seen, asked = (prepare(part.sequences, preparation) for part in (train, test))
    rows = [part.features.features[:, -1] for part in (train, test)]
    said: dict[str, list[Ints]] = {model: [] for model in MODELS}
    for shuffle in range(_SHUFFLES):
        seed = (bench.config.seed, 4, shuffle)
        said["rcnn"].append(network_of_shuffled(architecture, seen, asked, _FROM_NOTHING, seed))
        forest = bench.parameters.forest
        said["forest"].append(forest_of_shuffled(rows[0], train.features.labels, rows[1], forest, seed))
    resampling = resampling_of(bench, test)
    hits = {model: np.stack(classes) == test.features.labels for model, classes in said.items()}
    right = {model: resample(mean, one, resampling) for model, one in hits.items()}
    return tree_of({f"from_nothing/{model}/accuracy": one.share() for model, one in right.items()})


def teach_shuffled(bench: Bench, draw: int, fold: int) -> dict[str, Any]:
    """What is said of a fold by models taught with shuffled labels of the few sequences."""
    few, which, members = bench.few_shot, _shots(bench, draw, fold), np.flatnonzero(bench.folds == fold)
    seed = bench.split.pieces.index((draw, fold)) + 1
    shuffled = shuffle_shots(few, which, np.random.default_rng((bench.config.seed, seed)))
    held_out = bench.target.select(members)
    rcnn = shuffled.rcnn(which, seed, NullReporter())
    alone = baselines()["few_real_forest"].fit(shuffled.measured.select(which), seed)
    return {
        "draw": np.array(draw),
        "members": members,
        "rcnn": _last(rcnn, held_out.sequences),
        "forest": shuffled.grown_forest(which, seed).predict_features(held_out.features.features)[:, -1],
        "few_real_forest": alone.predict_proba(held_out.features),
    }


def teach_rim(bench: Bench, draw: int, fold: int) -> dict[str, Any]:
    """What is said of the rims of a fold by models taught with those of the few sequences."""
    few, which, members = bench.few_shot, _shots(bench, draw, fold), np.flatnonzero(bench.folds == fold)
    seed, preparation = bench.split.pieces.index((draw, fold)) + 1, bench.parameters.preparation
    rims = rim_alone(bench.target.sequences, _rng(bench, 3))
    measured = FeatureSet.of(rims, preparation)
    blind = replace(few, target=prepare(rims, preparation), measured=measured)
    taught = {
        name: baselines()[name].fit(measured.select(which), seed).predict_proba(measured.select(members))
        for name in ("few_real_forest", "border")
    }
    rcnn = _last(blind.rcnn(which, seed, NullReporter()), rims.select(members))
    return {"draw": np.array(draw), "members": members, "rcnn": rcnn, **taught}


def _taught(bench: Bench, pieces: list[Any]) -> dict[str, Any]:
    """Mean recall on the target of every model that was taught, over the draws."""
    labels, resampling = bench.target.features.labels, resampling_of(bench, bench.target)
    draws = sorted({int(piece["draw"]) for piece in pieces})
    models = [name for name in pieces[0] if name not in ("draw", "members")]
    hits = {model: np.zeros((len(draws), len(labels)), bool) for model in models}
    for piece in pieces:
        row, members = draws.index(int(piece["draw"])), piece["members"]
        for model in models:
            hits[model][row, members] = piece[model].argmax(axis=1) == labels[members]
    recalls = {model: resample(mean_over(labels), table, resampling) for model, table in hits.items()}
    return tree_of({f"{model}/{MEAN_RECALL}": recall.share() for model, recall in recalls.items()})


def _asked(bench: Bench, domain: str) -> tuple[Tested, Answers]:
    """Objects and what is said of them."""
    if domain == "target":
        return bench.target, cross_fitted(bench, bench.target, bench.folds)
    return bench.test, registered(bench, bench.test)


def _changed(
    bench: Bench, domain: str, change: Change, rng: np.random.Generator, labels: tuple[str, ...]
) -> tuple[Tested, Answers, Answers]:
    """Objects of some classes, what is said of them, and what is said of them changed."""
    target = domain == "target"
    every = bench.target if target else bench.test
    which = np.flatnonzero(np.isin(every.sequences.labels, labels))
    which = which if target else which[:_TESTED]
    objects = every.select(which)
    sequences = change(objects.sequences, rng)
    other = tested(bench, every.domain, sequences, objects.detections)
    if target:
        folds = bench.folds[which]
        return objects, cross_fitted(bench, objects, folds), cross_fitted(bench, other, folds)
    return objects, registered(bench, objects), registered(bench, other)


def _hits(probabilities: Floats, labels: Ints) -> NDArray[np.bool_]:
    """Which objects are classified rightly at the end, (D, N)."""
    return np.asarray(probabilities[:, :, -1].argmax(axis=-1) == labels)


def _last(classifier: RcnnClassifier, sequences: SequenceSet) -> Floats:
    """The last probabilities of each object, (N, 7)."""
    return classifier.predict(sequences)[sequences.offsets[1:] - 1]


def _shots(bench: Bench, draw: int, fold: int) -> Ints:
    return bench.target.features.indices(bench.split.shots[draw][fold])


def _rng(bench: Bench, control: int) -> np.random.Generator:
    return np.random.default_rng((bench.config.seed, control))


SECTION = Section("controls", "what must come out at chance, or be explained", run, plan)
