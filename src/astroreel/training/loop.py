"""The training loop: many iterations, a look at the validation set now and then, the best one kept."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared
from astroreel.training.checkpoint import (
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from astroreel.training.config import TrainingConfig
from astroreel.training.group import ALONE, Group
from astroreel.training.reporter import Reporter
from astroreel.training.step import Diverged, Stepper, learning_rate
from astroreel.training.validation import validate

#: Told how much is done, and of how much.
Progress = Callable[[int, int], None]


class TrainingSet(Protocol):
    """What a network is trained on: labelled sequences, stored or simulated on the way."""

    def batches(
        self, size: int, seed: int, first: int = 0, part: int = 0, parts: int = 1
    ) -> Generator[Prepared]:
        """Batch number ``first`` and all that follow, without end; a number always means the same batch.

        With ``parts`` above 1, of each batch its part number ``part``; together the parts are the batch.
        """

    def fingerprint(self) -> str:
        """A digest that tells two sets apart."""


@dataclass(frozen=True)
class Look:
    """One look at the validation set.

    Attributes
    ----------
    iteration
        Iterations done.
    learning_rate
        Of the last of them.
    train_loss
        Mean loss of the batches since the look before.
    valid_loss, valid_accuracy, accuracy_by_samples
        As in `astroreel.training.validation.Validation`.
    """

    iteration: int
    learning_rate: float
    train_loss: float
    valid_loss: float
    valid_accuracy: float
    accuracy_by_samples: tuple[float, ...]

    @property
    def figures(self) -> dict[str, float]:
        """What a reporter is told."""
        return {
            "train_loss": self.train_loss,
            "valid_loss": self.valid_loss,
            "valid_accuracy": self.valid_accuracy,
            "learning_rate": self.learning_rate,
        }


@dataclass(frozen=True)
class TrainingResult:
    """All looks of a training."""

    history: tuple[Look, ...]

    @property
    def best(self) -> Look:
        """The look with the lowest validation loss; the network holds the weights it had then."""
        return min(self.history, key=lambda look: look.valid_loss)

    @property
    def best_loss(self) -> float:
        """The lowest validation loss."""
        return self.best.valid_loss


def train(
    network: SequenceNetwork,
    train_set: TrainingSet,
    valid_set: Prepared,
    config: TrainingConfig,
    reporter: Reporter,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    group: Group = ALONE,
) -> TrainingResult:
    """Train ``network`` in place; it ends with the weights of the lowest validation loss.

    Parameters
    ----------
    network
        Newly built, or trained before; it is moved to the device.
    train_set, valid_set
        Labelled sequences.
    config
        Parameters. On a processor they decide every weight.
    reporter
        Is told of every look at the validation set.
    checkpoint
        File that is rewritten at every look. A run of the same network, data and configuration goes on
        from there and ends as it would have without the interruption; a checkpoint of another run is
        replaced. None: the run cannot be resumed.
    progress
        Called with the iterations done and their total.
    group
        The processes that train the network together, each in a call of its own of the same parameters
        (`astroreel.training.data_parallel`). The first writes the checkpoint, and all go on from it.

    Raises
    ------
    Diverged
        Where the loss is no longer a number; the message names the checkpoint from before.
    UserError
        Where the checkpoint cannot be read or written.
    """
    identity = _identity(network, train_set, valid_set, config)
    run = _Run(Stepper(network, config, group), identity, checkpoint)
    run.resume()
    for look in run.history:  # the record of the interrupted run may be gone
        reporter.metrics(look.figures, step=look.iteration)
    own = train_set.batches(config.batch_size, config.seed, run.done, group.rank, group.size)
    if run.stepper.device.type == "cuda":
        own = made_ahead(own)
    with closing(own) as batches:
        _iterate(run, batches, valid_set, reporter, progress)
    network.load_state_dict(run.best_weights)
    network.eval()
    return TrainingResult(tuple(run.history))


def made_ahead(batches: Generator[Prepared]) -> Generator[Prepared]:
    """The same batches, each made while the one before is trained on.

    For a device that leaves the processor idle; elsewhere it would be taken from the training.
    """
    with closing(batches), ThreadPoolExecutor(1) as beside:
        following = beside.submit(next, batches)
        while True:
            batch = following.result()
            following = beside.submit(next, batches)
            yield batch


def _iterate(
    run: _Run,
    batches: Iterator[Prepared],
    valid_set: Prepared,
    reporter: Reporter,
    progress: Progress | None,
) -> None:
    """Take the iterations that are left."""
    config = run.stepper.config
    losses: list[float] = []
    seen, began = 0, time.perf_counter()
    # The range comes first: at its end no further batch is made.
    for iteration, batch in zip(range(run.done, config.iterations), batches, strict=False):
        losses.append(run.step(batch, iteration))
        seen += len(batch) * run.stepper.group.size
        done = iteration + 1
        if progress is not None:
            progress(done, config.iterations)
        if done % config.validate_every == 0 or done == config.iterations:
            speed = seen / (time.perf_counter() - began)
            look = run.look(valid_set, done, float(np.mean(losses)))
            reporter.metrics({**look.figures, "sequences_per_s": speed}, step=done)
            losses.clear()
            seen, began = 0, time.perf_counter()


class _Run:
    """The state of a run, in memory and on disk."""

    def __init__(self, stepper: Stepper, identity: str, checkpoint: Path | None) -> None:
        self.stepper = stepper
        self.identity = identity
        self.checkpoint = checkpoint
        self.history: list[Look] = []
        self.best_weights: dict[str, Tensor] = {}

    @property
    def done(self) -> int:
        return self.history[-1].iteration if self.history else 0

    def step(self, batch: Prepared, iteration: int) -> float:
        try:
            return self.stepper.step(batch, iteration)
        except Diverged as error:
            raise Diverged(f"{error}; {self._last_good()}") from None

    def look(self, valid: Prepared, done: int, train_loss: float) -> Look:
        """Look at the validation set; keep the weights if they are the best, and write a checkpoint."""
        network = self.stepper.network
        with self.stepper.precision():
            validation = validate(network, valid, self.stepper.device, self.stepper.group)
        if not math.isfinite(validation.loss):
            raise Diverged(f"validation loss {validation.loss} at iteration {done}; {self._last_good()}")
        look = Look(
            iteration=done,
            learning_rate=learning_rate(self.stepper.config, done - 1),
            train_loss=train_loss,
            valid_loss=validation.loss,
            valid_accuracy=validation.accuracy,
            accuracy_by_samples=validation.accuracy_by_samples,
        )
        if all(look.valid_loss < earlier.valid_loss for earlier in self.history):
            self.best_weights = {name: value.clone() for name, value in network.state_dict().items()}
        self.history.append(look)
        self._save()
        return look

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one of this very run."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        groups, state = load_checkpoint(self.checkpoint)
        if state["identity"] != self.identity:
            return
        self.history = [
            Look(**look | {"accuracy_by_samples": tuple(look["accuracy_by_samples"])})
            for look in state["history"]
        ]
        self.best_weights = groups["best"]
        self.stepper.network.load_state_dict(groups["network"])
        restore_optimiser(self.stepper.optimiser, groups["optimiser"])

    def _save(self) -> None:
        if self.checkpoint is None or self.stepper.group.rank > 0:
            return
        groups = {
            "network": self.stepper.network.state_dict(),
            "best": self.best_weights,
            "optimiser": optimiser_tensors(self.stepper.optimiser),
        }
        history = [asdict(look) for look in self.history]
        save_checkpoint(self.checkpoint, groups, {"identity": self.identity, "history": history})

    def _last_good(self) -> str:
        if self.checkpoint is None or not self.history:
            return "there is no checkpoint from before"
        return f"the last good checkpoint, of iteration {self.done}, is {self.checkpoint}"


def _identity(
    network: SequenceNetwork, train_set: TrainingSet, valid_set: Prepared, config: TrainingConfig
) -> str:
    """A digest of what decides a run's outcome: two runs of one identity end with the same weights."""
    digest = hashlib.sha256(f"{config.model_dump_json()}{network.config.model_dump_json()}".encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    for data in (train_set, valid_set):
        digest.update(data.fingerprint().encode())
    return digest.hexdigest()
