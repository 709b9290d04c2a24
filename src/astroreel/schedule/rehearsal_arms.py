"""What a season's scheduled fine-tuning is compared with, on the same hold-out.

Labels bought at random and labels chosen, as many as had arrived after each batch, the network each time
fine-tuned from the one that saw no real label; all labels at once; and a forest grown anew after each batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from astroreel.arrivals.choose import choose, log_odds
from astroreel.classes import CLASSES, class_indices
from astroreel.evaluation.metrics import by_sample_count
from astroreel.evaluation.tested import Tested
from astroreel.models.bundle import load_bundle
from astroreel.models.forest import ForestClassifier
from astroreel.models.rcnn import RcnnClassifier
from astroreel.schedule.season import Season
from astroreel.schedule.season_config import SeasonConfig
from astroreel.study.bench import Bench
from astroreel.study.units import Result, Unit, Units
from astroreel.training.few_shot import FewShot
from astroreel.training.reporter import NullReporter

Floats = NDArray[np.float64]

#: Classes by the names of objects.
Labels = Mapping[str, str]

RANDOM, CHOSEN, FOREST = "random", "chosen", "forest"

#: Seconds of a fine-tuning and of a forest at the scale default on one processor, until they are measured.
_TUNED, _GROWN = 40.0, 15.0


@dataclass(frozen=True)
class Arms:
    """The arms of one season.

    Attributes
    ----------
    bench
        What they start from.
    season, config
        Whose labels they buy, the wrong ones among them, and how many.
    units
        Where their parts are kept.
    """

    bench: Bench
    season: Season
    config: SeasonConfig
    units: Units

    @cached_property
    def labels(self) -> Labels:
        """What the season says of each object, in the order of its arrival."""
        return {arrival.name: arrival.label for batch in self.season.own for arrival in batch}

    @cached_property
    def sizes(self) -> list[int]:
        """Labels that have arrived: none, and after each batch."""
        return [0, *(int(size) for size in np.cumsum([len(batch) for batch in self.season.own]))]

    def plan(self) -> list[Unit]:
        """All parts; what is chosen becomes known only part by part."""
        chosen = [self._tuned(CHOSEN, [], seed, size) for seed in self._seeds for size in self.sizes[1:-1]]
        return [*self._beforehand(), *chosen]

    def left(self) -> list[Unit]:
        """The parts that have no file yet."""
        return [unit for unit in self.plan() if not (self.units.folder / f"{unit.name}.npz").exists()]

    def run(self) -> dict[str, Floats]:
        """Class probabilities of the N objects of the hold-out by arm, (seeds, sizes, N, 7).

        The network's arms begin with no label and end with all of them, where they are one.
        """
        done = self.units.do_all(self._beforehand(), self.bench)
        chosen = [self._choosing(seed, done["none"]) for seed in self._seeds]
        bought = [[done[f"{RANDOM}-{s}-{size}"] for size in self.sizes[1:-1]] for s in self._seeds]
        ends = [done[f"all-{seed}"] for seed in self._seeds]
        arms = {RANDOM: bought, CHOSEN: chosen}
        tables = {
            arm: [[done["none"], *few, last] for few, last in zip(parts, ends, strict=True)]
            for arm, parts in arms.items()
        }
        tables[FOREST] = [[done[f"{FOREST}-{size}"] for size in self.sizes]]
        return {
            arm: np.array([[part["holdout"] for part in parts] for parts in table])
            for arm, table in tables.items()
        }

    @property
    def _seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.config.seeds)

    def _beforehand(self) -> list[Unit]:
        """The parts whose labels depend on nothing that is still to be measured."""
        names = list(self.labels)
        orders = {s: np.random.default_rng(s).permutation(names).tolist() for s in self._seeds}
        few = self.sizes[1:-1]
        return [
            Unit("none", names, partial(_untuned, names), _TUNED / 10),
            *(self._grown(names[:size]) for size in self.sizes),
            *(self._tuned("all", names, seed) for seed in self._seeds),
            *(self._tuned(RANDOM, orders[s][:size], s, size) for s in self._seeds for size in few),
        ]

    def _choosing(self, seed: int, untuned: Result) -> list[Result]:
        """What comes of labels that are chosen by what was learned from those before."""
        pool = np.array(list(self.labels))
        known: list[str] = []
        said, results = untuned["pool"], []
        for size in self.sizes[1:-1]:
            rest = np.flatnonzero(~np.isin(pool, known))
            counts = np.bincount(class_indices([self.labels[n] for n in known]), minlength=len(CLASSES))
            rng = np.random.default_rng((seed, size))
            picked = choose(said[rest], log_odds(said[rest]), size - len(known), rng, counts)
            known += pool[rest[picked]].tolist()
            unit = self._tuned(CHOSEN, known, seed, size)
            results.append(self.units.do_all([unit], self.bench)[unit.name])
            said = results[-1]["pool"]
        return results

    def _tuned(self, arm: str, names: Iterable[str], *numbers: int) -> Unit:
        """A network, fine-tuned with the first of ``numbers`` as its seed."""
        labels = self._of(names)
        compute = partial(_tune, labels, list(self.labels), numbers[0])
        return Unit("-".join(map(str, (arm, *numbers))), labels, compute, _TUNED)

    def _grown(self, names: Iterable[str]) -> Unit:
        labels = self._of(names)
        return Unit(f"{FOREST}-{len(labels)}", labels, partial(_grow, labels, self.config.seed), _GROWN)

    def _of(self, names: Iterable[str]) -> dict[str, str]:
        return {name: self.labels[name] for name in sorted(names)}


def held_out(bench: Bench) -> Tested:
    """The target's objects that nothing learns from."""
    return bench.target.select(np.flatnonzero(bench.folds == bench.parameters.registry.fold))


def answers(classifier: RcnnClassifier, objects: Tested) -> Floats:
    """What a network says of objects after their last samples, (N, 7)."""
    rows = classifier.predict(objects.sequences)
    return by_sample_count(rows, objects.sequences.offsets)[:, -1].astype(float)


def _pool(bench: Bench, names: list[str]) -> Tested:
    return bench.target.select(bench.target.features.indices(names))


def _untuned(pool: list[str], bench: Bench) -> Result:
    classifier = RcnnClassifier.from_bundle(load_bundle(bench.pretrained))
    return {
        "holdout": answers(classifier, held_out(bench)),
        "pool": answers(classifier, _pool(bench, pool)),
    }


def _tune(labels: dict[str, str], pool: list[str], seed: int, bench: Bench) -> Result:
    few = _relabelled(bench.few_shot, labels)
    classifier = few.rcnn(few.measured.indices(list(labels)), seed, NullReporter())
    return {
        "holdout": answers(classifier, held_out(bench)),
        "pool": answers(classifier, _pool(bench, pool)),
    }


def _grow(labels: dict[str, str], seed: int, bench: Bench) -> Result:
    if labels:
        few = _relabelled(bench.few_shot, labels)
        grown = few.grown_forest(few.measured.indices(list(labels)), seed)
    else:
        grown = ForestClassifier.from_bundle(load_bundle(bench.forest))
    features = held_out(bench).features.features.astype(np.float64)
    return {"holdout": grown.predict_features(features)[:, -1]}


def _relabelled(few: FewShot, labels: dict[str, str]) -> FewShot:
    """The same with the labels that are given, be they wrong."""
    said = few.measured.labels.copy()
    said[few.measured.indices(list(labels))] = class_indices(list(labels.values()))
    return replace(few, target=replace(few.target, labels=said), measured=replace(few.measured, labels=said))
