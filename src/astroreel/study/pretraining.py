"""Pretrainings with other seeds than the pipeline's, each a unit that leaves a bundle."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from astroreel.classes import class_indices
from astroreel.files import read_json
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import prepare
from astroreel.sequences.store import load_store
from astroreel.study.bench import Bench
from astroreel.study.units import Result, Unit
from astroreel.training.calibrate import fit_temperature
from astroreel.training.loop import train
from astroreel.training.reporter import NullReporter
from astroreel.training.simulated import training_set


def pretraining(bench: Bench, guess: float) -> list[Unit]:
    """The pretrainings that the budget asks for beside the pipeline's own."""
    return [
        Unit(f"pretrain-seed{seed}", [], partial(pretrain, seed), guess) for seed in range(1, bench.seeds)
    ]


def pretrained_bundle(bench: Bench, seed: int) -> Path:
    """Where the bundle of a pretraining is; seed 0 is the pipeline's own."""
    return bench.pretrained if seed == 0 else bench.data / "study" / "pretrained" / f"seed{seed}"


def pretrain(seed: int, bench: Bench) -> Result:
    """A pretraining that all sections share; raises as `train`."""
    return bench.units("pretrained").do(f"seed{seed}", [], partial(_pretrain, seed, bench))


def _pretrain(seed: int, bench: Bench) -> Result:
    """Train the pipeline's network with its parameters, other first weights and other batches."""
    parameters = bench.parameters
    best = read_json(bench.root / "models" / "search" / "best.json")
    own = parameters.pretrain.seed + seed
    config = parameters.pretrain.model_copy(update={"learning_rate": best["learning_rate"], "seed": own})
    valid = load_store(bench.data / "simulated" / "valid")
    network = build(best["network"], own)
    path = pretrained_bundle(bench, seed)
    checkpoint = path.with_suffix(".safetensors")
    valid_set = prepare(valid, parameters.preparation)
    result = train(
        network, training_set(bench.root, parameters), valid_set, config, NullReporter(), checkpoint
    )
    cold = RcnnClassifier(network.to("cpu"), parameters.preparation)
    logits = np.log(np.maximum(cold.predict(valid)[valid.offsets[1:] - 1], np.finfo(float).tiny))
    temperature = fit_temperature(logits, class_indices(valid.labels))
    digest = replace(cold, temperature=temperature).to_bundle(path)
    checkpoint.unlink(missing_ok=True)
    return {"bundle": digest, "valid_loss": result.best_loss}
