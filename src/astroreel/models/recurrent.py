"""What the light networks share: numbers of every frame, how they change, and a GRU over them.

The change is what tells a variable star from a constant one, and a few per cent of it are lost beside
the brightness itself, which spans decades. So the GRU is given, next to each number, its departure
from the object's mean so far and from the frame before, amplified.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from astroreel.classes import CLASSES
from astroreel.models.interface import SequenceNetwork, State, scatter
from astroreel.sequences.prepare import CONDITIONS

#: Middle and spread of the conditions in surveys from the ground, in the order of CONDITIONS; they
#: bring the inputs to order one and need not fit a survey well.
_MIDDLE = (5.0, 1.3, 0.9, -1.5)
_SPREAD = (1.0, 0.3, 0.2, 0.6)
_LARGEST_CONDITION = 3.0

_FIRST_GAIN = 20.0
_LARGEST_CHANGE = 3.0
_HOURS_A_DAY = 24.0
_TIME_INPUTS = 3


def compress(x: Tensor) -> Tensor:
    """The inverse hyperbolic sine: linear in the noise, logarithmic above it.

    Written out because it is several times faster so than ``torch.asinh`` on a processor.
    """
    return torch.sign(x) * torch.log(x.abs() + torch.sqrt(x * x + 1.0))


def standardise(conditions: Tensor) -> Tensor:
    """Conditions (..., 4) brought to order one; an outlier stays within three spreads."""
    scaled = (conditions - conditions.new_tensor(_MIDDLE)) / conditions.new_tensor(_SPREAD)
    return scaled.clamp(-_LARGEST_CONDITION, _LARGEST_CONDITION)


class RecurrentNetwork(SequenceNetwork):
    """A GRU over what a subclass reads in each frame by itself.

    Parameters
    ----------
    values
        How many numbers of a frame are followed through time.
    others
        How many more the GRU sees as they are.
    units, layers, dropout
        Of the GRU; dropout acts on its output, and between its layers.
    """

    def __init__(self, values: int, others: int, units: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.values = values
        self.log_gain = nn.Parameter(torch.full((values,), math.log(_FIRST_GAIN)))
        inputs = 3 * values + others + len(CONDITIONS) + _TIME_INPUTS
        between = dropout if layers > 1 else 0.0
        self.gru = nn.GRU(inputs, units, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(units, len(CLASSES))

    @abstractmethod
    def encode(self, stamps: Tensor, noise: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """What is seen in F frames: followed numbers (F, values) and others (F, others).

        Takes ``stamps`` (F, 21, 21) [ADU], the ``noise`` (F,) of a background pixel [ADU] and the
        standardised ``conditions`` (F, 4).
        """

    def forward(self, stamps: Tensor, times: Tensor, conditions: Tensor, mask: Tensor) -> Tensor:
        values, others = (scatter(rows, mask) for rows in self._read(stamps[mask], conditions[mask]))
        times = times.masked_fill(~mask, 0.0)
        seen = torch.arange(1, mask.shape[1] + 1, device=mask.device)[:, None]
        inputs = self._inputs(
            values,
            others,
            mean=values.cumsum(dim=1) / seen,
            previous=torch.cat([values[:, :1], values[:, :-1]], dim=1),
            times=times,
            gaps=torch.diff(times, dim=1, prepend=times[:, :1]),
        )
        # Packed, the GRU skips the padding, which is most of a batch of mostly short sequences.
        lengths = mask.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = self.gru(packed)
        rows, _ = pad_packed_sequence(hidden, batch_first=True, total_length=mask.shape[1])
        return self.head(self.dropout(rows))

    def initial_state(self, batch: int) -> State:
        """Frames seen, time, sum of the values, last values, and the states of the GRU's layers."""
        one = self.head.weight
        return (
            one.new_zeros(batch),
            one.new_zeros(batch),
            one.new_zeros(batch, self.values),
            one.new_zeros(batch, self.values),
            one.new_zeros(batch, self.gru.num_layers, self.gru.hidden_size),
        )

    def step(self, stamp: Tensor, time: Tensor, conditions: Tensor, state: State) -> tuple[Tensor, State]:
        seen, last_time, total, last_values, hidden = state
        values, others = self._read(stamp, conditions)
        first = seen == 0
        seen = seen + 1
        total = total + values
        inputs = self._inputs(
            values,
            others,
            mean=total / seen[:, None],
            previous=torch.where(first[:, None], values, last_values),
            times=time,
            gaps=torch.where(first, 0.0, time - last_time),
        )
        output, layers = self.gru(inputs[:, None], hidden.transpose(0, 1).contiguous())
        logits = self.head(self.dropout(output[:, 0]))
        return logits, (seen, time, total, values, layers.transpose(0, 1))

    def _read(self, stamps: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        scaled = standardise(conditions)
        noise = 10.0 ** conditions[:, CONDITIONS.index("log_noise")]
        values, others = self.encode(stamps, noise, scaled)
        return values, torch.cat([others, scaled], dim=1)

    def _inputs(
        self, values: Tensor, others: Tensor, mean: Tensor, previous: Tensor, times: Tensor, gaps: Tensor
    ) -> Tensor:
        """The GRU's inputs (..., D); of one object they depend on its past alone."""
        gain = self.log_gain.exp()
        changes = torch.cat([gain * (values - mean), gain * (values - previous)], dim=-1)
        changes = _LARGEST_CHANGE * torch.tanh(changes / _LARGEST_CHANGE)
        gaps = gaps.clamp(min=0.0)
        clock = torch.stack([torch.log1p(_HOURS_A_DAY * gaps) - 1.0, torch.log1p(times), gaps], dim=-1)
        return torch.cat([values, changes, others, clock], dim=-1)
