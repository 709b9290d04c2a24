"""The thesis's network (section 3.2.2, Table 3.3, Figure 3.11)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from astroreel.classes import CLASSES
from astroreel.models.batch_renorm import BatchRenorm
from astroreel.models.inputs import InputNames, Inputs
from astroreel.models.interface import SequenceNetwork, State, scatter
from astroreel.sequences.record import STAMP_SIZE

#: What may follow a convolution.
Norm = Literal["batch_renorm", "batch", "layer", "group", "none"]

#: Groups of channels of the group normalisation (Wu and He 2018, arXiv:1803.08494), if they divide so.
_GROUPS = 8


class ThesisConfig(BaseModel):
    """Parameters of `ThesisNetwork`; the defaults are Table 3.3.

    Attributes
    ----------
    window
        Number n_w of consecutive images in one input tensor.
    filters
        Channels of every convolution.
    dense
        Units of the fully connected layer.
    units
        Units of the LSTM.
    dropout
        Rate at the fully connected layer; the thesis does not print it.
    norm
        What follows every convolution: the thesis's batch renormalisation; ``batch`` normalisation, which
        it found unstable (Figure 4.11); ``layer`` normalisation over an image's channels and pixels;
        ``group`` normalisation over those of an eighth of the channels; or nothing. The network's input has
        batch renormalisation before the first one too, or batch normalisation.
    renorm_warmup, renorm_ramp
        Schedule of the batch renormalisation, in training batches.
    inputs
        What the LSTM is told of a window's newest frame beside its image and time, as in
        `astroreel.models.inputs`; the thesis's network nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["thesis"] = "thesis"
    window: int = Field(3, ge=1)
    filters: int = Field(64, ge=1)
    dense: int = Field(1024, ge=1)
    units: int = Field(512, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    norm: Norm = "batch_renorm"
    renorm_warmup: int = Field(5000, ge=0)
    renorm_ramp: int = Field(20_000, ge=1)
    inputs: InputNames = ()


class ThesisNetwork(SequenceNetwork):
    """Convolutions over windows of ``window`` consecutive images, then an LSTM over the windows.

    Until a first window is full the logits are 0, that is, all classes are equal. A convolution's
    batch renormalisation comes after its ReLU. The two poolings count the border in (21 to 11 to 6).
    Where the table has one bias an LSTM gate, PyTorch has two that add up.
    """

    config: ThesisConfig

    def __init__(self, config: ThesisConfig) -> None:
        super().__init__()
        self.config = config
        self.inputs = Inputs(config.inputs)
        side = -(-STAMP_SIZE // 2)
        side = -(-side // 2)
        self.convolutions = nn.Sequential(
            self._batch_norm(config.window),
            *self._convolution(config.window),
            *self._convolution(config.filters),
            *self._convolution(config.filters),
            nn.MaxPool2d(2, ceil_mode=True),
            *self._convolution(config.filters),
            *self._convolution(config.filters),
            *self._convolution(config.filters),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(),
        )
        self.dense = nn.Linear(side * side * config.filters, config.dense)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(config.dense + config.window + self.inputs.width, config.units, batch_first=True)
        self.output = nn.Linear(config.units, len(CLASSES))

    def _batch_norm(self, channels: int) -> nn.Module:
        if self.config.norm == "batch":
            return nn.BatchNorm2d(channels)
        return BatchRenorm(channels, self.config.renorm_warmup, self.config.renorm_ramp)

    def _norm(self, channels: int) -> nn.Module:
        match self.config.norm:
            case "layer":
                return nn.GroupNorm(1, channels)
            case "group":
                return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)
            case "none":
                return nn.Identity()
        return self._batch_norm(channels)

    def _convolution(self, channels: int) -> tuple[nn.Module, ...]:
        filters = self.config.filters
        return nn.Conv2d(channels, filters, 3, padding="same"), nn.ReLU(), self._norm(filters)

    def forward(self, stamps: Tensor, times: Tensor, conditions: Tensor, mask: Tensor) -> Tensor:
        empty = self.config.window - 1
        whole = mask[:, empty:]
        if not whole.any():
            return stamps.new_zeros(*mask.shape, len(CLASSES))
        windows = stamps.unfold(1, self.config.window, 1)[whole].permute(0, 3, 1, 2)
        window_times = times.unfold(1, self.config.window, 1)[whole]
        told = self.inputs.forward(stamps, times, conditions, mask)[:, empty:]
        encoded = scatter(self._encode(windows, window_times), whole)
        hidden, _ = self.lstm(torch.cat([encoded, told], dim=-1))
        return functional.pad(self.output(hidden), (0, 0, empty, 0))

    def initial_state(self, batch: int) -> State:
        """Frames seen, the last window less its first frame, the LSTM's two states, the inputs' own."""
        one = self.output.weight
        past = self.config.window - 1
        return (
            one.new_zeros(batch, dtype=torch.int64),
            one.new_zeros(batch, past, STAMP_SIZE, STAMP_SIZE),
            one.new_zeros(batch, past),
            one.new_zeros(batch, self.config.units),
            one.new_zeros(batch, self.config.units),
            *self.inputs.initial_state(batch, one.device),
        )

    def step(self, stamp: Tensor, time: Tensor, conditions: Tensor, state: State) -> tuple[Tensor, State]:
        seen, stamps, times, hidden, cell, *followed = state
        told, following = self.inputs.step(stamp, time, conditions, tuple(followed))
        seen = seen + 1
        stamps = torch.cat([stamps, stamp[:, None]], dim=1)
        times = torch.cat([times, time[:, None]], dim=1)
        encoded = torch.cat([self._encode(stamps, times), told], dim=1)
        _, (new_hidden, new_cell) = self.lstm(encoded[:, None], (hidden[None], cell[None]))
        whole = (seen >= self.config.window)[:, None]
        hidden = torch.where(whole, new_hidden[0], hidden)
        cell = torch.where(whole, new_cell[0], cell)
        logits = torch.where(whole, self.output(hidden), 0.0)
        return logits, (seen, stamps[:, 1:], times[:, 1:], hidden, cell, *following)

    def _encode(self, windows: Tensor, times: Tensor) -> Tensor:
        """What the LSTM reads of windows (F, n_w, 21, 21) taken at times (F, n_w)."""
        dense = functional.relu(self.dense(self.convolutions(windows)))
        return torch.cat([self.dropout(dense), times], dim=1)
