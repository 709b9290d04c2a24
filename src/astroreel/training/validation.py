"""How well a network does on sequences that it is not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from astroreel.models.inference import predict_logits
from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared
from astroreel.training.group import ALONE, Group


@dataclass(frozen=True)
class Validation:
    """What a validation set says.

    Attributes
    ----------
    loss
        Mean cross-entropy over all epochs of all objects [nat].
    accuracy
        Share of objects that are right after their last epoch.
    accuracy_by_samples
        The same after n = 1, 2, ... epochs; a shorter object keeps its last prediction.
    """

    loss: float
    accuracy: float
    accuracy_by_samples: tuple[float, ...]


def validate(
    network: SequenceNetwork, prepared: Prepared, device: torch.device, group: Group = ALONE
) -> Validation:
    """Run the network over labelled sequences; of several processes each takes a share, and all are told."""
    logits = _logits(network, prepared, device, group)
    log_probability = log_softmax(logits.astype(np.float64), axis=2)
    objects, epochs = np.nonzero(prepared.mask)
    lengths = prepared.mask.sum(axis=1)
    latest = np.minimum(np.arange(prepared.mask.shape[1]), lengths[:, None] - 1)
    right = logits.argmax(axis=2) == prepared.labels[:, None]
    by_samples = np.take_along_axis(right, latest, axis=1).mean(axis=0)
    return Validation(
        loss=float(-log_probability[objects, epochs, prepared.labels[objects]].mean()),
        accuracy=float(by_samples[-1]),
        accuracy_by_samples=tuple(by_samples.tolist()),
    )


def _logits(
    network: SequenceNetwork, prepared: Prepared, device: torch.device, group: Group
) -> NDArray[np.float32]:
    share = np.arange(group.rank, len(prepared), group.size)
    own = predict_logits(network, prepared.select(share) if group.size > 1 else prepared, device)
    logits = torch.zeros(*prepared.mask.shape, own.shape[-1], device=device)
    logits[share] = torch.from_numpy(own).to(device)
    return group.total(logits).cpu().numpy()
