"""What a run of the pipeline left in a project's folder, as models to publish.

A fine-tuned version carries the figures of the procedure that made it: means over all draws and folds,
of which it is the one that the parameters fixed beforehand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.parameters import Parameters
from astroreel.sequences.split import Split
from astroreel.study import gap
from astroreel.study.bench import Bench
from astroreel.tracking.card import TEMPLATE, Figure, FineTuning
from astroreel.tracking.publish import TrainedModel, publish_all
from astroreel.tracking.registry import Labelled
from astroreel.tracking.store import ADDRESS

_HEADLINE = "mean_recall_22"
_MEASURES = {"simulated": "accuracy_22", "real": _HEADLINE, "surrogate": _HEADLINE}


def publish_project(root: Path, parameters: Parameters) -> dict[str, Any]:
    """Publish the runs and models below ``root``, each once; see `publish_all` for what it returns.

    Raises `UserError` where the pipeline has not been run, or as `publish_all`.
    """
    if not (root / "reports" / "metrics.json").exists():
        raise UserError(f"{root}: no reports/metrics.json: there is nothing to publish; run `make repro`")
    registry = parameters.registry
    uri = os.environ.get(ADDRESS) or registry.tracking_uri
    models = trained_models(root, parameters)
    return publish_all(root / "runs", models, root / TEMPLATE, uri, registry.experiment)


def trained_models(root: Path, parameters: Parameters) -> list[TrainedModel]:
    """The models that become versions: both families from simulations alone, and one fine-tuned of each.

    A survey without labels has no fine-tuned ones.
    """
    draw, fold = parameters.registry.draw, parameters.registry.fold
    tuned = f"draw-{draw}-fold-{fold}"
    tuned_run = root / "runs" / "finetune" / "children" / tuned
    pretrained = {"rcnn": root / "models" / "pretrained", "forest": root / "models" / "forest"}
    runs = {"rcnn": root / "runs" / "pretrain", "forest": root / "runs" / "forest"}
    metrics = read_json(root / "reports" / "metrics.json")
    gaps = gap.run(Bench(root))

    def model(kind: str, bundle: Path, run: Path, tuning: FineTuning | None = None) -> TrainedModel:
        stage = "fine_tuned" if tuning else "zero_shot"
        figures = dict(_figures(metrics, kind, stage)) | dict(_gap(gaps, parameters, kind, stage))
        return TrainedModel(
            bundle=bundle,
            run=run,
            target=parameters.source.target,
            scale=parameters.scale,
            figures=figures,
            headline=next((name for name in figures if name.endswith(_HEADLINE)), ""),
            slices=dict(_slices(metrics, kind, stage)),
            tuning=tuning,
            labelled=_labelled(root, draw, fold) if tuning else (),
            search=root / "runs" / "search" if kind == "rcnn" else None,
        )

    def fine_tuned(kind: str) -> TrainedModel:
        tuning = FineTuning(pretrained[kind], parameters.split.shots, draw, fold)
        return model(kind, root / "models" / "finetuned" / tuned / kind, tuned_run, tuning)

    return [
        *(model(kind, pretrained[kind], runs[kind]) for kind in pretrained),
        *(fine_tuned(kind) for kind in pretrained if parameters.source.labelled),
    ]


def _figures(metrics: dict[str, Any], kind: str, stage: str) -> Iterator[tuple[str, Figure]]:
    for domain, measure in _MEASURES.items():
        leaf = metrics.get(domain, {}).get(kind, {}).get(stage, {}).get(measure)
        if leaf is not None:
            yield f"{domain}.{measure}", Figure(leaf["value"], leaf["low"], leaf["high"], leaf["n"])


def _gap(gaps: dict[str, Any], parameters: Parameters, kind: str, stage: str) -> Iterator[tuple[str, Figure]]:
    """How far the simulation is from the target, of this very version."""
    domain = "surrogate" if parameters.source.target == "surrogate" else "real"
    for measure in ("gap", "domain_auc"):
        if leaf := gaps.get(stage, {}).get(kind, {}).get(measure):
            yield f"{domain}.{measure}", Figure(leaf["value"], leaf["low"], leaf["high"], leaf["n"])


def _slices(metrics: dict[str, Any], kind: str, stage: str) -> Iterator[tuple[str, Figure]]:
    """Recall of each class on the target."""
    for domain in ("real", "surrogate"):
        recalls = metrics.get(domain, {}).get(kind, {}).get(stage, {}).get("recall_22", {})
        for label, leaf in sorted(recalls.items()):
            yield f"{domain}.recall_22.{label}", Figure(leaf["value"], leaf["low"], leaf["high"], leaf["n"])


def _labelled(root: Path, draw: int, fold: int) -> list[Labelled]:
    """The few labelled objects that the models of a draw and fold learned from."""
    split = Split.read(root / "data" / "split.json")
    shots = ((name, split.objects[name]) for name in sorted(split.shots[draw][fold]))
    return [Labelled(name, entry.label, entry.field) for name, entry in shots]
