"""``astroreel simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from astroreel.classes import CLASSES
from astroreel.cli.console import bar, output
from astroreel.files import check_new_folder, replacing_folder

#: Fields whose conditions are drawn.
FIELDS = 100


def simulate(
    out: Annotated[Path, typer.Option(help="A new folder to write to.")],
    survey: Annotated[str, typer.Option(help="A survey's name, or its configuration file.")] = "hits",
    n: Annotated[int, typer.Option(min=1, help="Sequences in all; classes come equally.")] = 700,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    class_name: Annotated[str | None, typer.Option("--class", help="Only this class.")] = None,
    form: Annotated[
        Literal["store", "fits"], typer.Option("--format", help="store: arrays; fits: one file an object.")
    ] = "store",
) -> None:
    """Simulate labelled sequences in a survey's conditions."""
    import numpy as np

    from astroreel.classes import class_index
    from astroreel.sequences.file import write_sequence
    from astroreel.sequences.simulate import SimulationConfig
    from astroreel.sequences.simulate import simulate as simulate_sequences
    from astroreel.sequences.store import save_store
    from astroreel.survey.forecast import generate_conditions
    from astroreel.survey.survey import load_survey

    check_new_folder(out)
    if class_name is not None:
        class_index(class_name)
    chosen = load_survey(survey)
    config = SimulationConfig(survey=survey, seed=seed)
    with bar("simulate") as progress:
        sequences = simulate_sequences(
            chosen,
            generate_conditions(chosen, FIELDS, np.random.default_rng(seed)),
            n,
            "train",
            config,
            classes=CLASSES if class_name is None else (class_name,),
            progress=progress,
        )
    if form == "store":
        save_store(out, sequences)
    else:
        with replacing_folder(out) as scratch:
            for sequence in sequences:
                write_sequence(scratch / f"{sequence.name}.fits", sequence)
    output.print(f"{out}: {len(sequences)} sequences, {len(sequences.epochs)} stamps", markup=False)
