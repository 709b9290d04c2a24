"""Stage pretrain: the RCNN of the best configuration, on simulated sequences (thesis 3.2.2, 3.2.4).

Stopped and started again, it goes on from its last checkpoint.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from learning import read_learning_curves
from stage import CHECKPOINTS, DATA, MODELS, ROOT, RUNS, Stage, stage

from astroreel.classes import class_indices
from astroreel.evaluation.illustrations import learning_curves
from astroreel.files import read_json, write_json
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.parameters import Parameters
from astroreel.sequences.prepare import Prepared, prepare
from astroreel.sequences.store import load_store
from astroreel.training.calibrate import fit_temperature
from astroreel.training.data_parallel import train_together
from astroreel.training.loop import TrainingSet
from astroreel.training.simulated import stream, training_set


def sets(parameters: Parameters) -> tuple[TrainingSet, Prepared]:
    """The training and the validation set."""
    valid_set = prepare(load_store(DATA / "simulated" / "valid"), parameters.preparation)
    return training_set(ROOT, parameters), valid_set


def record_stream(run: Stage) -> None:
    """Keep with the run's record what the stream was, enough to make it again."""
    config = run.parameters.pretrain
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stream.json"
        write_json(
            path, stream(ROOT, run.parameters).manifest(config.batch_size, config.seed, config.iterations)
        )
        run.reporter.artifact(path)


if __name__ == "__main__":
    with stage("pretrain") as run:
        best, preparation = read_json(MODELS / "search" / "best.json"), run.parameters.preparation
        config = run.parameters.pretrain.model_copy(update={"learning_rate": best["learning_rate"]})
        run.reporter.params({**config.model_dump(), "network": best["network"]})
        if config.source == "stream":
            record_stream(run)
        network = build(best["network"], config.seed)
        checkpoint = CHECKPOINTS / f"{run.key}.safetensors"
        with run.progress("pretrain", config.batch_size) as progress:
            data = partial(sets, run.parameters)
            result = train_together(network, data, config, run.reporter, checkpoint, progress)
        valid = load_store(DATA / "simulated" / "valid")
        cold = RcnnClassifier(network.to("cpu"), preparation)
        probabilities = cold.predict(valid)[valid.offsets[1:] - 1]
        logits = np.log(np.maximum(probabilities, np.finfo(float).tiny))
        temperature = fit_temperature(logits, class_indices(valid.labels))
        replace(cold, temperature=temperature).to_bundle(MODELS / "pretrained")
        run.reporter.metrics({"best_valid_loss": result.best_loss, "temperature": temperature})
        run.figure(learning_curves(read_learning_curves(RUNS / "pretrain")))
        checkpoint.unlink(missing_ok=True)
