"""Fine-tuning on a few real sequences of each class (thesis 3.2.4).

Real labels may lack classes that the simulation has (HiTS: Cepheids, galaxies, asteroids); a share of
every batch is simulated, lest these be forgotten.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared, PreparedSet
from astroreel.training.config import FinetuneConfig, TrainingConfig
from astroreel.training.loop import Progress
from astroreel.training.reporter import Reporter
from astroreel.training.step import Stepper


def finetune(
    network: SequenceNetwork,
    real: Prepared,
    simulated: PreparedSet,
    config: FinetuneConfig,
    seed: int,
    reporter: Reporter,
    progress: Progress | None = None,
) -> None:
    """Train ``network``, in place, on real sequences mixed with simulated ones.

    Of both kinds, every class that is there is drawn equally often. The number of iterations is fixed,
    since no labelled real sequence can be spared to tell when to stop; the learning rate falls to
    nothing instead.

    Parameters
    ----------
    network
        Trained on simulated sequences.
    real, simulated
        Labelled sequences; ``simulated`` is not read where nothing is replayed.
    config
        Parameters.
    seed
        Makes the random draws of this fine-tuning its own, beside ``config.seed``.
    reporter
        Is told the loss some twenty times.
    progress
        Called with the iterations done and their total.

    Raises
    ------
    UserError
        Where there is no labelled sequence to draw from.
    Diverged
        Where the loss is no longer a number.
    """
    rng = np.random.default_rng((config.seed, seed))
    stepper = Stepper(network, _training(config, int(rng.integers(2**31))))
    real_chances = _class_balanced(real, "real")
    simulated_chances = _class_balanced(simulated, "simulated") if config.replay else None
    report_every = max(config.iterations // 20, 1)
    for iteration in range(config.iterations):
        batch = real.select(rng.choice(len(real), config.batch_size, p=real_chances))
        if simulated_chances is not None:
            batch = join(
                batch, simulated.select(rng.choice(len(simulated), config.replay, p=simulated_chances))
            )
        loss = stepper.step(batch, iteration)
        done = iteration + 1
        if done % report_every == 0:
            reporter.metrics({"train_loss": loss}, step=done)
        if progress is not None:
            progress(done, config.iterations)
    network.eval()


def _training(config: FinetuneConfig, seed: int) -> TrainingConfig:
    """The same parameters, as an iteration takes them."""
    return TrainingConfig(
        iterations=config.iterations,
        learning_rate=config.learning_rate,
        schedule="cosine",
        clip=config.clip,
        seed=seed,
        device=config.device,
    )


def join(first: Prepared, second: Prepared) -> Prepared:
    """The objects of both, padded to the longer."""
    longest = max(first.mask.shape[1], second.mask.shape[1])
    columns = {
        field.name: np.concatenate([_pad(getattr(part, field.name), longest) for part in (first, second)])
        for field in fields(Prepared)
    }
    return Prepared(**columns)


def _pad(array: NDArray[np.generic], longest: int) -> NDArray[np.generic]:
    if array.ndim == 1:
        return array
    width = [(0, 0)] * array.ndim
    width[1] = (0, longest - array.shape[1])
    return np.pad(array, width)


def _class_balanced(prepared: PreparedSet, name: str) -> NDArray[np.float64]:
    """The chance of each object, (N,), that makes all classes present equally likely."""
    labelled = prepared.labels >= 0
    if not labelled.any():
        raise UserError(f"fine-tuning: no labelled {name} sequence to draw from")
    counts = np.bincount(prepared.labels[labelled])
    weights = np.where(labelled, 1.0 / np.maximum(counts, 1)[prepared.labels], 0.0)
    return weights / weights.sum()
