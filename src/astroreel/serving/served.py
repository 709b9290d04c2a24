"""What is being served of a registered model, and what takes its place when another is deployed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from astroreel.errors import UserError
from astroreel.governance.deployment import Deployment, Pointer
from astroreel.models.classifier import Classifier
from astroreel.models.load import load_classifier
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.record import EPOCH_DTYPE, MIN_EPOCHS, OBJECT_DTYPE, STAMP_SIZE, SequenceSet
from astroreel.serving.step import CAMERA, Precision, Stepper


@dataclass(frozen=True)
class Loaded:
    """A deployed version in memory.

    Attributes
    ----------
    pointer
        What is deployed.
    classifier
        Of whole sequences.
    stepper
        Of single frames; None for a forest, which needs the whole light curve.
    """

    pointer: Pointer
    classifier: Classifier
    stepper: Stepper | None


class ServedModel:
    """A registered model's deployed version, kept in memory.

    Parameters
    ----------
    deployment
        Where the pointer is.
    name
        Of the registered model.
    precision
        In which frames are answered; see `Stepper`.

    Attributes
    ----------
    loaded
        What answers; None while nothing is deployed. It is replaced at once, never changed: who holds one
        may finish with it.
    problem
        Why what is deployed could not be loaded, so that what was there before goes on answering; or "".
    """

    def __init__(self, deployment: Deployment, name: str, precision: Precision = "float32") -> None:
        self.deployment = deployment
        self.name = name
        self.precision = precision
        self.loaded: Loaded | None = None
        self.problem = ""

    def refresh(self) -> bool:
        """Load what is deployed now, if it is not loaded; whether something else answers from here on."""
        before = self.loaded
        try:
            pointer = self.deployment.pointer(self.name)
            self.loaded = self._load(pointer) if pointer else None
            self.problem = ""
        except UserError as error:
            self.problem = str(error)
        except Exception as error:  # whatever else is wrong with it, the version before is sound
            self.problem = f"cannot be loaded ({type(error).__name__}: {' '.join(str(error).split()):.200})"
        return self.loaded is not before

    def _load(self, pointer: Pointer) -> Loaded:
        if self.loaded is not None and self.loaded.pointer == pointer:
            return self.loaded
        if self.loaded is not None and self.loaded.pointer.digest == pointer.digest:
            return replace(self.loaded, pointer=pointer)
        folder = self.deployment.bundle_of(pointer)
        classifier = load_classifier(folder, digest=pointer.digest)
        stepper = None
        if isinstance(classifier, RcnnClassifier):
            stepper = Stepper(classifier, pointer.digest, self.precision)
        _try(pointer.uri, classifier, stepper)
        return Loaded(pointer, classifier, stepper)


def _try(name: str, classifier: Classifier, stepper: Stepper | None) -> None:
    """Answer for empty sky once: what gives no number is found, and the first request does not pay."""
    sky = _empty_sky()
    given = [classifier.predict(sky)]
    if stepper is not None:
        first = sky.window(0, 1)
        given.append(stepper.step(stepper.start(len(first)), first)[1]["probability"])
    if not all(np.isfinite(probability).all() for probability in given):
        raise UserError(f"{name}: gives no probabilities for an empty stamp: its weights are no numbers")


def _empty_sky(n: int = 2) -> SequenceSet:
    objects, epochs = np.zeros(n, OBJECT_DTYPE), np.zeros(n * MIN_EPOCHS, EPOCH_DTYPE)
    objects["name"] = [f"sky-{number}" for number in range(n)]
    for name in CAMERA:
        objects[name] = 1.0
    for name in ("exptime", "seeing", "airmass", "sky"):
        epochs[name] = 1.0
    epochs["band"], epochs["zp"], epochs["limmag"] = "g", 25.0, 23.0
    epochs["mjd"] = np.tile(np.arange(MIN_EPOCHS), n)
    stamps = np.ones((len(epochs), STAMP_SIZE, STAMP_SIZE), np.float32)
    return SequenceSet(objects, np.arange(n + 1) * MIN_EPOCHS, stamps, epochs)
