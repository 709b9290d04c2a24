"""One trial of a search: a network trained as its values say."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from astroreel.models.inference import tensors
from astroreel.models.interface import SequenceNetwork
from astroreel.models.networks import build
from astroreel.sequences.prepare import Prepared, PreparedSet
from astroreel.training.config import SearchConfig
from astroreel.training.loop import train
from astroreel.training.reporter import Reporter
from astroreel.training.space import chosen_network
from astroreel.training.step import Diverged

#: Alerts over which the time of one is taken.
_TIMED_ALERTS = 64


def name_of(number: int) -> str:
    """What the nested run of a trial is called."""
    return f"trial-{number:03d}"


def figures_of(values: Sequence[float | None], seconds: float) -> dict[str, float]:
    """What is recorded of a trial that ended: its objectives, and its cost on all its devices [s]."""
    named = zip(("best_valid_loss", "ms_per_alert"), values, strict=False)
    return {**{name: value for name, value in named if value is not None}, "device_seconds": seconds}


def run_trial(
    values: Mapping[str, Any],
    train_set: PreparedSet,
    valid_set: Prepared,
    config: SearchConfig,
    reporter: Reporter,
) -> tuple[float, ...]:
    """Train what a trial's values mean, for its objectives; the loss is infinite where it diverges.

    An exception of the reporter ends it before its time.
    """
    training = config.training.model_copy(update={"learning_rate": values["learning_rate"]})
    network = build(chosen_network(values), training.seed)
    try:
        loss = train(network, train_set, valid_set, training, reporter).best_loss
    except Diverged:
        loss = math.inf
    return (loss, milliseconds_per_alert(network, valid_set)) if "latency" in config.objectives else (loss,)


@torch.inference_mode()
def milliseconds_per_alert(network: SequenceNetwork, prepared: Prepared) -> float:
    """Median time in which a processor takes one more frame of one object [ms]."""
    network = network.to("cpu").eval()
    frame = tensors(prepared.select(np.zeros(1, np.int64)), torch.device("cpu"))
    stamp, when, conditions = (array[:, 0] for array in frame[:3])
    state, taken = network.initial_state(1), []
    for _ in range(_TIMED_ALERTS):
        began = time.perf_counter()
        _, state = network.step(stamp, when, conditions, state)
        taken.append(time.perf_counter() - began)
    return 1e3 * float(np.median(taken))
