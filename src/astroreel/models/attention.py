"""A memory that looks back: causal attention over the frames so far, by the time between them.

Transformer blocks (Vaswani et al. 2017, arXiv:1706.03762) with the normalisation first. The time between
two frames is known to the attention by rotary encoding (Su et al. 2021, arXiv:2104.09864) of the time in
days instead of the place in the sequence, so that cadence and gaps are seen as they are.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from astroreel.models.frames import FrameNetwork, Memory, memory_inputs
from astroreel.models.inputs import ALL_INPUTS, InputNames, Inputs
from astroreel.models.interface import State
from astroreel.models.photometric import PhotometricReader

#: Periods of the time encoding, from within a night to beyond a season [d].
_SHORTEST, _LONGEST = 0.1, 200.0


class AttentionConfig(BaseModel):
    """Parameters of the attention network.

    Attributes
    ----------
    masks, filters
        Of its reader, as in `astroreel.models.photometric.PhotometricConfig`.
    width
        Numbers a frame inside the memory; ``heads`` divides it into an even number each.
    heads, layers
        Of the attention.
    span
        How many frames back, the present one among them, it can look; it bounds the state.
    dropout
        Rate inside the blocks and at their end.
    inputs
        What the memory is told beside what was read, as in `astroreel.models.inputs`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["attention"] = "attention"
    masks: int = Field(24, ge=2)
    filters: int = Field(8, ge=1)
    width: int = Field(96, ge=4, multiple_of=4)
    heads: Literal[1, 2, 4, 8] = 4
    layers: int = Field(2, ge=1)
    span: int = Field(32, ge=2)
    dropout: float = Field(0.1, ge=0, lt=1)
    inputs: InputNames = ALL_INPUTS


def attention_network(config: AttentionConfig) -> FrameNetwork:
    """Learned photometry of each frame, followed by attention."""
    reader = PhotometricReader(config.masks, config.filters)
    inputs = Inputs(config.inputs)
    memory = AttentionMemory(
        memory_inputs(reader, inputs), config.width, config.heads, config.layers, config.span, config.dropout
    )
    return FrameNetwork(config, reader, inputs, memory, config.dropout)


class AttentionMemory(Memory):
    """``layers`` blocks over the last ``span`` frames.

    Its state are the last ``span`` times and every layer's keys and values of those frames, the newest
    last; a frame before the first has an infinite age and is not looked at.
    """

    def __init__(self, inputs: int, width: int, heads: int, layers: int, span: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.span = span
        self.entry = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.exit = nn.LayerNorm(width)

    def forward(self, inputs: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        place = torch.arange(mask.shape[1], device=mask.device)
        back = place[:, None] - place
        seen = ((back >= 0) & (back < self.span))[None, None]
        x = self.entry(inputs)
        for block in self.blocks:
            x, _, _ = block(x, times, seen)
        return self.exit(x)

    def initial_state(self, batch: int) -> State:
        one = self.exit.weight
        cache = one.new_zeros(batch, len(self.blocks), self.span, self.width)
        return one.new_zeros(batch), cache, cache.clone()

    def step(self, inputs: Tensor, time: Tensor, state: State) -> tuple[Tensor, State]:
        count, all_keys, all_values = state
        count = torch.clamp(count + 1, max=float(self.span))
        place = torch.arange(self.span, 0, -1, device=count.device)
        seen = (place <= count[:, None])[:, None, None]
        x = self.entry(inputs)[:, None]
        keys, values = [], []
        for number, block in enumerate(self.blocks):
            past = all_keys[:, number, 1:], all_values[:, number, 1:]
            x, *now = block(x, time[:, None], seen, past)
            keys.append(now[0])
            values.append(now[1])
        return self.exit(x)[:, 0], (count, torch.stack(keys, dim=1), torch.stack(values, dim=1))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        self.thought = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)
        half = width // heads // 2
        rate = torch.logspace(math.log10(1.0 / _LONGEST), math.log10(1.0 / _SHORTEST), half)
        self.register_buffer("rate", 2.0 * math.pi * rate, persistent=False)
        self.rate: Tensor

    def forward(
        self, x: Tensor, times: Tensor, seen: Tensor, past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One block over T frames x (B, T, width) at times (B, T), and the keys and values (B, S, width).

        The frames look at the S frames that are theirs with the ``past`` keys and values before them,
        where ``seen`` (..., T, S) says so. Keys are turned by their times already.
        """
        normal = self.before_attention(x)
        keys, values = self.key_value(normal).chunk(2, dim=-1)
        keys = self._turned(keys, times)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=1), torch.cat([past[1], values], dim=1)
        attended = functional.scaled_dot_product_attention(
            self._split(self._turned(self.query(normal), times)),
            self._split(keys),
            self._split(values),
            attn_mask=seen,
        )
        x = x + self.dropout(self.merge(attended.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.thought(x)), keys, values

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _turned(self, x: Tensor, times: Tensor) -> Tensor:
        """Each pair of numbers turned by an angle that grows with time, each pair at a rate of its own."""
        angle = times[..., None, None] * self.rate
        cosine, sine = angle.cos(), angle.sin()
        a, b = x.unflatten(-1, (self.heads, -1)).chunk(2, dim=-1)
        return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1).flatten(-2)
