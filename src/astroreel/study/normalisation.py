"""Which normalisation between the convolutions lets the thesis's network train evenly (Figure 4.11).

The thesis saw very unstable curves with batch normalisation, even ones without any, and better ones with
batch renormalisation, and could not tell a property of the network from an error in its code (4.4.1). Here a
narrow copy of its network is trained with each of them, all else being equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from astroreel.evaluation.estimate import CONFIDENCE, Estimate
from astroreel.models.networks import build
from astroreel.models.thesis import Norm
from astroreel.sequences.prepare import LazyPrepared, Prepared, prepare
from astroreel.sequences.store import load_store
from astroreel.study.bench import Bench
from astroreel.study.section import Section
from astroreel.study.units import Result, Unit
from astroreel.training.config import TrainingConfig
from astroreel.training.loop import train
from astroreel.training.reporter import NullReporter
from astroreel.training.step import Diverged

NORMS: tuple[Norm, ...] = get_args(Norm)

#: Batches of a training, and trainings of each normalisation that differ in their seed, by budget.
_ITERATIONS = {"quick": 200, "full": 1000}
_SEEDS = {"quick": 3, "full": 5}

#: An eighth of Table 3.3's filters and units.
_NARROW = {"filters": 8, "dense": 128, "units": 64}
_BATCH_SIZE = 32

#: Batches between two looks at the validation set, and how many of its objects these take.
_LOOK_EVERY = 10
_VALID_OBJECTS = 350

_GUESS = 40.0  # [s] of a training at the budget ``quick``


def architecture(norm: Norm, iterations: int) -> dict[str, Any]:
    """The narrow network; its batch renormalisation keeps the proportions of the thesis's schedule."""
    return {
        "name": "thesis",
        "norm": norm,
        "renorm_warmup": iterations // 6,
        "renorm_ramp": max(2 * iterations // 3, 1),
        **_NARROW,
    }


def training(iterations: int, seed: int) -> TrainingConfig:
    """The thesis's training (3.2.4) with smaller batches."""
    return TrainingConfig(
        iterations=iterations, batch_size=_BATCH_SIZE, validate_every=_LOOK_EVERY, seed=seed, device="cpu"
    )


def plan(bench: Bench) -> list[Unit]:
    """A training of each normalisation and seed."""
    iterations, guess = _ITERATIONS[bench.budget], _GUESS * _ITERATIONS[bench.budget] / _ITERATIONS["quick"]
    units = []
    for norm in NORMS:
        for seed in range(1, _SEEDS[bench.budget] + 1):
            config = training(iterations, seed)
            key = [architecture(norm, iterations), config.model_dump(mode="json"), _VALID_OBJECTS]
            units.append(Unit(_name(norm, seed), key, partial(learning_curve, norm, config), guess))
    return units


def learning_curve(norm: Norm, config: TrainingConfig, bench: Bench) -> Result:
    """Loss and accuracy at every look of one training; one that diverges ends early."""
    preparation, simulated = bench.parameters.preparation, bench.data / "simulated"
    train_set = LazyPrepared(load_store(simulated / "train"), preparation)
    valid = load_store(simulated / "valid")
    evenly = np.linspace(0, len(valid), min(_VALID_OBJECTS, len(valid)), endpoint=False).astype(np.int64)
    valid_set: Prepared = prepare(valid.select(evenly), preparation)
    network = build(architecture(norm, config.iterations), config.seed)
    curve = _Curve()
    try:
        train(network, train_set, valid_set, config, curve)
    except Diverged:
        curve.diverged = True
    return {
        "iteration": curve.iteration,
        "valid_loss": curve.valid_loss,
        "valid_accuracy": curve.valid_accuracy,
        "diverged": curve.diverged,
    }


def run(bench: Bench) -> dict[str, Any]:
    """Train, and put the curves together.

    Below each normalisation: ``jump``, the median over the second half of a training of the change of the
    validation loss between two looks [nat]; ``rise``, the largest height of that loss above its least so far;
    ``accuracy`` at the look with the least loss; each the mean over the seeds (n) that did not diverge.
    ``diverged`` counts the others. ``curves`` holds a list over seeds of lists over looks.
    """
    results = bench.units(SECTION.name).do_all(plan(bench), bench)
    seeds = range(1, _SEEDS[bench.budget] + 1)
    return {norm: _branch([results[_name(norm, seed)] for seed in seeds]) for norm in NORMS}


SECTION = Section(
    "normalisation",
    "how evenly the thesis's network trains under each normalisation (Figure 4.11)",
    run,
    plan,
)


class _Curve(NullReporter):
    """Keeps what the training tells of its looks."""

    def __init__(self) -> None:
        self.iteration: list[int] = []
        self.valid_loss: list[float] = []
        self.valid_accuracy: list[float] = []
        self.diverged = False

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        if step is not None:
            self.iteration.append(step)
            self.valid_loss.append(round(values["valid_loss"], 4))
            self.valid_accuracy.append(round(values["valid_accuracy"], 4))


def _name(norm: Norm, seed: int) -> str:
    return f"{norm}-{seed}"


def _branch(curves: list[Result]) -> dict[str, Any]:
    whole = [curve for curve in curves if not curve["diverged"]]
    losses = [np.array(curve["valid_loss"]) for curve in whole]
    figures = {
        "jump": [float(np.median(np.abs(np.diff(_second_half(loss))))) for loss in losses],
        "rise": [float(_second_half(loss - np.minimum.accumulate(loss)).max()) for loss in losses],
        "accuracy": [curve["valid_accuracy"][int(np.argmin(curve["valid_loss"]))] for curve in whole],
    }
    return {
        **{name: over_seeds(np.array(values)).to_json() for name, values in figures.items() if values},
        "diverged": len(curves) - len(whole),
        "curves": {
            name: [curve[name] for curve in curves] for name in ("iteration", "valid_loss", "valid_accuracy")
        },
    }


def _second_half(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[len(values) // 2 :]


def over_seeds(values: NDArray[np.float64]) -> Estimate:
    """Mean over seeds (n,) of what is never negative, with Student's interval; of one seed but the value."""
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Estimate(mean, mean, mean, n)
    spread = float(values.std(ddof=1))
    half = float(student.ppf(0.5 + CONFIDENCE / 2, n - 1)) * spread / np.sqrt(n)
    return Estimate(mean, max(mean - half, 0.0), mean + half, n, spread)
