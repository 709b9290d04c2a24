"""What a run of the pipeline left in a project's folder, as models to publish.

A fine-tuned version carries the figures of the procedure that made it: means over all draws and folds,
of which it is the one that the parameters fixed beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.parameters import Parameters
from astroreel.tracking.card import Figure, FineTuning
from astroreel.tracking.publish import TrainedModel, publish_all

_HEADLINE = "mean_recall_22"
_MEASURES = {"simulated": "accuracy_22", "real": _HEADLINE, "surrogate": _HEADLINE}


def publish_project(root: Path, parameters: Parameters) -> dict[str, Any]:
    """Publish the runs and models below ``root``, each once; see `publish_all` for what it returns.

    Raises `UserError` where the pipeline has not been run, or as `publish_all`.
    """
    if not (root / "reports" / "metrics.json").exists():
        raise UserError(f"{root}: no reports/metrics.json: there is nothing to publish; run `make repro`")
    uri = parameters.registry.tracking_uri
    return publish_all(root / "runs", trained_models(root, parameters), uri, parameters.registry.experiment)


def trained_models(root: Path, parameters: Parameters) -> list[TrainedModel]:
    """The models that become versions: both families from simulations alone, and one fine-tuned of each."""
    draw, fold = parameters.registry.draw, parameters.registry.fold
    tuned = f"draw-{draw}-fold-{fold}"
    tuned_run = root / "runs" / "finetune" / "children" / tuned
    pretrained = {"rcnn": root / "models" / "pretrained", "forest": root / "models" / "forest"}
    runs = {"rcnn": root / "runs" / "pretrain", "forest": root / "runs" / "forest"}
    metrics = read_json(root / "reports" / "metrics.json")

    def model(kind: str, bundle: Path, run: Path, tuning: FineTuning | None = None) -> TrainedModel:
        figures = dict(_figures(metrics, kind, "fine_tuned" if tuning else "zero_shot"))
        return TrainedModel(
            bundle=bundle,
            run=run,
            target=parameters.source.target,
            scale=parameters.scale,
            figures=figures,
            headline=next((name for name in figures if name.endswith(_HEADLINE)), ""),
            tuning=tuning,
        )

    def fine_tuned(kind: str) -> TrainedModel:
        tuning = FineTuning(pretrained[kind], parameters.split.shots, draw, fold)
        return model(kind, root / "models" / "finetuned" / tuned / kind, tuned_run, tuning)

    return [
        *(model(kind, pretrained[kind], runs[kind]) for kind in pretrained),
        *(fine_tuned(kind) for kind in pretrained),
    ]


def _figures(metrics: dict[str, Any], kind: str, stage: str) -> Iterator[tuple[str, Figure]]:
    for domain, measure in _MEASURES.items():
        leaf = metrics.get(domain, {}).get(kind, {}).get(stage, {}).get(measure)
        if leaf is not None:
            yield f"{domain}.{measure}", Figure(leaf["value"], leaf["low"], leaf["high"], leaf["n"])
