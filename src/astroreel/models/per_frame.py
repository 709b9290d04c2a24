"""Networks that look at one frame at a time and remember by gated recurrent units.

A member says how a frame becomes a vector; what it shares with the others is here: the conditions and
the time gaps beside that vector, the recurrent layers, the head, and the two ways of running them.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from astroreel.classes import CLASSES
from astroreel.models.interface import SequenceNetwork, State, scatter
from astroreel.sequences.prepare import CONDITIONS

#: Typical value and spread of each of CONDITIONS; they only bring the inputs to the order of one.
_CENTRE = (4.5, 1.3, 0.85, -1.6)
_SPREAD = (1.0, 0.3, 0.2, 0.7)
_TIMES = 2


class PerFrameNetwork(SequenceNetwork):
    """A frame's encoding, its conditions and its times, through GRU layers to a linear head.

    Parameters
    ----------
    encoding
        Length of the vector that `encode` gives.
    units, layers
        Size and number of the GRU layers.
    dropout
        Rate before the head.
    """

    def __init__(self, encoding: int, units: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.units, self.layers = units, layers
        self.register_buffer("centre", torch.tensor(_CENTRE), persistent=False)
        self.register_buffer("spread", torch.tensor(_SPREAD), persistent=False)
        self.gru = nn.GRU(encoding + len(CONDITIONS) + _TIMES, units, layers, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units, len(CLASSES))

    centre: Tensor
    spread: Tensor

    @abstractmethod
    def encode(self, stamps: Tensor, conditions: Tensor) -> Tensor:
        """What is seen in frames (F, 21, 21) taken under conditions (F, 4): (F, encoding)."""

    def forward(self, stamps: Tensor, times: Tensor, conditions: Tensor, mask: Tensor) -> Tensor:
        gaps = torch.diff(times, dim=1, prepend=times[:, :1])
        frames = self._frames(stamps[mask], times[mask], gaps[mask], conditions[mask])
        hidden, _ = self.gru(scatter(frames, mask))
        logits: Tensor = self.output(self.dropout(hidden))
        return logits

    def initial_state(self, batch: int) -> State:
        """The time of the last frame (below 0: none yet) and the recurrent layers' states."""
        one = self.output.weight
        return one.new_full((batch,), -1.0), one.new_zeros(batch, self.layers, self.units)

    def step(self, stamp: Tensor, time: Tensor, conditions: Tensor, state: State) -> tuple[Tensor, State]:
        last, hidden = state
        gap = torch.where(last < 0, 0.0, time - last)
        frame = self._frames(stamp, time, gap, conditions)
        out, hidden = self.gru(frame[:, None], hidden.transpose(0, 1).contiguous())
        return self.output(self.dropout(out[:, 0])), (time, hidden.transpose(0, 1))

    def _frames(self, stamps: Tensor, times: Tensor, gaps: Tensor, conditions: Tensor) -> Tensor:
        seen = self.encode(stamps, conditions)
        context = (conditions - self.centre) / self.spread
        # Gaps run from minutes to weeks and periods from hours to days: logarithms keep both apart.
        clock = torch.stack([torch.log1p(20.0 * gaps), torch.log1p(times)], dim=-1)
        return torch.cat([seen, context, clock], dim=-1)


def in_noise(stamps: Tensor, conditions: Tensor) -> Tensor:
    """Stamps (F, 21, 21) in units of their background noise."""
    return stamps / (10.0 ** conditions[:, CONDITIONS.index("log_noise")])[:, None, None]


def convolutions(filters: int, features: int) -> nn.Sequential:
    """Three strided convolutions, 21 to 11 to 6 to 3 pixels, and a dense layer.

    From (F, 1, 21, 21) to (F, features). Channels lie last in memory, which is half as fast again on a CPU.
    """
    branch = nn.Sequential(
        nn.Conv2d(1, filters, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(filters, 2 * filters, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * filters, 4 * filters, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(9 * 4 * filters, features),
        nn.ReLU(),
    )
    return branch.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
