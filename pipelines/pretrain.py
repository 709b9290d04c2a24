"""Stage pretrain: the RCNN of the best configuration, on simulated sequences (thesis 3.2.2, 3.2.4).

Stopped and started again, it goes on from its last checkpoint.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from learning import read_learning_curves
from stage import CHECKPOINTS, DATA, MODELS, RUNS, stage

from astroreel.classes import class_indices
from astroreel.evaluation.illustrations import learning_curves
from astroreel.files import read_json
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import prepare
from astroreel.sequences.store import load_store
from astroreel.training.calibrate import fit_temperature
from astroreel.training.loop import train

if __name__ == "__main__":
    with stage("pretrain") as run:
        best, preparation = read_json(MODELS / "search" / "best.json"), run.parameters.preparation
        config = run.parameters.pretrain.model_copy(update={"learning_rate": best["learning_rate"]})
        run.reporter.params({**config.model_dump(), "network": best["network"]})
        valid = load_store(DATA / "simulated" / "valid")
        train_set = prepare(load_store(DATA / "simulated" / "train"), preparation)
        valid_set = prepare(valid, preparation)
        network = build(best["network"], config.seed)
        checkpoint = CHECKPOINTS / f"{run.key}.safetensors"
        with run.progress("pretrain") as progress:
            result = train(network, train_set, valid_set, config, run.reporter, checkpoint, progress)
        cold = RcnnClassifier(network.to("cpu"), preparation)
        probabilities = cold.predict(valid)[valid.offsets[1:] - 1]
        logits = np.log(np.maximum(probabilities, np.finfo(float).tiny))
        temperature = fit_temperature(logits, class_indices(valid.labels))
        replace(cold, temperature=temperature).to_bundle(MODELS / "pretrained")
        run.reporter.metrics({"best_valid_loss": result.best_loss, "temperature": temperature})
        run.figure(learning_curves(read_learning_curves(RUNS / "pretrain")))
        checkpoint.unlink(missing_ok=True)
