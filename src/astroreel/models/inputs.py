"""What a network may be told beside the stamps, switched on by name in any of them (thesis 4.4.1).

An input has nothing to learn. It follows the frames, any number of them at a time, and carries what it needs
from one call to the next, so that a whole sequence and a stream of frames are one and the same code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Annotated, Literal, get_args

import torch
from pydantic import AfterValidator
from torch import Tensor

from astroreel.models.features import FEATURES, Running, follow
from astroreel.models.flux import point_source
from astroreel.models.interface import State, scatter
from astroreel.models.scaling import compress, standardise
from astroreel.sequences.prepare import CONDITIONS

#: The observing conditions; flux and error of the central source; and the light curve's features so far.
InputName = Literal["conditions", "light_curve", "features"]

ALL_INPUTS: tuple[InputName, ...] = get_args(InputName)


def _each_once(names: tuple[InputName, ...]) -> tuple[InputName, ...]:
    return tuple(name for name in ALL_INPUTS if name in names)


#: A choice of inputs as a parameter of a network: each once, in one order however they are written.
InputNames = Annotated[tuple[InputName, ...], AfterValidator(_each_once)]


@dataclass(frozen=True)
class Frames:
    """T more frames of each of B objects.

    Attributes
    ----------
    stamps, times, conditions, mask
        As `astroreel.models.interface.SequenceNetwork.forward` takes them.
    """

    stamps: Tensor
    times: Tensor
    conditions: Tensor
    mask: Tensor

    @cached_property
    def light_curve(self) -> tuple[Tensor, Tensor]:
        """Flux and error (B, T) of the central source [ADU]; 0 where masked."""
        rows = torch.stack(point_source(self.stamps[self.mask], self.conditions[self.mask]), dim=1)
        flux, error = scatter(rows, self.mask).unbind(dim=-1)
        return flux, error


class Input(ABC):
    """One thing that networks may be told.

    Attributes
    ----------
    width
        How many numbers of order one it tells after every frame.
    """

    width: int

    def initial_state(self, batch: int, device: torch.device) -> State:
        """What it carries of ``batch`` objects before their first frame; most carry nothing."""
        return ()

    @abstractmethod
    def __call__(self, frames: Frames, state: State) -> tuple[Tensor, State]:
        """What it tells after every frame, (B, T, width), and what it carries after the last.

        Masked frames come last; what is told there means nothing.
        """


class Conditions(Input):
    """The observing conditions of the frame."""

    width = len(CONDITIONS)

    def __call__(self, frames: Frames, state: State) -> tuple[Tensor, State]:
        return standardise(frames.conditions), ()


class LightCurve(Input):
    """Brightness in the frame, over its error, and the error, both on logarithmic scales."""

    width = 2
    _TYPICAL_ERROR = 100.0  # [ADU]

    def __call__(self, frames: Frames, state: State) -> tuple[Tensor, State]:
        flux, error = frames.light_curve
        return torch.stack([compress(flux / error), torch.log(error / self._TYPICAL_ERROR)], dim=-1), ()


class Features(Input):
    """Features of the light curve up to the frame, as in `astroreel.models.features`."""

    width = len(FEATURES)

    def initial_state(self, batch: int, device: torch.device) -> State:
        return Running.start(batch, device)

    def __call__(self, frames: Frames, state: State) -> tuple[Tensor, State]:
        told, after = follow(frames.times, *frames.light_curve, Running(*state))
        return compress(told).to(frames.times.dtype), after


_INPUTS: Mapping[InputName, Input] = {
    "conditions": Conditions(),
    "light_curve": LightCurve(),
    "features": Features(),
}


class Inputs:
    """The inputs of a network.

    Parameters
    ----------
    names
        Which are on.

    Attributes
    ----------
    width
        How many numbers they tell after every frame.
    tensors
        How many tensors their state has.
    """

    def __init__(self, names: Sequence[InputName]) -> None:
        self._inputs = [_INPUTS[name] for name in names]
        self._tensors = [len(one.initial_state(0, torch.device("cpu"))) for one in self._inputs]
        self.width = sum(one.width for one in self._inputs)
        self.tensors = sum(self._tensors)

    def initial_state(self, batch: int, device: torch.device) -> State:
        """The state of ``batch`` objects before their first frame."""
        return tuple(tensor for one in self._inputs for tensor in one.initial_state(batch, device))

    def forward(self, stamps: Tensor, times: Tensor, conditions: Tensor, mask: Tensor) -> Tensor:
        """All that they tell after every epoch of whole sequences, (B, T, width); 0 where masked."""
        state = self.initial_state(len(mask), mask.device)
        told, _ = self._told(Frames(stamps, times, conditions, mask), state)
        return told.masked_fill(~mask[..., None], 0.0)

    def step(self, stamp: Tensor, time: Tensor, conditions: Tensor, state: State) -> tuple[Tensor, State]:
        """All that they tell after one more frame of each object, (B, width), and the state that follows."""
        mask = torch.ones_like(time, dtype=torch.bool)
        frames = Frames(*(array[:, None] for array in (stamp, time, conditions, mask)))
        told, after = self._told(frames, state)
        return told[:, 0], after

    @torch.no_grad()
    def _told(self, frames: Frames, state: State) -> tuple[Tensor, State]:
        told, after = [frames.times.new_empty(*frames.times.shape, 0)], list[Tensor]()
        carried = iter(state)
        for one, tensors in zip(self._inputs, self._tensors, strict=True):
            columns, kept = one(frames, tuple(islice(carried, tensors)))
            told.append(columns)
            after += kept
        return torch.cat(told, dim=-1), tuple(after)
