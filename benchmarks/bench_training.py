"""Our training step beside the plain loop over the same network, in turns in the same run.

    python benchmarks/bench_training.py [NETWORK ...]

The plain loop is what one writes first: the network as PyTorch lays it out, single precision, the padded
batch, Adam, nothing compiled. Ours is the step of `astroreel.training.step`, with all that training does
beside (turning the stamps, clipping the gradient), in the precision that the scales give the network. On a
GPU, where there is one, the time of the thesis's whole schedule is told too: 30,000 batches of 256, made as
training makes them.

The utilisation is the floating-point operations of the network (multiplications and additions of its
convolutions and matrix products, forward and backward) over the time and over what a matrix product of the
same precision reaches here.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from itertools import islice
from typing import Literal

import numpy as np
import torch
from record import record
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from astroreel.models.inference import tensors, trim
from astroreel.models.interface import SequenceNetwork
from astroreel.models.networks import build
from astroreel.sequences.prepare import LazyPrepared, Preparation, Prepared
from astroreel.sequences.recipe import Recipe
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import SimulationConfig
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey
from astroreel.training.config import TrainingConfig
from astroreel.training.device import choose_device
from astroreel.training.loop import made_ahead, train
from astroreel.training.reporter import NullReporter
from astroreel.training.step import Stepper

Step = Callable[[Prepared], object]

#: As the scales thesis and default train them.
PRECISIONS: dict[str, Literal["float32", "bfloat16"]] = {
    "thesis": "bfloat16",
    "photometric": "float32",
    "compact": "float32",
}
#: Sequences a step on a processor; of the thesis's few, lest the plain loop fill a laptop's memory.
BATCHES = {"thesis": 32, "photometric": 256, "compact": 256}
BATCH_ON_GPU = 256
#: Turns of each, after two that are not counted.
TURNS = 8
FIELDS = 50
BLOCKS = 4
#: Batches of the thesis's schedule, and of the part of it that is run.
SCHEDULE, PART = 30_000, 600
#: Sequences of which the operations are counted.
COUNTED = 8
MATRIX = {"cpu": 2048, "cuda": 8192}


def sequences() -> LazyPrepared:
    """Simulated sequences of all classes, prepared as they are drawn."""
    survey = load_survey("hits")
    conditions = generate_conditions(survey, FIELDS, np.random.default_rng(1))
    recipe = Recipe(survey, conditions, "train", SimulationConfig(workers=1))
    return LazyPrepared(
        SequenceSet.concatenate([recipe.block(index) for index in range(BLOCKS)]), Preparation()
    )


def plain(name: str, device: torch.device) -> Step:
    network = build({"name": name}).to(device, memory_format=torch.contiguous_format).train()
    optimiser = torch.optim.Adam(network.parameters(), 5e-4, amsgrad=True)

    def step(batch: Prepared) -> float:
        loss = cross_entropy(network, batch, device)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def cross_entropy(network: SequenceNetwork, batch: Prepared, device: torch.device) -> Tensor:
    *inputs, mask = tensors(batch, device)
    targets = torch.from_numpy(batch.labels).to(device)[:, None].expand(mask.shape)
    return functional.cross_entropy(network(*inputs, mask)[mask], targets[mask])


def ours(name: str, device: torch.device) -> Step:
    stepper = Stepper(build({"name": name}), config(name, device))
    return lambda batch: stepper.step(batch, 0)


def config(name: str, device: torch.device) -> TrainingConfig:
    return TrainingConfig(
        iterations=PART,
        validate_every=PART,
        precision=PRECISIONS[name],
        device=device.type,
        learning_rate=1e-4,
    )


def operations(name: str, batch: Prepared) -> float:
    """Floating-point operations of a training step for each sequence of a batch."""
    few = trim(batch.select(np.arange(COUNTED)))
    counter = FlopCounterMode(display=False)
    # Without oneDNN, in whose LSTM nothing can be counted.
    with counter, torch.backends.mkldnn.flags(enabled=False):  # type: ignore[no-untyped-call]
        cross_entropy(build({"name": name}).train(), few, torch.device("cpu")).backward()
    return counter.get_total_flops() / COUNTED


def peak(device: torch.device, precision: str) -> float:
    """Operations a second of a large matrix product."""
    size = MATRIX[device.type]
    a, b = torch.randn(2, size, size, device=device, dtype=getattr(torch, precision))
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        (a @ b)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def compare(name: str, data: LazyPrepared, device: torch.device) -> dict[str, float]:
    size = BATCHES[name] if device.type == "cpu" else BATCH_ON_GPU
    steps = [plain(name, device), ours(name, device)]
    batches = data.batches(size, seed=1)
    seconds = np.array([[timed(step, batch) for step in steps] for batch in islice(batches, TURNS + 2)])
    theirs, own = np.median(seconds[2:], axis=0)
    work = size * operations(name, next(batches))
    return {
        "sequences a step": float(size),
        "plain loop [sequences/s]": size / theirs,
        "ours [sequences/s]": size / own,
        "ours over the plain loop": float(np.median(seconds[2:, 0] / seconds[2:, 1])),
        "GFLOP a sequence": work / size / 1e9,
        "utilisation, ours": work / own / peak(device, PRECISIONS[name]),
        "utilisation, plain loop": work / theirs / peak(device, "float32"),
    }


def timed(step: Step, batch: Prepared) -> float:
    start = time.perf_counter()
    step(batch)
    return time.perf_counter() - start


def schedule(data: LazyPrepared, device: torch.device) -> dict[str, float]:
    """The thesis's schedule, from the time of a part of it."""
    batch = next(data.batches(BATCH_ON_GPU, seed=2))
    start = time.perf_counter()
    train(build({"name": "thesis"}), data, batch, config("thesis", device), NullReporter())
    seconds = time.perf_counter() - start
    return {f"{SCHEDULE} batches of {BATCH_ON_GPU} [min]": seconds / PART * SCHEDULE / 60}


def batch_making(data: LazyPrepared) -> dict[str, float]:
    """What a processor makes of batches."""
    batches = made_ahead(data.batches(BATCH_ON_GPU, seed=3))
    next(batches)
    start = time.perf_counter()
    for _ in range(10):
        next(batches)
    return {"batches made, not trained on [sequences/s]": 10 * BATCH_ON_GPU / (time.perf_counter() - start)}


def main(*names: str) -> None:
    warnings.filterwarnings("ignore", "TF32 acceleration")  # of GPUs of another make
    device, data = choose_device(), sequences()
    figures: dict[str, float | str] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "processor",
        "threads": float(torch.get_num_threads()),
        **batch_making(data),
    }
    for name in names or PRECISIONS:
        found = compare(name, data, device)
        if name == "thesis" and device.type == "cuda":
            found |= schedule(data, device)
        figures |= {f"{name}, {PRECISIONS[name]}: {what}": value for what, value in found.items()}
    for what, value in figures.items():
        print(f"{value:>12.4g}  {what}" if isinstance(value, float) else f"{value:>12}  {what}")
    record("training" if device.type == "cpu" else "training on a GPU", figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
