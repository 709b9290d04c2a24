"""One iteration of gradient descent on a batch of sequences (thesis 3.2.4)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from astroreel.errors import UserError
from astroreel.models.batch_renorm import BatchRenorm
from astroreel.models.inference import tensors, trim
from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared
from astroreel.training.augment import disturb, flip_and_turn, mistake_sky, mix
from astroreel.training.config import TrainingConfig
from astroreel.training.device import choose_device
from astroreel.training.group import ALONE, Group

#: In an optimiser's group of parameters: its learning rate over that of the schedule.
SHARE = "share"


class Diverged(UserError):
    """The loss or the gradient is no longer a number; the weights are still those before."""


class Stepper:
    """A network with its optimiser.

    All randomness of an iteration comes from ``config.seed`` and the iteration's number, so that training can
    be taken up again at any iteration without a word about generators.

    Of several processes each has the same network and takes its share of a batch; loss and gradient are
    those of the whole batch, and so are the statistics of batch renormalisation. What differs from one
    process: each draws dropout, mixup and noise by itself, and plain batch normalisation sees its share.
    """

    def __init__(self, network: SequenceNetwork, config: TrainingConfig, group: Group = ALONE) -> None:
        self.config = config
        self.group = group
        self.device = choose_device(config.device)
        self.network = network.to(self.device).train()
        self._forward: nn.Module = self.network
        if group.size > 1:
            self._forward = DistributedDataParallel(self.network)
            for layer in self.network.modules():
                if isinstance(layer, BatchRenorm):
                    layer.together = True
        self.optimiser = make_optimiser(network, config)

    def step(self, batch: Prepared, iteration: int) -> float:
        """Take iteration number ``iteration``, from 0, and return the loss before it.

        ``batch`` is this process's share of the batch.

        The loss is the cross-entropy summed over objects and epochs, as in the thesis, divided by the
        number of epochs: only the optimiser's scale, to which AMSGrad is blind, depends on that.

        Raises `Diverged` where the loss or the gradient is not finite.
        """
        for settings in self.optimiser.param_groups:
            settings["lr"] = settings.get(SHARE, 1.0) * learning_rate(self.config, iteration)
        # Dropout draws from PyTorch's global generators, so they are borrowed and given back.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(_seed(self.config.seed, iteration, self.group.rank))
            loss = self._loss(batch, iteration)
        self.optimiser.zero_grad()
        (self.group.size * loss).backward()  # gradients are averaged over the processes, not added
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        value = self.group.total(loss.detach()).item()
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise Diverged(
                f"training diverged at iteration {iteration}: loss {value}, gradient {float(norm)}: "
                f"try a learning rate below {self.config.learning_rate}"
            )
        self.optimiser.step()
        return value

    def precision(self) -> torch.autocast:
        """A context in which the network computes in the precision of the configuration."""
        half = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def _loss(self, batch: Prepared, iteration: int) -> Tensor:
        """What this process's share adds to the loss of the batch."""
        batch, config = trim(batch), self.config
        seeds = (_seed(config.seed, iteration, rank) for rank in (0, self.group.rank))
        common, own = (torch.Generator().manual_seed(seed) for seed in seeds)
        stamps, times, conditions, mask = tensors(batch, self.device)
        labels = torch.from_numpy(batch.labels).to(self.device)
        targets = labels[:, None].expand(mask.shape)
        if config.flips:
            stamps = flip_and_turn(stamps, common)
        if config.sky_noise:
            stamps = mistake_sky(stamps, conditions, mask, config.sky_noise, own)
        if config.condition_noise:
            conditions = disturb(conditions, mask, config.condition_noise, own)
        if config.mixup:
            stamps, targets = mix(stamps, mask, labels, config.mixup, own)
        with self.precision():
            logits = self._forward(stamps, times, conditions, mask)[mask]
        mean = functional.cross_entropy(logits.float(), targets[mask], label_smoothing=config.label_smoothing)
        epochs = mask.sum()
        return mean * (epochs / self.group.total(epochs))


def _seed(*numbers: int) -> int:
    """One seed of several numbers; trailing zeros make no difference."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


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
