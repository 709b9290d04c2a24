"""What the pipeline's models say of any objects of known fields: each by models that never saw its field."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.metrics import N_SAMPLES
from astroreel.evaluation.predictions import Domain, Stage
from astroreel.evaluation.tested import Tested
from astroreel.photometry.feature_set import FeatureSet
from astroreel.provenance import data_digests
from astroreel.sequences.record import SequenceSet
from astroreel.study.bench import Bench

#: Class probabilities of N objects after n = 1 .. 22 samples in D draws, (D, N, 22, 7), by model and stage.
Answers = dict[tuple[str, Stage], NDArray[np.floating]]

STAGES: tuple[Stage, ...] = ("zero_shot", "fine_tuned")
MODELS = ("rcnn", "forest")


def tested(bench: Bench, domain: Domain, sequences: SequenceSet, detections: NDArray[np.int64]) -> Tested:
    """Objects measured as the pipeline measures its own."""
    return Tested(domain, sequences, FeatureSet.of(sequences, bench.parameters.preparation), detections)


def cross_fitted(bench: Bench, objects: Tested, folds: NDArray[np.int64]) -> Answers:
    """What both models say at both stages of objects that lie in these ``folds`` (N,) of the fields."""
    answers: Answers = {
        (model, "zero_shot"): ask(objects, bench, model, None)[None] for model in MODELS if len(objects)
    }
    draws = len(bench.split.shots)
    for model in MODELS if draws else ():
        table = np.empty((draws, len(objects), N_SAMPLES, len(CLASSES)))
        for draw, fold in bench.split.pieces:
            members = np.flatnonzero(folds == fold)
            if len(members):
                table[draw, members] = ask(objects.select(members), bench, model, (draw, fold))
        answers[model, "fine_tuned"] = table
    return answers


def registered(bench: Bench, objects: Tested) -> Answers:
    """What both models say of simulated objects: without real labels, and as registered with a few."""
    registry = bench.parameters.registry
    piece = (registry.draw, registry.fold)
    pieces = {"zero_shot": None, **({"fine_tuned": piece} if piece in bench.split.pieces else {})}
    return {
        (model, stage): ask(objects, bench, model, pieces[stage])[None]
        for model in MODELS
        for stage in STAGES
        if stage in pieces
    }


def ask(objects: Tested, bench: Bench, model: str, piece: tuple[int, int] | None) -> NDArray[np.floating]:
    """Probabilities (N, 22, 7) of one model: without real labels, or of one draw and fold."""
    if piece is None:
        bundle, stage = (bench.pretrained if model == "rcnn" else bench.forest), STAGES[0]
    else:
        bundle, stage = bench.tuned(*piece) / model, STAGES[1]
    return getattr(objects, model)(bundle, stage).probabilities


def resampling_of(bench: Bench, objects: Tested) -> Resampling:
    """Resamples of real objects by their fields, of simulated ones by themselves."""
    config = bench.parameters.evaluate
    simulated = objects.domain.startswith("simulated")
    units = objects.sequences.objects["name" if simulated else "field"]
    return Resampling(units, config.resamples, np.random.default_rng(config.seed))


def tuned_key(bench: Bench) -> dict[str, str]:
    """What a unit depends on that asks the fine-tuned models."""
    return data_digests(bench.root, ["models/finetuned"])


def stages(answers: Answers) -> Iterator[Stage]:
    """The stages of which both models have answers."""
    return (stage for stage in STAGES if all((model, stage) in answers for model in MODELS))
