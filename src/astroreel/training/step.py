"""One iteration of gradient descent on a batch of sequences (thesis 3.2.4)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from astroreel.errors import UserError
from astroreel.models.inference import tensors, trim
from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared
from astroreel.training.augment import disturb, flip_and_turn, mix
from astroreel.training.config import TrainingConfig
from astroreel.training.device import choose_device


class Diverged(UserError):
    """The loss or the gradient is no longer a number; the weights are still those before."""


class Stepper:
    """A network with its optimiser.

    All randomness of an iteration comes from ``config.seed`` and the iteration's number, so that training can
    be taken up again at any iteration without a word about generators.
    """

    def __init__(self, network: SequenceNetwork, config: TrainingConfig) -> None:
        self.config = config
        self.device = choose_device(config.device)
        self.network = network.to(self.device).train()
        self.optimiser = make_optimiser(network, config)

    def step(self, batch: Prepared, iteration: int) -> float:
        """Take iteration number ``iteration``, from 0, and return the loss before it.

        The loss is the cross-entropy summed over objects and epochs, as in the thesis, divided by the
        number of epochs: only the optimiser's scale, to which AMSGrad is blind, depends on that.

        Raises `Diverged` where the loss or the gradient is not finite.
        """
        seed = int(np.random.SeedSequence((self.config.seed, iteration)).generate_state(1)[0])
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, iteration)
        # Dropout draws from PyTorch's global generators, so they are borrowed and given back.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            loss = self._loss(batch, torch.Generator().manual_seed(seed))
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        value = loss.item()
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise Diverged(
                f"training diverged at iteration {iteration}: loss {value}, gradient {float(norm)}: "
                f"try a learning rate below {self.config.learning_rate}"
            )
        self.optimiser.step()
        return value

    def _loss(self, batch: Prepared, generator: torch.Generator) -> Tensor:
        batch, config = trim(batch), self.config
        stamps, times, conditions, mask = tensors(batch, self.device)
        labels = torch.from_numpy(batch.labels).to(self.device)
        targets = labels[:, None].expand(mask.shape)
        if config.flips:
            stamps = flip_and_turn(stamps, generator)
        if config.condition_noise:
            conditions = disturb(conditions, mask, config.condition_noise, generator)
        if config.mixup:
            stamps, targets = mix(stamps, mask, labels, config.mixup, generator)
        half = config.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = self.network(stamps, times, conditions, mask)[mask]
        return functional.cross_entropy(logits.float(), targets[mask], label_smoothing=config.label_smoothing)


def make_optimiser(network: SequenceNetwork, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser that a configuration names."""
    if config.optimiser == "amsgrad":
        return torch.optim.Adam(network.parameters(), config.learning_rate, amsgrad=True)
    return torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)


def learning_rate(config: TrainingConfig, iteration: int) -> float:
    """The learning rate of an iteration."""
    rate = config.learning_rate * min(1.0, (iteration + 1) / max(config.warmup, 1))
    if config.schedule == "cosine":
        rate *= 0.5 * (1.0 + math.cos(math.pi * iteration / config.iterations))
    return rate
