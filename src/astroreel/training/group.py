"""The processes that train one network together, as one of them sees them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """Processes of which each takes its share of every batch.

    With more than one, `torch.distributed` must have been set up by whoever started them.

    Attributes
    ----------
    rank
        Number of this process, from 0. The first one reports and writes checkpoints.
    size
        Number of processes.
    """

    rank: int = 0
    size: int = 1

    def total(self, x: Tensor) -> Tensor:
        """The sum of ``x`` over the processes; each must ask for it."""
        if self.size > 1:
            x = x.clone()
            torch.distributed.all_reduce(x)
        return x


#: One process that trains by itself.
ALONE = Group()
