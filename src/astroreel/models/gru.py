"""A memory of gated recurrent units (Cho et al. 2014, arXiv:1406.1078)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from astroreel.models.frames import Memory
from astroreel.models.interface import State


class GruMemory(Memory):
    """``layers`` GRUs of ``width`` units over inputs of ``inputs`` numbers; dropout acts between layers."""

    def __init__(self, inputs: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.gru = nn.GRU(inputs, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)

    def forward(self, inputs: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        # Packed, the GRU skips the padding, which is most of a batch of mostly short sequences.
        lengths = mask.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = self.gru(packed)
        rows, _ = pad_packed_sequence(hidden, batch_first=True, total_length=mask.shape[1])
        return rows

    def initial_state(self, batch: int) -> State:
        one = next(self.parameters())
        return (one.new_zeros(batch, self.gru.num_layers, self.width),)

    def step(self, inputs: Tensor, time: Tensor, state: State) -> tuple[Tensor, State]:
        (hidden,) = state
        output, layers = self.gru(inputs[:, None], hidden.transpose(0, 1).contiguous())
        return output[:, 0], (layers.transpose(0, 1),)
