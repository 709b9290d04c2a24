"""Data-parallel training: several processes, each with its share of every batch, train one network.

They run on this machine, or on a Ray cluster (`astroreel.training.train_ray`). All take part in every look
at the validation set; the first of them tells the process that started them what happens, and writes the
checkpoint, from which all go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from joblib import cpu_count
from torch import distributed
from torch.multiprocessing.spawn import (
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from astroreel.errors import UserError
from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared
from astroreel.training.config import PretrainConfig
from astroreel.training.device import choose_device
from astroreel.training.group import Group
from astroreel.training.loop import Progress, TrainingResult, TrainingSet, train
from astroreel.training.reporter import NullReporter, Reporter

#: Makes the training and the validation set. Picklable: every process makes its own.
Data = Callable[[], tuple[TrainingSet, Prepared]]

#: A method of `Listener` and its arguments.
Message = tuple[str, tuple[Any, ...]]

_SECONDS_BETWEEN_WORDS = 0.5

#: How long a process may go on after another failed, to tell why.
_SECONDS_TO_SPEAK = 5.0


@dataclass(frozen=True)
class Job:
    """What every process is given; parameters as of `train`."""

    network: SequenceNetwork
    data: Data
    config: PretrainConfig
    checkpoint: Path

    def run(self, group: Group, tell: Callable[[Message], object]) -> None:
        """Take part as one process of ``group``; the first of them tells what happens."""
        network = deepcopy(self.network)  # PyTorch gives processes of one machine the same memory
        voice = _Voice(tell)
        reporter, progress = (voice, voice.progress) if group.rank == 0 else (NullReporter(), None)
        try:
            train(network, *self.data(), self.config, reporter, self.checkpoint, progress, group)
        except UserError as error:
            if group.rank == 0:
                tell(("failed", (error,)))
            raise


@dataclass(frozen=True)
class Listener:
    """Hears in the process that started the others what the first of them tells."""

    reporter: Reporter
    progress: Progress | None

    def hear(self, message: Message) -> None:
        """Pass a message on; raises the `UserError` that it tells of."""
        name, arguments = message
        getattr(self, name)(*arguments)

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        self.reporter.metrics(values, step)

    def done(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)

    def failed(self, error: UserError) -> None:
        raise error


class _Voice(NullReporter):
    """Tells a `Listener` in another process."""

    def __init__(self, tell: Callable[[Message], object]) -> None:
        self._tell = tell
        self._next = 0.0

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._tell(("metrics", (dict(values), step)))

    def progress(self, done: int, total: int) -> None:
        if done == total or time.monotonic() > self._next:
            self._tell(("done", (done, total)))
            self._next = time.monotonic() + _SECONDS_BETWEEN_WORDS


def train_together(
    network: SequenceNetwork,
    data: Data,
    config: PretrainConfig,
    reporter: Reporter,
    checkpoint: Path,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train ``network`` in place with ``config.workers`` processes; parameters and errors as of `train`.

    Raises
    ------
    UserError
        Moreover where there are fewer GPUs than processes, the cluster is out of reach, or a process dies.
    """
    if config.workers > 1 or config.address is not None:
        job, listener = Job(network, data, config, checkpoint.resolve()), Listener(reporter, progress)
        if config.address is None:
            train_here(job, listener.hear)
        else:
            from astroreel.training.train_ray import train_on_ray

            train_on_ray(job, listener.hear)
        reporter, progress = NullReporter(), None  # all is told: the finished run is read from its checkpoint
    return train(network, *data(), config, reporter, checkpoint, progress)


def train_here(job: Job, hear: Callable[[Message], None]) -> None:
    """Run a job in processes of this machine, a GPU each where there are GPUs."""
    workers = job.config.workers
    device = choose_device(job.config.device)
    if device.type == "cuda" and (gpus := torch.cuda.device_count()) < workers:
        raise UserError(f"pretrain.workers: {workers}, each with a GPU, but {gpus} are here: take {gpus}")
    ear, mouth = Pipe(duplex=False)
    with TemporaryDirectory() as folder:
        arguments = (job, device.type, f"file://{folder}/meeting", mouth)
        processes = start_processes(_process, arguments, workers, join=False)
        assert processes is not None
        try:
            while not processes.join(timeout=0.1, grace_period=_SECONDS_TO_SPEAK):
                _hear_all(ear, hear)
            _hear_all(ear, hear)
        except (ProcessRaisedException, ProcessExitedException) as error:
            _hear_all(ear, hear)  # the reason, if it was told
            raise died(error) from error
        finally:
            _end(processes)


def died(error: Exception) -> UserError:
    """What a user is told when a process ended for a reason that nobody told."""
    return UserError(
        f"a training process died ({str(error).strip().splitlines()[-1]}): run it again, it goes on from its "
        "last checkpoint; with fewer workers if memory is short"
    )


def _process(rank: int, job: Job, kind: str, meeting: str, mouth: Connection) -> None:
    """The life of one process on this machine."""
    workers = job.config.workers
    if kind == "cuda":
        torch.cuda.set_device(rank)
    torch.set_num_threads(max(cpu_count() // workers, 1))
    backend = "nccl" if kind == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=workers)
    job.run(Group(rank, workers), mouth.send)
    distributed.destroy_process_group()


def _hear_all(ear: Connection, hear: Callable[[Message], None]) -> None:
    while ear.poll():
        hear(ear.recv())


def _end(processes: ProcessContext) -> None:
    for process in processes.processes:
        process.terminate()
    for process in processes.processes:
        process.join()
