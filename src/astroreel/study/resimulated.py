"""Short trainings on other simulations, all of one size and length: what the simulator's variety buys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from astroreel.files import read_json
from astroreel.images.profiles import Family
from astroreel.lightcurves.partition import Split
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import Prepared, prepare
from astroreel.sequences.simulate import simulate
from astroreel.study.bench import Bench
from astroreel.study.tables import probabilities
from astroreel.study.units import Result
from astroreel.survey.artefacts import Artefacts
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.forecast import generate_conditions, perturb
from astroreel.survey.survey import Survey
from astroreel.training.loop import train
from astroreel.training.reporter import NullReporter

#: The pipeline's own simulation.
AS_IS = "as_is"

#: Of the pipeline's training and validation objects and of its iterations.
_SHARE = 4

#: Seeing [times], sky [times] and zero point [mag] of the copies that widen the conditions.
_WIDER = ((1.0, 1.0, 0.0), (1.15, 1.3, -0.1), (0.87, 0.77, 0.1), (1.15, 0.77, 0.1), (0.87, 1.3, -0.1))


@dataclass(frozen=True)
class Resimulation:
    """How one simulation differs from the pipeline's.

    Attributes
    ----------
    survey, conditions
        Make the survey and the exposures of the pipeline's.
    psf_family
        None: the pipeline's.
    """

    survey: Callable[[Survey], Survey] = lambda survey: survey
    conditions: Callable[[ConditionsTable, Survey], ConditionsTable] = lambda table, survey: table
    psf_family: Family | None = None


def without_artefacts(survey: Survey) -> Survey:
    """The survey's images with nothing but sources, sky and noise."""
    return survey.model_copy(update={"artefacts": Artefacts()})


def forecast(conditions: ConditionsTable, survey: Survey) -> ConditionsTable:
    """As many fields, in conditions that the survey's model draws at random."""
    return generate_conditions(survey, len(conditions.fields), np.random.default_rng(0))


def widened(conditions: ConditionsTable, survey: Survey) -> ConditionsTable:
    """The exposures as they are, and four times with another seeing, sky and zero point."""
    copies = []
    for number, (seeing, sky, shift) in enumerate(_WIDER):
        rows = perturb(conditions, survey, seeing_factor=seeing, sky_factor=sky, zp_shift=shift).rows.copy()
        rows["field"] = np.char.add(rows["field"], f"-{number}")
        copies.append(rows)
    return ConditionsTable(np.concatenate(copies))


RESIMULATIONS: Mapping[str, Resimulation] = {
    AS_IS: Resimulation(),
    "no_artefacts": Resimulation(survey=without_artefacts),
    "moffat_psfs": Resimulation(psf_family="moffat"),
    "double_gaussian_psfs": Resimulation(psf_family="double_gaussian"),
    "forecast_conditions": Resimulation(conditions=forecast),
    "wider_conditions": Resimulation(conditions=widened),
}


def resimulated(name: str, bench: Bench) -> Result:
    """What the pipeline's network says of the target after a quarter of the pipeline's training."""
    parameters, arm = bench.parameters, RESIMULATIONS[name]
    survey = arm.survey(bench.survey)
    conditions = arm.conditions(bench.conditions, bench.survey)
    changes = {} if arm.psf_family is None else {"psf_family": arm.psf_family}
    config = parameters.simulate.model_copy(update=changes)

    def simulated(split: Split, n: int) -> Prepared:
        return prepare(simulate(survey, conditions, n // _SHARE, split, config), parameters.preparation)

    best = read_json(bench.root / "models" / "search" / "best.json")
    training = parameters.pretrain.model_copy(
        update={
            "learning_rate": best["learning_rate"],
            "iterations": max(parameters.pretrain.iterations // _SHARE, 1),
        }
    )
    network = build(best["network"], training.seed)
    sets = simulated("train", config.n_train), simulated("valid", config.n_valid)
    train(network, *sets, training, NullReporter())
    classifier = RcnnClassifier(network.to("cpu"), parameters.preparation)
    return {"target": probabilities(classifier, bench.target)}
