"""A network that measures: learned photometry of each frame beside a small convolutional look."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from astroreel.models.frames import FrameNetwork, Reader, memory_inputs
from astroreel.models.gru import GruMemory
from astroreel.models.inputs import ALL_INPUTS, InputNames, Inputs
from astroreel.models.scaling import compress
from astroreel.sequences.prepare import CONDITIONS
from astroreel.sequences.record import STAMP_SIZE

#: Standard deviations [pixel] of the narrowest and the widest Gaussian that masks start as.
_NARROWEST, _WIDEST = 1.0, 6.0

#: Where the compression turns from linear to logarithmic at first [ADU]: about a pixel's noise.
_FIRST_KNEE = 8.0

_LOOK = 32


class PhotometricConfig(BaseModel):
    """Parameters of the photometric network.

    Attributes
    ----------
    masks
        Number of weighted sums over the stamp.
    filters
        Channels of the first convolution; the next two have twice as many.
    units, layers
        Of the GRU.
    dropout
        Rate at the GRU's outputs.
    inputs
        What the GRU is told beside what was read, as in `astroreel.models.inputs`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["photometric"] = "photometric"
    masks: int = Field(32, ge=2)
    filters: int = Field(16, ge=1)
    units: int = Field(192, ge=1)
    layers: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    inputs: InputNames = ALL_INPUTS


def photometric_network(config: PhotometricConfig) -> FrameNetwork:
    """Learned photometry of each frame, followed by GRUs."""
    reader = PhotometricReader(config.masks, config.filters)
    inputs = Inputs(config.inputs)
    memory = GruMemory(memory_inputs(reader, inputs), config.units, config.layers, config.dropout)
    return FrameNetwork(config, reader, inputs, memory, config.dropout)


class PhotometricReader(Reader):
    """Sums over the stamp under learned weights that depend on the seeing, and a convolutional look.

    The sums are linear in the flux, as optimal photometry is (Naylor 1998), and only then compressed;
    half of the weights start as Gaussians, half at random. The look is at the stamp in units of its
    noise, for what a sum cannot tell: shapes, neighbours, artefacts.
    """

    def __init__(self, masks: int, filters: int) -> None:
        super().__init__()
        self.values, self.others = masks, _LOOK
        self.masks = nn.Parameter(_first_masks(masks))
        self.masks_by_seeing = nn.Parameter(0.003 * torch.randn(masks, STAMP_SIZE**2))
        self.log_knee = nn.Parameter(torch.full((masks,), math.log(_FIRST_KNEE)))
        self.look = nn.Sequential(
            nn.Conv2d(1, filters, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(filters, 2 * filters, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * filters, 2 * filters, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(9 * 2 * filters, _LOOK),
            nn.ReLU(),
        )

    def forward(self, stamps: Tensor, noise: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        pixels = stamps.flatten(1)
        seeing = conditions[:, CONDITIONS.index("seeing"), None]
        flux = functional.linear(pixels, self.masks)
        flux = flux + seeing * functional.linear(pixels, self.masks_by_seeing)
        image = compress(stamps / noise[:, None, None])[:, None]
        return compress(flux / self.log_knee.exp()), self.look(image)


def _first_masks(n: int) -> Tensor:
    """Weights (n, 441), rows of about unit length."""
    half = STAMP_SIZE // 2
    radius = torch.arange(-half, half + 1.0).square()
    widths = torch.linspace(math.log(_NARROWEST), math.log(_WIDEST), n - n // 2).exp()
    gaussians = torch.exp(-0.5 * (radius[:, None] + radius).flatten() / widths[:, None].square())
    random = torch.randn(n // 2, STAMP_SIZE**2)
    return functional.normalize(torch.cat([gaussians, random]), dim=1)
