"""Data-parallel training on a Ray cluster: Ray Train places the processes, a GPU each where there are any."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
import torch
from ray import train
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.queue import Queue

from astroreel.parallel import connected
from astroreel.training.data_parallel import Job, Message, died
from astroreel.training.group import Group
from astroreel.training.step import Diverged

#: How often the processes are begun anew, from the last checkpoint, after one of them was lost.
_LOST_PROCESSES = 3


def train_on_ray(job: Job, hear: Callable[[Message], None]) -> None:
    """Run a job on the cluster that it names; its checkpoint must lie where all nodes see it."""
    config = job.config
    assert config.address is not None
    # Ray's own state holds pickles; the checkpoint knows enough to go on, so nothing else is kept.
    scratch = job.checkpoint.with_suffix(".ray")
    with connected(config.address), ThreadPoolExecutor(1) as beside:
        gpus = config.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
        queue = Queue()
        trainer = TorchTrainer(
            _process,
            train_loop_config={"job": job, "queue": queue},
            torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
            scaling_config=train.ScalingConfig(num_workers=config.workers, use_gpu=gpus),
            run_config=train.RunConfig(
                name=job.checkpoint.stem,
                storage_path=str(scratch),
                failure_config=train.FailureConfig(max_failures=_LOST_PROCESSES),
            ),
        )
        heard = beside.submit(_listen, queue, hear)
        try:
            trainer.fit()
        except train.TrainingFailedError as error:
            queue.put(None)
            heard.result()  # raises the reason, if it was told
            raise died(error) from error
        finally:
            queue.put(None)
            shutil.rmtree(scratch, ignore_errors=True)
        heard.result()


def _process(given: dict[str, Any]) -> None:
    """The life of one process on the cluster."""
    context, job = train.get_context(), given["job"]
    device = get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        job.run(Group(context.get_world_rank(), context.get_world_size()), given["queue"].put)
    except Diverged:
        return  # all of them together, and they would again


def _listen(queue: Queue, hear: Callable[[Message], None]) -> None:
    while (message := queue.get()) is not None:
        hear(message)
