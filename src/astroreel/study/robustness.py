"""How well models do in conditions that are not those of their training.

Objects are simulated anew where the seeing or the sky is larger, the zero point brighter by so much less
light, or the time between exposures longer, by 10, 20 and 50 %. Once the header says so, as a survey's would;
once it says what it said before, as where a pipeline is mistaken. The same seed makes all of them: objects of
one number are alike but for what the conditions change, and are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import ACCURACY
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import simulate
from astroreel.study.bench import Bench
from astroreel.study.leaves import tree_of
from astroreel.study.probe import registered, tested, tuned_key
from astroreel.study.resampled import mean, resample
from astroreel.study.section import Section
from astroreel.study.units import Result, Unit
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.forecast import perturb
from astroreel.survey.survey import Survey

Shift = Callable[[ConditionsTable, Survey, float], ConditionsTable]

#: By how much the conditions differ.
SHARES = (0.1, 0.2, 0.5)

#: Objects that are simulated in each of them.
_OBJECTS = 700

_UNDISTURBED = "undisturbed"
_TRUE, _WRONG = "true_header", "wrong_header"


def _slower(conditions: ConditionsTable, survey: Survey, share: float) -> ConditionsTable:
    rows = conditions.rows.copy()
    first = np.min(rows["mjd"])
    rows["mjd"] = first + (rows["mjd"] - first) * (1.0 + share)
    return ConditionsTable(rows)


#: What is done to the conditions, by a share.
SHIFTS: dict[str, Shift] = {
    "seeing": lambda conditions, survey, share: perturb(conditions, survey, seeing_factor=1.0 + share),
    "sky": lambda conditions, survey, share: perturb(conditions, survey, sky_factor=1.0 + share),
    "zero_point": lambda conditions, survey, share: perturb(
        conditions, survey, zp_shift=2.5 * np.log10(1.0 - share)
    ),
    "cadence": _slower,
}


def mistaken(sequences: SequenceSet, seen: ConditionsTable, told: ConditionsTable) -> SequenceSet:
    """Stamps with the headers of the exposures of ``told`` that stand where theirs do in ``seen``."""
    fields, code = np.unique(seen.rows["field"], return_inverse=True)
    order = np.lexsort((seen.rows["mjd"], code))
    span = np.ptp(seen.rows["mjd"]) + 1.0
    keys = code[order] * span + seen.rows["mjd"][order]
    own = np.searchsorted(fields, sequences.objects["field"])[sequences.owner]
    place = order[np.searchsorted(keys, own * span + sequences.epochs["mjd"])]
    epochs = sequences.epochs.copy()
    for name in epochs.dtype.names or ():
        epochs[name] = told.rows[name][place]
    return replace(sequences, epochs=epochs)


def measure(bench: Bench, kind: str, share: float) -> dict[str, Any]:
    """Hits (N,) of both models at both stages, with the true header and with the mistaken one."""
    survey = bench.survey
    usual = bench.conditions.select_band(survey.band).max_seeing(survey.max_seeing)
    seen = SHIFTS[kind](usual, survey, share) if share else usual
    # Whatever the seeing has become, the same exposures are used.
    patient = survey.model_copy(update={"max_seeing": np.inf})
    config = bench.parameters.simulate.model_copy(update={"seed": bench.parameters.simulate.seed + 1})
    sequences = simulate(patient, seen, _OBJECTS, "test", config)
    headers = {_TRUE: sequences}
    if share:
        headers[_WRONG] = mistaken(sequences, seen, usual)
    found: dict[str, Any] = {}
    for header, told in headers.items():
        objects = tested(bench, "simulated", told, np.full(len(told), -1))
        for (model, stage), said in registered(bench, objects).items():
            classes = said[0, :, -1].argmax(axis=-1)
            found[f"{header}/{stage}/{model}"] = classes == objects.features.labels
    return found


def plan(bench: Bench) -> list[Unit]:
    """One unit for each of the conditions, and one where nothing is changed."""
    key = tuned_key(bench)
    kinds = [(_UNDISTURBED, "seeing", 0.0)]
    kinds += [(f"{kind}-{round(100 * share)}", kind, share) for kind in SHIFTS for share in SHARES]
    return [
        Unit(name, [share, key], partial(measure, kind=kind, share=share), guess=15.0)
        for name, kind, share in kinds
    ]


def run(bench: Bench) -> dict[str, Any]:
    """Accuracy everywhere, and what it differs by from that where nothing is changed."""
    results = bench.units("robustness").do_all(plan(bench), bench)
    found: dict[str, Estimate] = {}
    for name, result in results.items():
        place = name.replace("-", "/")
        compared = _compared(bench, result, results[_UNDISTURBED])
        found |= {f"{place}/{leaf}": one for leaf, one in compared.items()}
    return tree_of(found)


def _compared(bench: Bench, result: Result, undisturbed: Result) -> dict[str, Estimate]:
    config = bench.parameters.evaluate
    objects = np.arange(len(next(iter(undisturbed.values()))))
    resampling = Resampling(objects, config.resamples, np.random.default_rng(config.seed))
    found: dict[str, Estimate] = {}
    for name, hits in result.items():
        header, model = name.split("/", 1)
        here, usual = (
            resample(mean, one[None], resampling) for one in (hits, undisturbed[f"{_TRUE}/{model}"])
        )
        found[f"{header}/{model}/{ACCURACY}"] = here.share()
        if result is not undisturbed:
            found[f"{header}/{model}/change"] = (here - usual).estimate()
    return found


SECTION = Section("robustness", "accuracy in conditions that are not those of the training", run, plan)
