"""Predictions of imagined models with a known skill, for the tests of the evaluation."""

import numpy as np

from astroreel.classes import CLASSES, class_indices
from astroreel.evaluation.predictions import Objects, Predictions

DRAWS, FOLDS = 3, 2
BASELINES = ("few_real_forest", "two_numbers", "magnitude", "epoch_count", "cadence")
REAL_COUNTS = {"supernova": 16, "rr_lyrae": 21, "eclipsing_binary": 15, "non_variable": 60}
SKILLS = {
    ("rcnn", "zero_shot"): 2.9,
    ("forest", "zero_shot"): 3.0,
    ("rcnn", "fine_tuned"): 4.0,
    ("forest", "fine_tuned"): 3.9,
}


def make_objects(counts, rng, fields=8):
    """``counts`` objects a class; every supernova is detected at its sixth sample."""
    labels = np.repeat(class_indices(list(counts)), list(counts.values()))
    names = np.array([f"object{i:05d}" for i in range(len(labels))])
    lengths = 6 + np.arange(len(labels)) % 20
    detections = np.where(labels == CLASSES.index("supernova"), 5, -1)
    return Objects(names, rng.integers(fields, size=len(labels)).astype(str), labels, lengths, detections)


def make_probabilities(labels, skill, rng):
    """Probabilities (N, 22, 7) that lean to the true class the more, the more samples there are."""
    logits = rng.normal(size=(len(labels), 1, len(CLASSES))) + 0.3 * rng.normal(size=(len(labels), 22, 7))
    growth = skill * (1 - np.exp(-np.arange(1, 23) / 6))
    logits[np.arange(len(labels)), :, labels] += growth
    weights = np.exp(logits)
    return weights / weights.sum(axis=-1, keepdims=True)


def make_predictions(seed=0, target_domain="real", real_counts=REAL_COUNTS, simulated=20, skills=SKILLS):
    """What a whole pipeline would hand to the evaluation."""
    rng = np.random.default_rng(seed)
    simulated_objects = make_objects(dict.fromkeys(CLASSES, simulated), rng)
    target_objects = make_objects(real_counts, rng)
    made = []
    for (model, stage), skill in skills.items():
        fine_tuned = stage == "fine_tuned"
        folds = [(d, f) for d in range(DRAWS) for f in range(FOLDS)] if fine_tuned else [(None, None)]
        for draw, fold in folds:
            made.append(_predict(simulated_objects, "simulated", model, stage, skill + 0.8, rng, draw, fold))
            part = _fold(target_objects, fold)
            made.append(_predict(part, target_domain, model, stage, skill, rng, draw, fold))
    for skill, model in enumerate(reversed(BASELINES), start=1):
        for draw in range(DRAWS):
            for fold in range(FOLDS):
                part = _fold(target_objects, fold)
                made.append(_predict(part, target_domain, model, "fine_tuned", skill, rng, draw, fold))
    return made


def _fold(objects, fold):
    member = np.ones(len(objects), bool) if fold is None else objects.fields.astype(int) % FOLDS == fold
    return objects.select(np.flatnonzero(member))


def _predict(objects, domain, model, stage, skill, rng, draw, fold):
    probabilities = make_probabilities(objects.labels, skill, rng)
    return Predictions(model, stage, domain, objects, probabilities, draw, fold)
