"""What a network knows of an object when it speaks of it for the last time: the input of its last layer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from astroreel.classes import CLASSES
from astroreel.models.inference import predict_logits
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import prepare
from astroreel.sequences.record import SequenceSet

_AT_ONCE = 256


def last_states(classifier: RcnnClassifier, sequences: SequenceSet) -> NDArray[np.float32]:
    """The last state of every object, (N, D), after as many frames as the preparation keeps."""
    states = []
    for start in range(0, len(sequences), _AT_ONCE):
        some = sequences.select(np.arange(start, min(start + _AT_ONCE, len(sequences))))
        states.append(_states(classifier, some))
    return np.concatenate(states)


def _states(classifier: RcnnClassifier, sequences: SequenceSet) -> NDArray[np.float32]:
    prepared = prepare(sequences, classifier.preparation)
    seen: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])

    hook = _last_layer(classifier.network).register_forward_pre_hook(keep)
    try:
        predict_logits(classifier.network, prepared, classifier.device, batch_size=len(sequences))
    finally:
        hook.remove()
    (states,) = seen
    # A network that looks at windows of frames has no state for the first of them.
    late = prepared.mask.shape[1] - states.shape[1]
    last = torch.from_numpy(prepared.mask.sum(axis=1) - 1 - late).to(states.device)
    return np.asarray(states[torch.arange(len(last)), last].cpu())


def _last_layer(network: nn.Module) -> nn.Linear:
    """The layer that tells the classes."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return next(layer for layer in reversed(layers) if layer.out_features == len(CLASSES))
