"""Running a network over prepared sequences."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared


def tensors(prepared: Prepared, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a network reads of a prepared batch: stamps, times, conditions and mask."""
    arrays = (prepared.stamps, prepared.times, prepared.conditions, prepared.mask)
    stamps, times, conditions, mask = (torch.from_numpy(array).to(device) for array in arrays)
    return stamps, times, conditions, mask


def trim(prepared: Prepared) -> Prepared:
    """The same objects without the epochs that are padding in all of them."""
    longest = int(prepared.mask.sum(axis=1).max(initial=0))
    return Prepared(
        prepared.stamps[:, :longest],
        prepared.times[:, :longest],
        prepared.conditions[:, :longest],
        prepared.mask[:, :longest],
        prepared.labels,
    )


@torch.inference_mode()
def predict_logits(
    network: SequenceNetwork, prepared: Prepared, device: torch.device, batch_size: int = 256
) -> NDArray[np.float32]:
    """Logits after every epoch, (N, T, 7); those of padding mean nothing.

    The network is run as for inference, and left in the mode in which it was.
    """
    was_training = network.training
    network.eval()
    batches = (
        network(*tensors(prepared.select(np.arange(start, min(start + batch_size, len(prepared)))), device))
        for start in range(0, len(prepared), batch_size)
    )
    logits = np.concatenate([batch.float().cpu().numpy() for batch in batches])
    network.train(was_training)
    return logits
