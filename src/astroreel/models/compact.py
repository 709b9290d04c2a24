"""A small convolutional network: few, strided convolutions of every frame, then a GRU."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from astroreel.models.frames import FrameNetwork, Reader, memory_inputs
from astroreel.models.gru import GruMemory
from astroreel.models.inputs import ALL_INPUTS, InputNames, Inputs
from astroreel.models.scaling import compress


class CompactConfig(BaseModel):
    """Parameters of the compact network.

    Attributes
    ----------
    filters
        Channels of the first convolution; the next two have twice as many.
    features
        Numbers that the convolutions leave of a frame.
    units, layers
        Of the GRU.
    dropout
        Rate at the GRU's outputs.
    inputs
        What the GRU is told beside what was read, as in `astroreel.models.inputs`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["compact"] = "compact"
    filters: int = Field(16, ge=1)
    features: int = Field(24, ge=1)
    units: int = Field(96, ge=1)
    layers: int = Field(1, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    inputs: InputNames = ALL_INPUTS


def compact_network(config: CompactConfig) -> FrameNetwork:
    """A few convolutions of each frame, followed by a GRU."""
    reader = CompactReader(config.filters, config.features)
    inputs = Inputs(config.inputs)
    memory = GruMemory(memory_inputs(reader, inputs), config.units, config.layers, config.dropout)
    return FrameNetwork(config, reader, inputs, memory, config.dropout)


class CompactReader(Reader):
    """A strided and two depthwise convolutions (21 to 11 to 6 to 3 pixels) of the compressed stamp."""

    def __init__(self, filters: int, features: int) -> None:
        super().__init__()
        self.values, self.others = features, 0
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, filters, 5, stride=2, padding=2),
            nn.ReLU(),
            *_depthwise(filters, 2 * filters),
            *_depthwise(2 * filters, 2 * filters),
            nn.Flatten(),
            nn.Linear(9 * 2 * filters, features),
        )

    def forward(self, stamps: Tensor, noise: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        image = compress(stamps / noise[:, None, None])[:, None]
        features = self.convolutions(image)
        return features, features.new_empty(len(features), 0)


def _depthwise(channels: int, filters: int) -> tuple[nn.Module, ...]:
    """A convolution of each channel by itself at stride 2, then a mixture of the channels."""
    alone = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels)
    return alone, nn.Conv2d(channels, filters, 1), nn.ReLU()
