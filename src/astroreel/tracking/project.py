"""What a run of the pipeline left in a project's folder, as models to publish.

A fine-tuned version carries the figures of the procedure that made it: means over all draws and folds,
of which it is the one that the parameters fixed beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.parameters import Parameters
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
    tuned = f"draw-{parameters.registry.draw}-fold-{parameters.registry.fold}"
    tuned_run = root / "runs" / "finetune" / "children" / tuned
    pretrained = {"rcnn": root / "models" / "pretrained", "forest": root / "models" / "forest"}
    runs = {"rcnn": root / "runs" / "pretrain", "forest": root / "runs" / "forest"}
    metrics = read_json(root / "reports" / "metrics.json")

    def model(
        kind: str, bundle: Path, run: Path, stage: Literal["zero_shot", "fine_tuned"], parent: Path | None
    ) -> TrainedModel:
        figures = dict(_figures(metrics, kind, stage))
        return TrainedModel(
            bundle=bundle,
            run=run,
            target=parameters.source.target,
            training="simulated" if stage == "zero_shot" else "fine-tuned",
            scale=parameters.scale,
            metrics=figures,
            headline=next((name for name in figures if name.endswith(_HEADLINE)), ""),
            parent=parent,
        )

    return [
        *(model(kind, pretrained[kind], runs[kind], "zero_shot", None) for kind in pretrained),
        *(
            model(
                kind, root / "models" / "finetuned" / tuned / kind, tuned_run, "fine_tuned", pretrained[kind]
            )
            for kind in pretrained
        ),
    ]


def _figures(metrics: dict[str, Any], kind: str, stage: str) -> Iterator[tuple[str, float]]:
    for domain, measure in _MEASURES.items():
        leaf = metrics.get(domain, {}).get(kind, {}).get(stage, {}).get(measure)
        if leaf is not None:
            yield f"{domain}.{measure}", leaf["value"]
            for part in ("low", "high", "n"):
                yield f"{domain}.{measure}.{part}", leaf[part]
