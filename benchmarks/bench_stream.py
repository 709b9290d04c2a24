"""Training from the endless stream beside training from memory, in turns in the same run.

    python benchmarks/bench_stream.py [NETWORK[:REUSE] ...]

Turns of the two alternate, and the process that simulates is stopped while memory has its turn. A turn of
the stream goes through one whole reservoir, so that any wait for the next one is in it. Printed are the
median over the pairs of turns of the speed from the stream over that from memory, and the processor time
of simulating a sequence over that of training on it as often as it is seen: what the stream costs where
training leaves no processor idle.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from record import record

from astroreel.models.networks import build
from astroreel.sequences.prepare import Preparation, Prepared, prepare
from astroreel.sequences.recipe import Recipe
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import BLOCK, SimulationConfig
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey
from astroreel.training.config import PretrainConfig, TrainingConfig
from astroreel.training.step import Stepper
from astroreel.training.stream import Stream

BATCH = 256
FIELDS = 50
#: Turns of each kind, after one that is not counted.
TURNS = 3
#: A reservoir of one block, so that a turn is short: the load on the processors is that of any other.
RESERVOIR = 1
#: Blocks that the turns from memory draw from.
BLOCKS_IN_MEMORY = 4

DEFAULT_REUSE = PretrainConfig.model_fields["reuse"].default
#: The thesis's network sees every sequence once.
CASES = (("photometric", DEFAULT_REUSE), ("compact", DEFAULT_REUSE), ("thesis", 1))


@dataclass(frozen=True)
class Turn:
    """Seconds that some batches took by the clock, and of this process's processors."""

    clock: float
    processor: float

    @classmethod
    def of(cls, stepper: Stepper, batches: Iterator[Prepared], n: int) -> Turn:
        clock, processor = time.perf_counter(), time.process_time()
        for batch in islice(batches, n):
            stepper.step(batch, 0)
        return cls(time.perf_counter() - clock, time.process_time() - processor)


def pause(paused: bool) -> None:
    """Stop or continue the process that simulates."""
    for process in multiprocessing.active_children():
        if process.pid is not None:
            os.kill(process.pid, signal.SIGSTOP if paused else signal.SIGCONT)


def simulate(recipe: Recipe) -> tuple[SequenceSet, float]:
    """Some blocks, and the processor time of a sequence [s]."""
    recipe.block(0)  # reads the tables
    start = time.process_time()
    blocks = [recipe.block(index) for index in range(BLOCKS_IN_MEMORY)]
    seconds = time.process_time() - start
    return SequenceSet.concatenate(blocks), seconds / (BLOCKS_IN_MEMORY * BLOCK)


def compare(name: str, reuse: int, recipe: Recipe, memory: Prepared, simulated: float) -> dict[str, float]:
    stepper = Stepper(build({"name": name}), TrainingConfig(device="cpu"))
    from_memory = memory.batches(BATCH, seed=1)
    from_stream = Stream(recipe, Preparation(), reuse, RESERVOIR).batches(BATCH, seed=1)
    n = reuse * RESERVOIR * BLOCK // BATCH
    Turn.of(stepper, from_stream, n)
    own, streamed = [], []
    for _ in range(TURNS):
        pause(True)
        own.append(Turn.of(stepper, from_memory, n))
        pause(False)
        streamed.append(Turn.of(stepper, from_stream, n))
    from_stream.close()
    trained = float(np.median([turn.processor for turn in own])) / (n * BATCH)
    return {
        "reuse": float(reuse),
        "sequences_per_s_from_memory": n * BATCH / float(np.median([turn.clock for turn in own])),
        "stream_over_memory": float(
            np.median([a.clock / b.clock for a, b in zip(own, streamed, strict=True)])
        ),
        "simulation_over_training": simulated / (reuse * trained),
    }


def main(*cases: str) -> None:
    asked = [case.partition(":") for case in cases]
    chosen = [(name, int(reuse or DEFAULT_REUSE)) for name, _, reuse in asked] or CASES
    survey = load_survey("hits")
    conditions = generate_conditions(survey, FIELDS, np.random.default_rng(1))
    recipe = Recipe(survey, conditions, "train", SimulationConfig(workers=1))
    sequences, simulated = simulate(recipe)
    memory = prepare(sequences, Preparation())
    print(f"simulation {1 / simulated:,.0f} sequences/s a processor; {torch.get_num_threads()} threads train")
    for name, reuse in chosen:
        found = compare(name, reuse, recipe, memory, simulated)
        print(
            f"{name:12s} reuse {reuse:2d}  memory {found['sequences_per_s_from_memory']:8,.1f} sequences/s"
            f"  stream/memory {found['stream_over_memory']:.3f}"
            f"  simulation/training {found['simulation_over_training']:.3f}"
        )
        record(f"stream {name}", {**found, "threads": torch.get_num_threads()})


if __name__ == "__main__":
    main(*sys.argv[1:])
