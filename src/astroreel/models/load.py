"""From a bundle on disk to the classifier that it holds."""

from __future__ import annotations

from pathlib import Path

from astroreel.models.bundle import load_bundle
from astroreel.models.classifier import Classifier


def load_classifier(path: Path, device: str = "cpu") -> Classifier:
    """The classifier held by the bundle at ``path``; raises as `load_bundle`.

    ``device`` is where a network runs; a forest always runs on the processor.
    """
    bundle = load_bundle(path)
    if bundle.kind == "forest":
        from astroreel.models.forest import ForestClassifier

        return ForestClassifier.from_bundle(bundle)
    from astroreel.models.rcnn import RcnnClassifier

    return RcnnClassifier.from_bundle(bundle, device)
