"""What giving up trials buys: the search beside a random one of whole trials, at equal iterations.

Over 20 seeds on made-up sequences; the sign test says how likely so many wins are by luck.

Run: python benchmarks/bench_search.py [number of seeds]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import optuna
from record import record
from scipy.stats import binomtest

from astroreel.classes import CLASSES
from astroreel.sequences.prepare import Prepared
from astroreel.training.config import SearchConfig, TrainingConfig
from astroreel.training.reporter import NullReporter
from astroreel.training.search import run_search
from astroreel.training.space import suggest
from astroreel.training.trial import run_trial

TRIALS, ITERATIONS, LOOK, EPOCHS = 27, 54, 6, 6
_HALF = 10


class Counter(NullReporter):
    """Counts the iterations of all trials."""

    def __init__(self) -> None:
        self.ended = self.current = 0

    def child(self, name: str) -> Counter:
        self.ended, self.current = self.iterations, 0
        return self

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.current = max(self.current, step or 0)

    @property
    def iterations(self) -> int:
        """Iterations so far."""
        return self.ended + self.current


def sequences(n: int, rng: np.random.Generator) -> Prepared:
    """Stars as bright as their class, give or take, every other class changing from frame to frame."""
    labels = rng.integers(len(CLASSES), size=n)
    times = np.cumsum(rng.uniform(0.1, 1.0, (n, EPOCHS)), axis=1)
    level = 150.0 * 2.0 ** (labels // 2 + 0.4 * rng.standard_normal(n))
    change = np.where(labels % 2, 0.4, 0.05)[:, None] * rng.standard_normal((n, EPOCHS))
    radius = np.arange(-_HALF, _HALF + 1.0) ** 2
    star = np.exp(-(radius[:, None] + radius) / 8.0)
    stamps = (level[:, None] * np.exp(change))[..., None, None] * star
    stamps += rng.normal(0, 8.0, stamps.shape)
    conditions = np.tile([5.0, 1.3, 0.9, -1.5], (n, EPOCHS, 1))
    mask = np.ones((n, EPOCHS), bool)
    arrays = (stamps, times - times[:, :1], conditions)
    return Prepared(*(array.astype(np.float32) for array in arrays), mask, labels)


def random_search(config: SearchConfig, train: Prepared, valid: Prepared, iterations: int) -> float:
    """The lowest loss of whole trials drawn at random, as many as the iterations pay for."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=config.seed))
    losses = []
    for _ in range(max(round(iterations / config.training.iterations), 1)):
        trial = study.ask()
        suggest(trial, config)
        losses.append(run_trial(trial.params, train, valid, config, NullReporter())[0])
    return min(losses)


def main(seeds: int = 20) -> None:
    """Print and record how often the search wins."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng(0)
    train, valid = sequences(512, rng), sequences(256, rng)
    gains = []
    for seed in range(seeds):
        training = TrainingConfig(
            iterations=ITERATIONS,
            batch_size=32,
            optimiser="adamw",
            validate_every=LOOK,
            seed=seed,
            device="cpu",
        )
        config = SearchConfig(trials=TRIALS, seed=seed, training=training)
        counter = Counter()
        with tempfile.TemporaryDirectory() as folder:
            found = run_search(config, train, valid, counter, Path(folder)).best.loss
        other = random_search(config, train, valid, counter.iterations)
        gains.append(other - found)
        print(f"seed {seed:2d}: search {found:.3f}, random {other:.3f}, {counter.iterations} iterations")
    wins = int(np.sum(np.array(gains) > 0))
    p = binomtest(wins, seeds, alternative="greater").pvalue
    print(
        f"the search wins {wins} of {seeds} (sign test p = {p:.4f}), median gain {np.median(gains):.3f} nat"
    )
    record(
        "search", {"wins": wins, "seeds": seeds, "sign_test_p": p, "median_gain_nat": float(np.median(gains))}
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
