"""Stage report: reports/index.html, one page that needs nothing but itself.

Made, not committed: it shows stamps of the target, which may be real.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from learning import read_learning_curves
from stage import DATA, REPORTS, ROOT, RUNS, stage

from astroreel.classes import CLASSES
from astroreel.evaluation.illustrations import LightCurveExample
from astroreel.evaluation.report import Exclusion, ReportData, describe, render_report
from astroreel.evaluation.results import load_evaluation
from astroreel.files import read_json
from astroreel.photometry.optimal import photometry
from astroreel.provenance import provenance
from astroreel.sequences.file import read_folder
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store
from astroreel.training.reporter import find_spools, read_spool


def longest_of_each_class(sequences: SequenceSet) -> SequenceSet:
    """One object a class: the first among those with the most epochs."""
    present = [label for label in CLASSES if label in sequences.labels]
    lengths = sequences.lengths
    return sequences.select(
        np.array([np.where(sequences.labels == label, lengths, -1).argmax() for label in present])
    )


def light_curves(sequences: SequenceSet, preparation: Preparation) -> list[LightCurveExample]:
    curves = photometry(sequences, preparation)
    parts = [slice(*curves.offsets[index : index + 2]) for index in range(len(sequences))]
    return [
        LightCurveExample(str(label), curves.mjd[p] - curves.mjd[p][0], curves.flux[p], curves.error[p])
        for label, p in zip(sequences.labels, parts, strict=True)
    ]


def exclusions(split: Split) -> list[Exclusion]:
    """Objects left out, at the conversion or at the split, by reason."""
    left_out = {**read_json(DATA / "target" / "conversion.json")["left_out"], **split.excluded}
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in sorted(left_out.items()):
        by_reason[reason].append(name)
    return [Exclusion(reason, tuple(names)) for reason, names in sorted(by_reason.items())]


if __name__ == "__main__":
    with stage("report", recorded=False) as run:
        parameters = run.parameters
        split = Split.read(DATA / "split.json")
        target = cut(read_folder(DATA / "target"), split, parameters.split)
        simulated = {name: load_store(DATA / "simulated" / name) for name in ("train", "valid", "test")}
        examples = longest_of_each_class(simulated["test"])
        origin = provenance(ROOT)
        records = [read_spool(folder) for folder in find_spools(RUNS)]
        data = ReportData(
            evaluation=load_evaluation(DATA / "evaluation.json"),
            scale=parameters.scale,
            parameters=parameters.model_dump(mode="json"),
            provenance={"commit": origin.pop("git.commit"), "dirty": origin.pop("git.dirty"), **origin},
            tables=[
                describe("Target", target),
                *(describe(f"Simulated, {name}", part) for name, part in simulated.items()),
            ],
            exclusions=exclusions(split),
            learning=read_learning_curves(RUNS / "pretrain"),
            light_curves=light_curves(examples, parameters.preparation),
            stamps=examples,
            target_stamps=longest_of_each_class(target),
            seconds={record.name: (record.end_ms - record.start_ms) / 1000 for record in records},
        )
        render_report(REPORTS / "index.html", data)
