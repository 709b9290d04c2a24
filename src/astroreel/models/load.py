"""From a bundle on disk to the classifier that it holds."""

from __future__ import annotations

from pathlib import Path

from astroreel.errors import UserError
from astroreel.models.bundle import load_bundle
from astroreel.models.classifier import Classifier


def load_classifier(path: Path, device: str = "cpu", digest: str = "") -> Classifier:
    """The classifier held by the bundle at ``path``.

    Parameters
    ----------
    device
        Where a network runs; a forest always runs on the processor.
    digest
        What the bundle must be; "" for any.

    Raises
    ------
    UserError
        As `load_bundle`, where the bundle is another, or its weights are not those of its architecture.
    """
    bundle = load_bundle(path)
    if digest and bundle.digest != digest:
        raise UserError(f"{path}: is bundle {bundle.digest[:12]}, expected {digest[:12]}: it was replaced")
    if bundle.kind == "forest":
        from astroreel.models.forest import ForestClassifier

        return ForestClassifier.from_bundle(bundle)
    from astroreel.models.rcnn import RcnnClassifier

    return RcnnClassifier.from_bundle(bundle, device)
