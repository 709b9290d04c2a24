"""The simulated sequences that a network is trained on: stored by the stage simulate, or streamed."""

from __future__ import annotations

from pathlib import Path

from astroreel.parameters import Parameters
from astroreel.sequences.prepare import LazyPrepared
from astroreel.sequences.recipe import Recipe
from astroreel.sequences.store import load_store
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.survey import load_survey
from astroreel.training.loop import TrainingSet
from astroreel.training.stream import Stream


def training_set(root: Path, parameters: Parameters) -> TrainingSet:
    """What ``pretrain.source`` names, in the folder ``root`` of a pipeline; raises `UserError` without it."""
    if parameters.pretrain.source == "stream":
        return stream(root, parameters)
    return LazyPrepared(load_store(root / "data" / "simulated" / "train"), parameters.preparation)


def stream(root: Path, parameters: Parameters) -> Stream:
    """The stream of the pipeline's simulation."""
    config, simulation = parameters.pretrain, parameters.simulate
    conditions = ConditionsTable.read(root / "data" / "conditions.ecsv")
    recipe = Recipe(load_survey(simulation.survey), conditions, "train", simulation)
    return Stream(recipe, parameters.preparation, config.reuse, config.reservoir)
