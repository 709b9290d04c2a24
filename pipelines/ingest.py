"""Stage ingest: the target's labelled sequences and the conditions to simulate in.

From the pinned HiTS folder, or a surrogate where the parameters name none.
"""

from __future__ import annotations

import numpy as np
from stage import DATA, ROOT, Stage, stage

from astroreel.files import replacing_folder, write_json
from astroreel.sequences.file import write_sequence
from astroreel.sequences.hits import convert_hits
from astroreel.sequences.surrogate import simulate_surrogate
from astroreel.source import verify_source
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.hits import read_hits_conditions
from astroreel.survey.survey import load_survey


def ingest_hits(run: Stage) -> None:
    source = verify_source(ROOT, run.parameters.source)
    with run.progress("convert HiTS") as progress:
        report = convert_hits(source, DATA / "target", progress)
    read_hits_conditions(source).write(DATA / "conditions.ecsv")
    run.reporter.params({"path": run.parameters.source.path, "digest": run.parameters.source.digest})
    run.reporter.metrics({f"kept.{label}": count for label, count in report.kept.items()})
    run.reporter.metrics({"left_out": len(report.left_out)})


def ingest_surrogate(run: Stage) -> None:
    config = run.parameters.ingest
    survey = load_survey(run.parameters.simulate.survey)
    with run.progress("simulate the surrogate") as progress:
        sequences = simulate_surrogate(survey, config, progress)
    with replacing_folder(DATA / "target") as folder:
        for sequence in sequences:
            write_sequence(folder / f"{sequence.name}.fits", sequence)
        write_json(folder / "conversion.json", {"surrogate": config.model_dump(mode="json"), "left_out": {}})
    rng = np.random.default_rng(run.parameters.simulate.seed)
    generate_conditions(survey, config.n_fields, rng).write(DATA / "conditions.ecsv")
    run.reporter.params(config.model_dump())


if __name__ == "__main__":
    with stage("ingest") as run:
        ingest_hits(run) if run.parameters.source.target == "hits" else ingest_surrogate(run)
