"""One more frame of each of many objects: states in, answers and the next states out.

A state is a plain record: whose it is, how far it got, and what the network carries. Preparation and
calibration are those of the batch, so that a stream answers as `RcnnClassifier.predict` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from astroreel.classes import CLASSES
from astroreel.models.interface import State
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import prepare
from astroreel.sequences.record import SequenceSet

#: The fields of an object's header that a network may read.
CAMERA = ("pixscale", "gain", "rdnoise", "saturate")

Precision = Literal["float32", "bfloat16"]

#: What is known of every object, whichever network carries the rest: the digest of the bundle that the
#: state belongs to, the frames that it has read, all that the object ever had, and the times of the first
#: one read and of the last [d].
HEAD_DTYPE = np.dtype([("bundle", "S64"), ("epochs", "i8"), ("seen", "i8"), ("first", "f8"), ("last", "f8")])

#: An answer to a frame: the digest of the bundle that gave it, the frames of the object that it rests on
#: (0: the frame is refused), and the class probabilities (NaN where refused).
ANSWER_DTYPE = np.dtype([("bundle", "S64"), ("n_epochs", "i8"), ("probability", "f8", (len(CLASSES),))])


@dataclass(frozen=True)
class Stepper:
    """A network that goes on from where it was.

    Attributes
    ----------
    classifier
        Network, preparation and calibration; the network as for inference.
    digest
        Of its bundle. A state belongs to one bundle and is of no use to another.
    precision
        ``bfloat16`` multiplies in half precision where that is safe. It pays where convolutions are wide and
        frames come in micro-batches; answers move by up to 1e-2.
    dtype
        Of a state: the fields of :data:`HEAD_DTYPE`, then ``network``.
    """

    classifier: RcnnClassifier
    digest: str
    precision: Precision = "float32"
    dtype: np.dtype[np.void] = field(init=False)

    def __post_init__(self) -> None:
        carried = [
            (f"{number}", array.dtype, array.shape[1:])
            for number, array in enumerate(_arrays(self.classifier.network.initial_state(1)))
        ]
        object.__setattr__(self, "dtype", np.dtype([*HEAD_DTYPE.descr, ("network", carried)]))

    def start(self, n: int) -> NDArray[np.void]:
        """The states (n,) of objects before their first frame."""
        states = np.zeros(n, self.dtype)
        states["bundle"] = self.digest.encode()
        states["last"] = -np.inf
        _fill(states, self.classifier.network.initial_state(n))
        return states

    def owns(self, state: bytes) -> bool:
        """Whether the bytes are a state of this bundle."""
        return len(state) == self.dtype.itemsize and state.startswith(self.digest.encode())

    def read(self, states: list[bytes]) -> NDArray[np.void]:
        """The states that the bytes of this bundle's states are."""
        return np.frombuffer(b"".join(states), self.dtype)

    @torch.inference_mode()
    def step(
        self, states: NDArray[np.void], frames: SequenceSet
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """The states (n,) after one more frame of each object, and the answers (n,) of ANSWER_DTYPE.

        ``frames`` holds the n objects with one epoch each, later than their last.
        """
        classifier, device = self.classifier, self.classifier.device
        prepared = prepare(frames, classifier.preparation)
        mjd = frames.epochs["mjd"]
        first = np.where(states["epochs"] == 0, mjd, states["first"])
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits, carried = classifier.network.step(
                torch.from_numpy(prepared.stamps[:, 0]).to(device),
                torch.from_numpy((mjd - first).astype(np.float32)).to(device),
                torch.from_numpy(prepared.conditions[:, 0]).to(device),
                self._carried(states),
            )
        after = np.empty_like(states)
        after["bundle"], after["first"], after["last"] = states["bundle"], first, mjd
        after["epochs"], after["seen"] = states["epochs"] + 1, states["seen"] + 1
        _fill(after, carried)
        tempered = logits.double().cpu().numpy() / classifier.temperature
        answers = np.empty(len(states), ANSWER_DTYPE)
        answers["bundle"], answers["n_epochs"] = after["bundle"], after["epochs"]
        answers["probability"] = softmax(tempered, axis=1)
        return after, answers

    def _carried(self, states: NDArray[np.void]) -> State:
        carried = states["network"]
        arrays = (carried[name].copy() for name in carried.dtype.names or ())
        return tuple(torch.from_numpy(array).to(self.classifier.device) for array in arrays)


def single_frames(sequences: SequenceSet) -> SequenceSet:
    """Each frame as an object of one epoch."""
    if len(sequences) == len(sequences.epochs) and (sequences.lengths == 1).all():
        return sequences
    return SequenceSet(
        objects=sequences.objects[sequences.owner],
        offsets=np.arange(len(sequences.epochs) + 1),
        stamps=sequences.stamps,
        epochs=sequences.epochs,
    )


def _fill(states: NDArray[np.void], carried: State) -> None:
    for number, array in enumerate(_arrays(carried)):
        states["network"][f"{number}"] = array


def _arrays(carried: State) -> list[np.ndarray]:
    # numpy knows no bfloat16.
    return [(x.float() if x.dtype == torch.bfloat16 else x).cpu().numpy() for x in carried]
