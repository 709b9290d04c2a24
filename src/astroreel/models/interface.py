"""What a network of image sequences is: it reads a padded batch, or one frame and a state."""

from __future__ import annotations

from abc import ABC, abstractmethod

from pydantic import BaseModel
from torch import Tensor, nn

#: Whatever a network carries from one frame to the next; the first dimension of each tensor is the
#: batch, so that the states of many objects can be stacked, selected and stored.
State = tuple[Tensor, ...]


class SequenceNetwork(nn.Module, ABC):
    """A network that classifies after every epoch, from the past alone.

    Both ways of running it give the same logits: `forward` over a whole batch, as in training, and
    `step` over one frame of each object, as images arrive. Scaling of the inputs belongs to the
    network, so both take the arrays of `astroreel.sequences.prepare.Prepared` as they are.

    Attributes
    ----------
    config
        What the network was built from; its ``name`` and the rest are the bundle's architecture.
    """

    config: BaseModel

    @abstractmethod
    def forward(self, stamps: Tensor, times: Tensor, conditions: Tensor, mask: Tensor) -> Tensor:
        """Logits after every epoch, (B, T, 7).

        Parameters
        ----------
        stamps
            (B, T, 21, 21), sky-subtracted ADU at the reference zero point.
        times
            (B, T), days since the first epoch of the object.
        conditions
            (B, T, 4), as in `astroreel.sequences.prepare.CONDITIONS`.
        mask
            (B, T) bool, true where there is an epoch; an object's epochs come first. What is masked
            is never read, and its logits mean nothing.
        """

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """The state of ``batch`` objects before their first frame."""

    @abstractmethod
    def step(self, stamp: Tensor, time: Tensor, conditions: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, 7) after one more frame of each object, and the state that follows.

        Takes ``stamp`` (B, 21, 21), ``time`` (B,) and ``conditions`` (B, 4), in units of `forward`.
        """


def scatter(rows: Tensor, mask: Tensor) -> Tensor:
    """Put rows (F, D), one for each true element of ``mask`` (B, T), in place: (B, T, D), else 0."""
    return rows.new_zeros(*mask.shape, rows.shape[-1]).index_put((mask,), rows)
