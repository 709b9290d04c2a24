"""Stage ingest: the target's labelled sequences, and the survey and the conditions to simulate in.

From the pinned HiTS folder; or a surrogate; or, of a survey without labels, no sequence and a forecast.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from stage import DATA, ROOT, Stage, stage

from astroreel.files import replacing_folder, write_json
from astroreel.sequences.file import write_sequence
from astroreel.sequences.hits import convert_hits
from astroreel.sequences.record import Sequence
from astroreel.sequences.surrogate import simulate_surrogate
from astroreel.source import read_survey, verify_source, verify_survey
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.hits import read_hits_conditions
from astroreel.survey.survey import Survey


def ingest_hits(run: Stage) -> None:
    source = verify_source(ROOT, run.parameters.source)
    with run.progress("convert HiTS") as progress:
        report = convert_hits(source, DATA / "target", progress, resample=run.parameters.ingest.resample)
    read_hits_conditions(source).write(DATA / "conditions.ecsv")
    run.reporter.params({"path": run.parameters.source.path, "digest": run.parameters.source.digest})
    run.reporter.metrics({f"kept.{label}": count for label, count in report.kept.items()})
    run.reporter.metrics({"left_out": len(report.left_out)})


def ingest_surrogate(run: Stage, survey: Survey) -> None:
    config = run.parameters.ingest
    with run.progress("simulate the surrogate") as progress:
        sequences = simulate_surrogate(survey, config, progress)
    write_target(sequences, {"surrogate": config.model_dump(mode="json"), "left_out": {}})
    run.reporter.params(config.model_dump())


def ingest_unlabelled(run: Stage) -> None:
    verify_survey(ROOT, run.parameters.source)
    write_target([], {"left_out": {}})


def write_target(sequences: Iterable[Sequence], conversion: dict[str, Any]) -> None:
    with replacing_folder(DATA / "target") as folder:
        for sequence in sequences:
            write_sequence(folder / f"{sequence.name}.fits", sequence)
        write_json(folder / "conversion.json", conversion)


def forecast(run: Stage, survey: Survey) -> None:
    rng = np.random.default_rng(run.parameters.simulate.seed)
    generate_conditions(survey, run.parameters.ingest.n_fields, rng).write(DATA / "conditions.ecsv")


if __name__ == "__main__":
    with stage("ingest") as run:
        survey = read_survey(ROOT, run.parameters.simulate.survey)
        match run.parameters.source.target:
            case "hits":
                ingest_hits(run)
            case "surrogate":
                ingest_surrogate(run, survey)
                forecast(run, survey)
            case _:
                ingest_unlabelled(run)
                forecast(run, survey)
        write_json(DATA / "survey.json", survey.model_dump(mode="json"))
