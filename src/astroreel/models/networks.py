"""The networks there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import BaseModel, ValidationError

from astroreel.errors import UserError
from astroreel.models.attention import AttentionConfig, attention_network
from astroreel.models.compact import CompactConfig, compact_network
from astroreel.models.interface import SequenceNetwork
from astroreel.models.photometric import PhotometricConfig, photometric_network
from astroreel.models.thesis import ThesisConfig, ThesisNetwork

_NETWORKS: Mapping[str, tuple[type[BaseModel], Callable[[Any], SequenceNetwork]]] = {
    "thesis": (ThesisConfig, ThesisNetwork),
    "compact": (CompactConfig, compact_network),
    "photometric": (PhotometricConfig, photometric_network),
    "attention": (AttentionConfig, attention_network),
}

NETWORKS = tuple(_NETWORKS)


def build(architecture: Mapping[str, Any], seed: int = 0) -> SequenceNetwork:
    """A new network.

    Parameters
    ----------
    architecture
        ``name``, one of :data:`NETWORKS`, and parameters of that network's config; the rest of them
        take their defaults.
    seed
        Seed of the first weights.

    Raises
    ------
    UserError
        Where the name or a parameter is unknown, or a value out of range.
    """
    name = str(architecture.get("name"))
    if name not in _NETWORKS:
        raise UserError(f"unknown network {name!r}: choose from {', '.join(NETWORKS)}")
    config_class, network = _NETWORKS[name]
    try:
        config = config_class.model_validate(dict(architecture))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"network {name}: {key}: {first['msg']}, not {first['input']!r:.80}") from error
    # PyTorch draws first weights from its global generator, so that is borrowed and given back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = network(config)
    # With channels last in memory, convolutions take two thirds of the time.
    return built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
