"""The one training loop: thesis 3.2.4, with modern choices as options.

Everything random comes from the seed and is part of the checkpoint, so that a run that was stopped goes
on to the curve it would have had.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared
from astroreel.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from astroreel.training.reporter import Reporter

Progress = Callable[[int, int], None]

_EVALUATED_AT_ONCE = 512


class Diverged(RuntimeError):
    """The loss is no longer a number; says at which step, and which checkpoint is still good."""


class TrainingConfig(BaseModel):
    """How a network is trained.

    Attributes
    ----------
    iterations
        Number of batches (thesis: 30,000).
    batch_size
        Sequences a batch (thesis: 256).
    learning_rate
        Largest learning rate (thesis: 5e-4, constant).
    optimiser
        ``amsgrad`` as in the thesis, or ``adamw``.
    schedule
        ``constant``, or ``cosine`` down to nothing after ``warmup`` batches of linear rise.
    warmup
        Batches over which the learning rate rises.
    weight_decay
        Of AdamW.
    clip
        Largest norm of the gradient.
    label_smoothing
        Share of a label given to the other classes.
    flips
        Whether batches are mirrored and turned by quarters at random.
    validate_every
        Batches between two looks at the validation set, and between two checkpoints.
    seed
        Seed of weights, batches and dropout.
    device
        ``auto`` takes a GPU where there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    iterations: int = Field(30_000, ge=1)
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    optimiser: Literal["amsgrad", "adamw"] = "amsgrad"
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(0, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    flips: bool = True
    validate_every: int = Field(100, ge=1)
    seed: int = Field(1, ge=0)
    device: str = "auto"


@dataclass
class TrainingResult:
    """What a training gave.

    Attributes
    ----------
    best_loss, best_step
        Lowest validation loss and the batch it came after; the network holds those weights.
    history
        One entry for each validation: ``step``, ``train_loss``, ``valid_loss``, ``valid_accuracy``
        (after the last epoch of each object) and ``sequences_per_s``.
    """

    best_loss: float = float("inf")
    best_step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Tensors:
    """A prepared set on a device; see `Prepared`."""

    stamps: Tensor
    times: Tensor
    conditions: Tensor
    mask: Tensor
    labels: Tensor

    @classmethod
    def of(cls, prepared: Prepared, which: NDArray[np.int64] | slice, device: torch.device) -> Tensors:
        """The objects chosen, cut to the longest of them."""
        mask = prepared.mask[which]
        longest = int(mask.sum(axis=1).max(initial=1))
        arrays = (
            prepared.stamps[which, :longest],
            prepared.times[which, :longest],
            prepared.conditions[which, :longest],
            mask[:, :longest],
            prepared.labels[which],
        )
        return cls(*(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays))

    def logits(self, network: SequenceNetwork) -> Tensor:
        """The network's logits, (B, T, 7)."""
        logits: Tensor = network(self.stamps, self.times, self.conditions, self.mask)
        return logits


def choose_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` means."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def train(
    network: SequenceNetwork,
    train_set: Prepared,
    valid_set: Prepared,
    config: TrainingConfig,
    reporter: Reporter,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network; it ends with the weights of the lowest validation loss.

    Parameters
    ----------
    network
        Changed in place; moved to the device.
    train_set, valid_set
        Labelled sets.
    config
        Optimiser, schedule and seed.
    reporter
        Told the history while it grows.
    checkpoint
        File that holds the state of a run that was stopped; None: the run cannot be resumed.
    progress
        Called with the number of batches done and in all.

    Raises
    ------
    Diverged
        Where the loss is no longer finite.
    """
    run = _Run(network, config)
    result = TrainingResult()
    best = _weights(network)
    if checkpoint is not None and (state := load_checkpoint(checkpoint)) is not None:
        best = run.restore(state)
        result = TrainingResult(**state.notes["result"])
    while run.step < config.iterations:
        started, first = time.perf_counter(), run.step
        losses = [run.one_batch(train_set) for _ in range(_until_validation(run.step, config))]
        if not np.isfinite(losses).all():
            good = "none" if checkpoint is None or not checkpoint.exists() else str(checkpoint)
            raise Diverged(f"the loss is not finite near batch {run.step}; last good checkpoint: {good}")
        speed = (run.step - first) * config.batch_size / (time.perf_counter() - started)
        loss, accuracy = validate(network, valid_set, run.device)
        entry = {"train_loss": float(np.mean(losses)), "valid_loss": loss, "valid_accuracy": accuracy}
        result.history.append({"step": float(run.step), **entry, "sequences_per_s": speed})
        reporter.metrics({**entry, "sequences_per_s": speed}, step=run.step)
        if loss < result.best_loss:
            result.best_loss, result.best_step, best = loss, run.step, _weights(network)
        if checkpoint is not None:
            save_checkpoint(checkpoint, run.snapshot(best, result))
        if progress is not None:
            progress(run.step, config.iterations)
    network.load_state_dict(best)
    return result


def sequence_loss(logits: Tensor, mask: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy, its mean over all valid epochs of a batch.

    The thesis sums over epochs (3.2.4); the mean has the same direction for batches of like length, and
    its size does not hang on how long the sequences of a batch happen to be.
    """
    wanted = labels[:, None].expand_as(mask)[mask]
    return functional.cross_entropy(logits[mask], wanted, label_smoothing=label_smoothing)


@torch.inference_mode()
def validate(network: SequenceNetwork, prepared: Prepared, device: torch.device) -> tuple[float, float]:
    """Mean loss over valid epochs, and accuracy after the last epoch of each object."""
    network.eval()
    total, epochs, right = 0.0, 0, 0
    for batch in _in_order(prepared, device):
        logits = batch.logits(network)
        n = int(batch.mask.sum())
        total += float(sequence_loss(logits, batch.mask, batch.labels)) * n
        epochs += n
        last = logits[torch.arange(len(logits), device=device), batch.mask.sum(dim=1) - 1]
        right += int((last.argmax(dim=1) == batch.labels).sum())
    network.train()
    return total / epochs, right / len(prepared)


def _in_order(prepared: Prepared, device: torch.device) -> Iterator[Tensors]:
    for start in range(0, len(prepared), _EVALUATED_AT_ONCE):
        yield Tensors.of(prepared, slice(start, start + _EVALUATED_AT_ONCE), device)


def turned(stamps: Tensor, generator: torch.Generator) -> Tensor:
    """All stamps of a batch mirrored and turned by one of the eight symmetries of the square."""
    choice = int(torch.randint(8, (), generator=generator))
    stamps = torch.rot90(stamps, choice % 4, dims=(-2, -1))
    return torch.flip(stamps, dims=(-1,)) if choice >= 4 else stamps


class _Run:
    """A training in progress: network, optimiser, generators, step."""

    def __init__(self, network: SequenceNetwork, config: TrainingConfig) -> None:
        self.network, self.config, self.step = network, config, 0
        self.device = choose_device(config.device)
        network.to(self.device).train()
        self.optimiser = make_optimiser(network, config)
        self.batches = np.random.default_rng(config.seed)
        self.symmetries = torch.Generator().manual_seed(config.seed)
        # Dropout has no generator of its own in torch; its global one is set here and nowhere else.
        torch.manual_seed(config.seed)

    def one_batch(self, train_set: Prepared) -> float:
        """One step of the optimiser; returns the loss."""
        which = self.batches.integers(len(train_set), size=self.config.batch_size)
        batch = Tensors.of(train_set, which, self.device)
        loss = self._loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    def _loss(self, batch: Tensors) -> Tensor:
        stamps = turned(batch.stamps, self.symmetries) if self.config.flips else batch.stamps
        logits = self.network(stamps, batch.times, batch.conditions, batch.mask)
        return sequence_loss(logits, batch.mask, batch.labels, self.config.label_smoothing)

    def snapshot(self, best: dict[str, Tensor], result: TrainingResult) -> RunState:
        """Everything that `restore` needs."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(t) for name, t in state.items()}
        tensors["symmetries"] = self.symmetries.get_state()
        tensors["torch"] = torch.get_rng_state()
        notes = {"step": self.step, "batches": self.batches.bit_generator.state, "result": vars(result)}
        return RunState(tensors, notes)

    def restore(self, state: RunState) -> dict[str, Tensor]:
        """Go back to a snapshot; returns the best weights so far."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
        for name, tensor in state.tensors.items():
            part, _, rest = name.partition(".")
            if rest:
                parts[part][rest] = tensor
        self.network.load_state_dict(parts["network"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimiser"].items():
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.symmetries.set_state(state.tensors["symmetries"])
        torch.set_rng_state(state.tensors["torch"])
        self.batches.bit_generator.state = state.notes["batches"]
        self.step = int(state.notes["step"])
        return parts["best"]


def make_optimiser(network: SequenceNetwork, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser that a configuration names."""
    if config.optimiser == "amsgrad":
        return torch.optim.Adam(network.parameters(), lr=config.learning_rate, amsgrad=True)
    return torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The learning rate of the batch after ``step`` batches."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup) / max(config.iterations - config.warmup, 1)
    return config.learning_rate * 0.5 * (1.0 + float(np.cos(np.pi * done)))


def _until_validation(step: int, config: TrainingConfig) -> int:
    return min(config.validate_every - step % config.validate_every, config.iterations - step)


def _weights(network: SequenceNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
