"""How ``mlflow.pyfunc.load_model`` opens a bundle: by the same verified loader as everything else.

The model's ``predict`` takes a `SequenceSet` and gives an (M, 7) array: class probabilities after
every epoch.
"""

from __future__ import annotations

from pathlib import Path

from astroreel.models.classifier import Classifier
from astroreel.models.load import load_classifier


def _load_pyfunc(data_path: str) -> Classifier:
    return load_classifier(Path(data_path))
