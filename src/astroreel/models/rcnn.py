"""A trained network as a classifier of sequences, and as a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.models.bundle import Bundle, save_bundle
from astroreel.models.interface import SequenceNetwork
from astroreel.models.networks import build, network_config
from astroreel.sequences.prepare import Preparation, prepare
from astroreel.sequences.record import SequenceSet

#: Objects read at once; bounds the memory of a prediction.
_CHUNK = 256


@dataclass
class RcnnClassifier:
    """A network, how its stamps are prepared and the temperature of its probabilities.

    Attributes
    ----------
    network
        The network, on its device.
    preparation
        What was used in training; its ``max_epochs`` does not bound what is classified.
    temperature
        What the logits are divided by.
    """

    network: SequenceNetwork
    preparation: Preparation
    temperature: float = 1.0

    def predict(self, sequences: SequenceSet) -> NDArray[np.float64]:
        """Class probabilities after every epoch, (M, 7); see `Classifier.predict`."""
        result = np.empty((len(sequences.epochs), len(CLASSES)))
        # Objects of like length together, so that little is padded.
        order = np.argsort(sequences.lengths, kind="stable")
        for start in range(0, len(order), _CHUNK):
            which = order[start : start + _CHUNK]
            rows = np.concatenate([np.arange(*sequences.offsets[i : i + 2]) for i in which])
            result[rows] = self._predict_chunk(sequences.select(which))
        return result

    @torch.inference_mode()
    def _predict_chunk(self, sequences: SequenceSet) -> NDArray[np.float64]:
        longest = max(int(sequences.lengths.max(initial=0)), self.preparation.max_epochs)
        whole = self.preparation.model_copy(update={"max_epochs": longest})
        prepared = prepare(sequences, whole)
        device = next(self.network.parameters()).device
        arrays = (prepared.stamps, prepared.times, prepared.conditions, prepared.mask)
        tensors = [torch.from_numpy(array).to(device) for array in arrays]
        self.network.eval()
        logits = self.network(*tensors)[tensors[-1]].double() / self.temperature
        probabilities: NDArray[np.float64] = torch.softmax(logits, dim=-1).cpu().numpy()
        return probabilities

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> RcnnClassifier:
        """Build the network that a bundle holds.

        Raises `UserError` where its architecture is unknown or its weights do not fit it.
        """
        network = build(network_config(bundle.architecture))
        load_weights(network, bundle.weights)
        return cls(network.to(device).eval(), bundle.preparation, bundle.temperature)

    def save(self, path: Path) -> str:
        """Write the classifier as a bundle and return its digest."""
        return save_bundle(
            path,
            kind="rcnn",
            weights={name: t.detach().cpu().numpy() for name, t in self.network.state_dict().items()},
            architecture=self.network.config.model_dump(mode="json"),
            preparation=self.preparation,
            temperature=self.temperature,
        )


def load_weights(network: SequenceNetwork, weights: Mapping[str, NDArray[Any]]) -> None:
    """Fill a network's weights; raises `UserError` where names or shapes do not fit."""
    try:
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"bundle: its weights do not fit its architecture: {reason:.200}") from error
