"""``astroreel simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from astroreel.classes import CLASSES
from astroreel.cli.console import bar, output, say

#: Fields whose conditions are drawn.
FIELDS = 100


def simulate(
    out: Annotated[Path, typer.Option(help="A new folder, or what a run that was cut short left.")],
    survey: Annotated[str, typer.Option(help="A survey's name, or its configuration file.")] = "hits",
    n: Annotated[int, typer.Option(min=1, help="Sequences in all; classes come equally.")] = 700,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    class_name: Annotated[str | None, typer.Option("--class", help="Only this class.")] = None,
    form: Annotated[
        Literal["store", "fits"], typer.Option("--format", help="store: arrays; fits: one file an object.")
    ] = "store",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a processor.")] = 0,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster to simulate on.")] = None,
) -> None:
    """Simulate labelled sequences in a survey's conditions.

    The same command again goes on where it was cut short.
    """
    import numpy as np

    from astroreel.classes import class_index
    from astroreel.sequences.recipe import Recipe
    from astroreel.sequences.shards import simulate_to
    from astroreel.sequences.simulate import SimulationConfig
    from astroreel.survey.forecast import generate_conditions
    from astroreel.survey.survey import load_survey

    if class_name is not None:
        class_index(class_name)
    chosen = load_survey(survey)
    recipe = Recipe(
        chosen,
        generate_conditions(chosen, FIELDS, np.random.default_rng(seed)),
        "train",
        SimulationConfig(survey=survey, seed=seed, workers=workers, address=address),
        CLASSES if class_name is None else (class_name,),
    )
    with bar("simulate") as progress:
        simulate_to(out, recipe, n, form, say, progress)
    output.print(f"{out}: {n} sequences", markup=False)
