"""What the light networks share: numbers of every frame, how they change, and a memory over them.

The change is what tells a variable star from a constant one, and a few per cent of it are lost beside
the brightness itself, which spans decades. So the memory is given, next to each number, its departure
from the object's mean so far and from the frame before, amplified.

A reader looks at one frame at a time, a memory follows the frames; any reader goes with any memory.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from astroreel.classes import CLASSES
from astroreel.models.inputs import Inputs
from astroreel.models.interface import SequenceNetwork, State, scatter
from astroreel.models.scaling import standardise
from astroreel.sequences.prepare import CONDITIONS

_FIRST_GAIN = 20.0
_LARGEST_CHANGE = 3.0
_HOURS_A_DAY = 24.0
_TIME_INPUTS = 3


class Reader(nn.Module, ABC):
    """What is seen in one frame.

    Attributes
    ----------
    values
        How many numbers of a frame are followed through time.
    others
        How many more the memory sees as they are.
    """

    values: int
    others: int

    @abstractmethod
    def forward(self, stamps: Tensor, noise: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Followed numbers (F, values) and others (F, others) of F frames.

        Takes ``stamps`` (F, 21, 21) [ADU], the ``noise`` (F,) of a background pixel [ADU] and the
        standardised ``conditions`` (F, 4).
        """


class Memory(nn.Module, ABC):
    """What is kept of the frames so far.

    Attributes
    ----------
    width
        How many numbers it tells after every frame.
    """

    width: int

    @abstractmethod
    def forward(self, inputs: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        """What it tells after every frame, (B, T, width), from inputs (B, T, D), times [d] and a mask (B, T).

        What is masked is padding at the end; what it tells there means nothing.
        """

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """Its state before the first frame."""

    @abstractmethod
    def step(self, inputs: Tensor, time: Tensor, state: State) -> tuple[Tensor, State]:
        """What it tells after one more frame, (B, width), and its state; inputs (B, D), time (B,) [d]."""


def memory_inputs(reader: Reader, inputs: Inputs) -> int:
    """How many numbers of a frame a memory is given."""
    return 3 * reader.values + reader.others + inputs.width + _TIME_INPUTS


class FrameNetwork(SequenceNetwork):
    """Reads each frame by itself, follows what it read, and tells the class of what it remembers.

    Parameters
    ----------
    config
        What the bundle keeps of the architecture.
    reader, memory
        The two halves.
    inputs
        What the memory is told beside what was read.
    dropout
        Rate at what the memory tells.
    """

    def __init__(
        self, config: BaseModel, reader: Reader, inputs: Inputs, memory: Memory, dropout: float
    ) -> None:
        super().__init__()
        self.config = config
        self.reader = reader
        self.inputs = inputs
        self.log_gain = nn.Parameter(torch.full((reader.values,), math.log(_FIRST_GAIN)))
        self.memory = memory
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(memory.width, len(CLASSES))

    def forward(self, stamps: Tensor, times: Tensor, conditions: Tensor, mask: Tensor) -> Tensor:
        values, others = (scatter(rows, mask) for rows in self._read(stamps[mask], conditions[mask]))
        told = self.inputs.forward(stamps, times, conditions, mask)
        times = times.masked_fill(~mask, 0.0)
        seen = torch.arange(1, mask.shape[1] + 1, device=mask.device)[:, None]
        inputs = self._inputs(
            values,
            torch.cat([others, told], dim=-1),
            mean=values.cumsum(dim=1) / seen,
            previous=torch.cat([values[:, :1], values[:, :-1]], dim=1),
            times=times,
            gaps=torch.diff(times, dim=1, prepend=times[:, :1]),
        )
        return self.head(self.dropout(self.memory(inputs, times, mask)))

    def initial_state(self, batch: int) -> State:
        """Frames seen, time, sum of the values, last values, the state of the inputs and the memory's own."""
        one = self.head.weight
        return (
            one.new_zeros(batch),
            one.new_zeros(batch),
            one.new_zeros(batch, self.reader.values),
            one.new_zeros(batch, self.reader.values),
            *self.inputs.initial_state(batch, one.device),
            *self.memory.initial_state(batch),
        )

    def step(self, stamp: Tensor, time: Tensor, conditions: Tensor, state: State) -> tuple[Tensor, State]:
        seen, last_time, total, last_values, *rest = state
        followed, remembered = rest[: self.inputs.tensors], rest[self.inputs.tensors :]
        values, others = self._read(stamp, conditions)
        told, following = self.inputs.step(stamp, time, conditions, tuple(followed))
        first = seen == 0
        seen = seen + 1
        total = total + values
        inputs = self._inputs(
            values,
            torch.cat([others, told], dim=-1),
            mean=total / seen[:, None],
            previous=torch.where(first[:, None], values, last_values),
            times=time,
            gaps=torch.where(first, 0.0, time - last_time),
        )
        output, kept = self.memory.step(inputs, time, tuple(remembered))
        return self.head(self.dropout(output)), (seen, time, total, values, *following, *kept)

    def _read(self, stamps: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        noise = 10.0 ** conditions[:, CONDITIONS.index("log_noise")]
        read: tuple[Tensor, Tensor] = self.reader(stamps, noise, standardise(conditions))
        return read

    def _inputs(
        self, values: Tensor, others: Tensor, mean: Tensor, previous: Tensor, times: Tensor, gaps: Tensor
    ) -> Tensor:
        """The memory's inputs (..., D); of one object they depend on its past alone."""
        gain = self.log_gain.exp()
        changes = torch.cat([gain * (values - mean), gain * (values - previous)], dim=-1)
        changes = _LARGEST_CHANGE * torch.tanh(changes / _LARGEST_CHANGE)
        gaps = gaps.clamp(min=0.0)
        clock = torch.stack([torch.log1p(_HOURS_A_DAY * gaps) - 1.0, torch.log1p(times), gaps], dim=-1)
        return torch.cat([values, changes, others, clock], dim=-1)
