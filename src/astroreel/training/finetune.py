"""Fine-tuning on a few real sequences of each class (thesis 3.2.4).

Real labels may lack classes that the simulation has (HiTS: Cepheids, galaxies, asteroids); a share of
every batch is simulated, lest these be forgotten.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray
from torch import nn

from astroreel.errors import UserError
from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared, PreparedSet
from astroreel.training.config import FinetuneConfig, TrainingConfig
from astroreel.training.loop import Progress
from astroreel.training.reporter import Reporter
from astroreel.training.step import SHARE, Stepper


def finetune(
    network: SequenceNetwork,
    real: Prepared,
    simulated: PreparedSet,
    config: FinetuneConfig,
    seed: int,
    reporter: Reporter,
    progress: Progress | None = None,
    trust: NDArray[np.float64] | None = None,
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
    trust
        (N,) from 0 to 1, how far each real label is trusted: within its class it is drawn as often (None:
        all alike).

    Raises
    ------
    UserError
        Where there is no labelled sequence to draw from.
    Diverged
        Where the loss is no longer a number.
    """
    rng = np.random.default_rng((config.seed, seed))
    stepper = Stepper(network, _training(config, int(rng.integers(2**31))))
    if config.trunk_rate != 1.0:
        _slow_trunk(stepper, config.trunk_rate)
    real_chances = _class_balanced(real, "real", trust)
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
    network.requires_grad_(True).eval()


def _training(config: FinetuneConfig, seed: int) -> TrainingConfig:
    """The same parameters, as an iteration takes them."""
    return TrainingConfig(
        iterations=config.iterations,
        learning_rate=config.learning_rate,
        schedule="cosine",
        clip=config.clip,
        flips=config.flips,
        mixup=config.mixup,
        condition_noise=config.condition_noise,
        sky_noise=config.sky_noise,
        seed=seed,
        device=config.device,
    )


def _slow_trunk(stepper: Stepper, rate: float) -> None:
    """Let all layers but the last learn at ``rate`` times the learning rate."""
    last = [module for module in stepper.network.modules() if isinstance(module, nn.Linear)][-1]
    head = {id(parameter) for parameter in last.parameters()}
    (group,) = stepper.optimiser.param_groups
    everything = group["params"]
    group["params"] = [parameter for parameter in everything if id(parameter) in head]
    trunk = [parameter for parameter in everything if id(parameter) not in head]
    if rate:
        stepper.optimiser.add_param_group({"params": trunk, SHARE: rate})
    else:
        for parameter in trunk:
            parameter.requires_grad_(False)


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


def _class_balanced(
    prepared: PreparedSet, name: str, trust: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The chance of each object, (N,), that makes all classes present equally likely."""
    weights = np.where(prepared.labels >= 0, 1.0 if trust is None else trust, 0.0)
    if not weights.any():
        raise UserError(f"fine-tuning: no labelled {name} sequence to draw from")
    totals = np.bincount(np.maximum(prepared.labels, 0), weights)
    weights = weights / np.where(totals > 0, totals, 1.0)[np.maximum(prepared.labels, 0)]
    return weights / weights.sum()
