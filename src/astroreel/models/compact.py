"""The compact member: strided convolutions of one frame, then gated recurrent units."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from astroreel.models.per_frame import PerFrameNetwork, convolutions, in_noise


class CompactConfig(BaseModel):
    """Parameters of `CompactNetwork`.

    Attributes
    ----------
    filters
        Channels of the first convolution; the next ones have two and four times as many.
    features
        Length of a frame's vector.
    units, layers
        Size and number of the GRU layers.
    dropout
        Rate before the head.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["compact"] = "compact"
    filters: int = Field(16, ge=1)
    features: int = Field(64, ge=1)
    units: int = Field(96, ge=1)
    layers: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)


class CompactNetwork(PerFrameNetwork):
    """Sees a stamp as the inverse hyperbolic sine of its pixels in units of the background noise."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__(config.features, config.units, config.layers, config.dropout)
        self.config = config
        self.convolutions = convolutions(config.filters, config.features)

    def encode(self, stamps: Tensor, conditions: Tensor) -> Tensor:
        encoded: Tensor = self.convolutions(torch.asinh(in_noise(stamps, conditions))[:, None])
        return encoded
