"""Stage report: reports/index.html, one page that needs nothing but itself.

Made, not committed: it shows stamps of the target, which may be real.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from learning import read_learning_curves
from stage import DATA, MODELS, REPORTS, ROOT, RUNS, stage

from astroreel.evaluation.answers import Answers
from astroreel.evaluation.gallery import longest_of_each_class
from astroreel.evaluation.populations import median_magnitudes
from astroreel.evaluation.report import Exclusion, ReportData, describe, render_report
from astroreel.evaluation.results import load_evaluation
from astroreel.evaluation.supernovae import supernovae
from astroreel.files import read_json
from astroreel.parameters import Parameters
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.twins import twins
from astroreel.provenance import provenance
from astroreel.sequences.file import read_folder
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import Survey, load_survey
from astroreel.training.reporter import find_spools, read_spool
from astroreel.training.search import Trial


def measured(parameters: Parameters) -> dict[str, FeatureSet]:
    """The light curves of the simulated test set and of the target, as far as it has objects."""
    domain = "surrogate" if parameters.source.target == "surrogate" else "real"
    sets = {
        name: FeatureSet.load(DATA / "features" / f"{file}.npz")
        for name, file in (("simulated", "test"), (domain, "target"))
    }
    return {name: one for name, one in sets.items() if len(one)}


def conditions(parameters: Parameters, survey: Survey) -> dict[str, ConditionsTable]:
    """The conditions that were simulated in; beside HiTS's own, as many fields as modelled."""
    used = ConditionsTable.read(DATA / "conditions.ecsv").select_band(survey.band)
    if parameters.source.target != "hits":
        return {"modelled": used}
    rng = np.random.default_rng(parameters.simulate.seed)
    return {"modelled": generate_conditions(survey, len(used.fields), rng), "real": used}


def exclusions(split: Split) -> list[Exclusion]:
    """Objects left out, at the conversion or at the split, by reason."""
    left_out = {**read_json(DATA / "target" / "conversion.json")["left_out"], **split.excluded}
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in sorted(left_out.items()):
        by_reason[reason].append(name)
    return [Exclusion(reason, tuple(names)) for reason, names in sorted(by_reason.items())]


def study_of(target: str) -> dict[str, Any]:
    """The sections of the study that were measured on this target."""
    sections: dict[str, Any] = read_json(REPORTS / "study.json")
    return {name: tree for name, tree in sections.items() if tree["target"] == target}


if __name__ == "__main__":
    with stage("report", recorded=False) as run:
        parameters = run.parameters
        split = Split.read(DATA / "split.json")
        target = cut(read_folder(DATA / "target"), split, parameters.split)
        simulated = {name: load_store(DATA / "simulated" / name) for name in ("train", "valid", "test")}
        survey = load_survey(DATA / "survey.json")
        shown = longest_of_each_class(target)
        origin = provenance(ROOT)
        curves = measured(parameters)
        detections = {name: entry.detection for name, entry in split.objects.items()}
        records = [read_spool(folder) for folder in find_spools(RUNS)]
        data = ReportData(
            evaluation=load_evaluation(DATA / "evaluation.json"),
            scale=parameters.scale,
            parameters=parameters.model_dump(mode="json"),
            provenance={"commit": origin.pop("git.commit"), "dirty": origin.pop("git.dirty"), **origin},
            tables=[
                *([describe("Target", target)] if len(target) else []),
                *(describe(f"Simulated, {name}", part) for name, part in simulated.items()),
            ],
            exclusions=exclusions(split),
            learning=read_learning_curves(RUNS / "pretrain"),
            trials=[Trial.from_json(one) for one in read_json(MODELS / "search" / "trials.json")],
            importances=read_json(MODELS / "search" / "importances.json"),
            curves=curves,
            supernovae=supernovae(target, detections, Answers.load(DATA / "answers.npz")),
            examples=longest_of_each_class(simulated["test"]),
            twins=(shown, twins(shown, survey, parameters.simulate.seed)) if len(shown) else None,
            magnitudes={n: median_magnitudes(one, parameters.preparation) for n, one in curves.items()},
            conditions=conditions(parameters, survey),
            study=study_of(parameters.source.target),
            benchmarks=read_json(REPORTS / "benchmarks.json"),
            seconds={record.name: (record.end_ms - record.start_ms) / 1000 for record in records},
        )
        render_report(REPORTS / "index.html", data)
