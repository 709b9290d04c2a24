"""Accuracy slice by slice: of the target's objects and of simulated ones, of both models at both stages.

The magnitude of an object is that of the median of its measured fluxes, its host included; its seeing the
median over its images. Whether there is a host is known of simulated objects; of the target's supernovae it
is told by light of three times its error in the images before the first detection. A slice of fewer than ten
objects is left out. Slices by field are resampled by their objects, all others by whole fields.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import N_SAMPLES
from astroreel.evaluation.predictions import Stage
from astroreel.evaluation.tested import Tested
from astroreel.models.bundle import load_bundle
from astroreel.study.bench import Bench
from astroreel.study.confidence import abstention, scores, untempered
from astroreel.study.leaves import tree_of
from astroreel.study.probe import (
    MODELS,
    Answers,
    cross_fitted,
    registered,
    resampling_of,
    stages,
    tuned_key,
)
from astroreel.study.resampled import mean, resample
from astroreel.study.section import Section
from astroreel.study.units import Unit

Floats = NDArray[np.floating]
Names = NDArray[np.str_]

_FEWEST = 10

#: Ends of the slices by number of images; a longer sequence is tested on its first 22.
_EPOCHS = (6, 9, 13, 18, N_SAMPLES)

_HOST_SIGMA = 3.0


def slices_of(bench: Bench, objects: Tested) -> dict[str, Names]:
    """The slice that each of N objects lies in, (N,), by what is sliced; "" for none."""
    sequences = objects.sequences
    by_object = np.split(sequences.epochs["seeing"], sequences.offsets[1:-1])
    truth = sequences.truth
    host = _light_before(objects) if truth is None else np.where(truth["host"] == "", "none", "host")
    return {
        "class": np.array(CLASSES)[objects.features.labels],
        "magnitude": _magnitudes(bench, objects),
        "epochs": _between(np.minimum(sequences.lengths, N_SAMPLES), _EPOCHS),
        "seeing": _quarters(np.array([np.median(one) for one in by_object])),
        **({"field": sequences.objects["field"]} if truth is None else {}),
        "host": host,
    }


def measure(bench: Bench, domain: str) -> dict[str, Any]:
    """The slices of the target, or of the simulated test set, and what confidence is worth on the whole."""
    target = domain == "target"
    objects = bench.target if target else bench.test
    answers = cross_fitted(bench, objects, bench.folds) if target else registered(bench, objects)
    labels, resampling = objects.features.labels, resampling_of(bench, objects)
    found: dict[str, Estimate] = {}
    for what, names in slices_of(bench, objects).items():
        mixed = _by_object(bench, objects) if what == "field" else resampling
        for name in np.unique(names[names != ""]):
            members = np.flatnonzero(names == name)
            if len(members) >= _FEWEST:
                found |= _below(f"{what}/{name}", _slice(answers, labels, members, mixed))
    for (model, stage), said in answers.items():
        final = said[:, :, -1].astype(np.float64)
        temperatures = _temperatures(bench, model, stage, domain, len(objects))
        parts = {
            "abstention": abstention(labels, final, resampling),
            "scores": scores(labels, final, resampling),
            "scores_before_temperature": scores(labels, untempered(final, temperatures), resampling),
        }
        for part, leaves in parts.items():
            found |= _below(f"{part}/{stage}/{model}", leaves)
    return tree_of(found)


def _below(path: str, leaves: dict[str, Estimate]) -> dict[str, Estimate]:
    return {f"{path}/{name}": one for name, one in leaves.items()}


def _slice(
    answers: Answers, labels: NDArray[np.int64], members: NDArray[np.int64], resampling: Resampling
) -> dict[str, Estimate]:
    """Accuracy of both models on some objects and their difference, at both stages."""
    found: dict[str, Estimate] = {}
    for stage in stages(answers):
        said = [answers[model, stage][:, members, -1].argmax(axis=-1) for model in MODELS]
        both = [resample(mean, one == labels[members], resampling, members) for one in said]
        found |= {f"{stage}/{model}": one.share() for model, one in zip(MODELS, both, strict=True)}
        found[f"{stage}/difference"] = (both[0] - both[1]).estimate()
    return found


def _by_object(bench: Bench, objects: Tested) -> Resampling:
    config = bench.parameters.evaluate
    return Resampling(objects.sequences.objects["name"], config.resamples, np.random.default_rng(config.seed))


def _temperatures(bench: Bench, model: str, stage: Stage, domain: str, n: int) -> Floats:
    """Temperature of the model that spoke of each object in each draw, (D, N, 1), or (1, 1, 1) of all."""
    if stage == "zero_shot":
        bundle = bench.pretrained if model == "rcnn" else bench.forest
        return np.full((1, 1, 1), load_bundle(bundle).temperature)
    by_piece = {piece: load_bundle(bench.tuned(*piece) / model).temperature for piece in bench.split.pieces}
    if domain != "target":
        registry = bench.parameters.registry
        return np.full((1, 1, 1), by_piece[registry.draw, registry.fold])
    table = np.ones((len(bench.split.shots), n, 1))
    for (draw, fold), temperature in by_piece.items():
        table[draw, bench.folds == fold] = temperature
    return table


def _magnitudes(bench: Bench, objects: Tested) -> Names:
    """Whole magnitudes between which the objects lie; what is far beyond the survey's limit is one slice."""
    curves, preparation = objects.features.curves, bench.parameters.preparation
    flux = np.nanmedian(curves.padded(curves.flux), axis=1)
    with np.errstate(divide="ignore"):
        light = np.maximum(flux, 0.0) / preparation.reference_exptime
        magnitude = preparation.reference_zp - 2.5 * np.log10(light)
    faintest = int(np.ceil(bench.survey.magnitude_limits[1])) + 1
    low = np.floor(np.minimum(np.nan_to_num(magnitude, nan=np.inf), faintest)).astype(int)
    return np.array([f"{one}-{one + 1}" if one < faintest else f"{faintest}+" for one in low])


def _between(numbers: NDArray[np.int64], edges: tuple[int, ...]) -> Names:
    """Which of the spans from one edge to below the next, the last included, a number lies in."""
    spans = [f"{low}-{high - 1}" for low, high in pairwise(edges[:-1])]
    spans.append(f"{edges[-2]}-{edges[-1]}")
    return np.array(spans)[np.clip(np.searchsorted(edges, numbers, "right") - 1, 0, len(spans) - 1)]


def _quarters(values: Floats) -> Names:
    """Which of four spans, of as many values each, a value lies in."""
    edges = np.percentile(values, [0, 25, 50, 75, 100])
    spans = [f"{low:.2f}-{high:.2f}" for low, high in pairwise(edges)]
    return np.array(spans)[np.clip(np.searchsorted(edges, values, "right") - 1, 0, 3)]


def _light_before(objects: Tested) -> Names:
    """Whether a supernova's place shines before its detection; "" where there is no image from then."""
    curves = objects.features.curves.first(np.maximum(objects.detections, 0))
    flux, error = curves.padded(curves.flux), curves.padded(curves.error, fill=np.inf)
    with np.errstate(invalid="ignore"):
        ratio = np.nansum(flux / error**2, axis=1) / np.sqrt(np.sum(error**-2.0, axis=1))
    return np.where(objects.detections < 1, "", np.where(ratio > _HOST_SIGMA, "host", "none"))


def plan(bench: Bench) -> list[Unit]:
    """One unit a domain."""
    key = [bench.parameters.evaluate.model_dump(), tuned_key(bench)]
    domains = ["simulated", "target"] if bench.split.objects else ["simulated"]
    return [Unit(domain, key, partial(measure, domain=domain), guess=30.0) for domain in domains]


def run(bench: Bench) -> dict[str, Any]:
    """Both domains."""
    results = bench.units("slices").do_all(plan(bench), bench)
    return {bench.domain if unit == "target" else unit: result for unit, result in results.items()}


SECTION = Section("slices", "accuracy slice by slice, and what confidence is worth", run, plan)
