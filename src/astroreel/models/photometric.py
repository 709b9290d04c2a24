"""The photometric member: learned photometry of the linear stamp beside a small convolutional branch.

A convolution of squashed pixels sees shapes well and one per cent of a flux badly; a weighted sum of
linear pixels does the opposite. The weights are Gaussians as wide as the seeing times a learned factor,
normalised as optimal photometry is (thesis equation 2.9, uniform variance).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from astroreel.models.per_frame import PerFrameNetwork, convolutions, in_noise
from astroreel.sequences.prepare import CONDITIONS
from astroreel.sequences.record import STAMP_SIZE

_FWHM_TO_SIGMA = 0.42466
_SCALES = (0.6, 0.9, 1.3, 2.5)
#: Magnitude-like units: natural logarithms of counts run over about ten.
_BRIGHT = 4.0
_FAINT = 6.0


class PhotometricConfig(BaseModel):
    """Parameters of `PhotometricNetwork`; as in `CompactConfig`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["photometric"] = "photometric"
    filters: int = Field(12, ge=1)
    features: int = Field(48, ge=1)
    units: int = Field(96, ge=1)
    layers: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)


class PhotometricNetwork(PerFrameNetwork):
    """Each weight gives a flux, told twice: in counts and in units of its own background error."""

    def __init__(self, config: PhotometricConfig) -> None:
        super().__init__(config.features + 2 * len(_SCALES), config.units, config.layers, config.dropout)
        self.config = config
        self.convolutions = convolutions(config.filters, config.features)
        self.log_scales = nn.Parameter(torch.log(torch.tensor(_SCALES)))
        axis = torch.arange(STAMP_SIZE) - (STAMP_SIZE - 1) / 2
        self.register_buffer("radius2", (axis[:, None] ** 2 + axis**2).flatten(), persistent=False)

    radius2: Tensor

    def encode(self, stamps: Tensor, conditions: Tensor) -> Tensor:
        shape = self.convolutions(torch.asinh(in_noise(stamps, conditions))[:, None])
        return torch.cat([shape, *self._photometry(stamps, conditions)], dim=-1)

    def _photometry(self, stamps: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Fluxes under each weight, (F, 4): in counts and in units of their errors, both squashed."""
        seeing = conditions[:, CONDITIONS.index("seeing"), None]
        sigma = (_FWHM_TO_SIGMA * seeing * self.log_scales.exp()).clamp(0.5, STAMP_SIZE)
        weights = torch.exp(-0.5 * self.radius2 / sigma[..., None] ** 2)
        profile = weights / weights.sum(-1, keepdim=True)
        power = (profile**2).sum(-1)
        flux = torch.einsum("fkp,fp->fk", profile, stamps.flatten(1)) / power
        noise = 10.0 ** conditions[:, CONDITIONS.index("log_noise"), None]
        significance = torch.asinh(flux * power.sqrt() / noise) / _BRIGHT
        return torch.asinh(flux / 10.0) / _FAINT, significance
