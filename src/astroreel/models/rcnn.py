"""A recurrent convolutional network as a classifier: prepared input, calibrated output, a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.models.bundle import ARCHITECTURE, WEIGHTS, Bundle, save_bundle
from astroreel.models.inference import predict_logits
from astroreel.models.interface import SequenceNetwork
from astroreel.models.networks import build
from astroreel.sequences.prepare import Preparation, prepare
from astroreel.sequences.record import SequenceSet

#: Frames, padding among them, that go through the network at once; bounds the memory used.
_FRAMES_AT_ONCE = 8192


@dataclass(frozen=True)
class RcnnClassifier:
    """A trained network with what it needs to read sequences.

    Attributes
    ----------
    network
        The network, on ``device``.
    preparation
        How stamps are made ready. Its ``max_epochs`` is a length of training: longer sequences are
        read to their end.
    temperature
        What the logits are divided by.
    device
        Where the network runs.
    """

    network: SequenceNetwork
    preparation: Preparation
    temperature: float = 1.0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def predict(self, sequences: SequenceSet) -> NDArray[np.float64]:
        """Class probabilities after every epoch, (M, 7), rows aligned with ``sequences.epochs``."""
        probabilities = np.empty((len(sequences.epochs), len(CLASSES)))
        for members in _chunks(sequences.lengths):
            rows = np.isin(sequences.owner, members)
            probabilities[rows] = self._predict_chunk(sequences.select(members))
        return probabilities

    def _predict_chunk(self, sequences: SequenceSet) -> NDArray[np.float64]:
        longest = int(sequences.lengths.max())
        prepared = prepare(sequences, self.preparation.model_copy(update={"max_epochs": longest}))
        logits = predict_logits(self.network, prepared, self.device, batch_size=len(sequences))
        return softmax(logits[prepared.mask].astype(np.float64) / self.temperature, axis=1)

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> RcnnClassifier:
        """The classifier that a bundle holds.

        Raises `UserError` where the weights are not those of the architecture.
        """
        network = build(bundle.architecture)
        state = {name: torch.tensor(array) for name, array in bundle.weights.items()}
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            detail = " ".join(str(error).split())
            raise UserError(f"{WEIGHTS} does not fit {ARCHITECTURE}: {detail:.200}") from error
        place = torch.device(device)
        return cls(network.to(place).eval(), bundle.preparation, bundle.temperature, place)

    def to_bundle(self, path: Path) -> str:
        """Write the classifier to the folder ``path`` and return the bundle's digest."""
        return save_bundle(
            path,
            kind="rcnn",
            weights={name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()},
            architecture=self.network.config.model_dump(mode="json"),
            preparation=self.preparation,
            temperature=self.temperature,
        )


def _chunks(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Indices of objects of like length, as many as may go through the network at once."""
    order = np.argsort(lengths, kind="stable")
    while len(order):
        padded = np.arange(1, len(order) + 1) * lengths[order]
        count = max(1, int(np.searchsorted(padded, _FRAMES_AT_ONCE, side="right")))
        yield np.sort(order[:count])
        order = order[count:]
