"""An endless stream of simulated sequences into training, which never touches the disk.

Other processes simulate block after block. Some blocks at a time make a reservoir, from which batches are
drawn in shuffled passes, so that each sequence is seen ``reuse`` times and never again; meanwhile the next
reservoir is made. Which sequences a batch holds follows from its number alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from contextlib import closing
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.parallel import ordered_map, worker_count
from astroreel.sequences.prepare import Preparation, Prepared, prepare
from astroreel.sequences.recipe import Recipe
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import BLOCK


class Stream:
    """Batches of the objects 0, 1, ... of a recipe; a `astroreel.training.loop.TrainingSet`.

    Memory holds at most three reservoirs, one being drawn from and the others being made: some 4 to 10 MB a
    block.

    Parameters
    ----------
    recipe
        What to simulate; its ``config.workers`` and ``config.address`` tell where.
    preparation
        How the stamps are made ready.
    reuse
        How often each sequence is seen.
    reservoir
        Number of blocks of 512 sequences in a reservoir.
    """

    def __init__(self, recipe: Recipe, preparation: Preparation, reuse: int, reservoir: int) -> None:
        self.recipe = recipe
        self.preparation = preparation
        self.reuse = reuse
        self.reservoir = reservoir

    def batches(
        self, size: int, seed: int, first: int = 0, part: int = 0, parts: int = 1
    ) -> Generator[Prepared]:
        """Batch number ``first`` and all that follow, without end.

        Each of ``parts`` simulates the blocks number ``part``, ``part + parts``, ... and draws its share of a
        batch from these. So no block is made twice, and a reservoir holds the same objects whatever the
        number of parts, drawn in another order. ``parts`` must divide the size and the reservoir.

        Raises `UserError` where a process that simulates dies.
        """
        size //= parts
        number, skipped = divmod(first * size, self._draws // parts)
        with closing(self._reservoirs(number, part, parts)) as reservoirs:
            drawn: list[SequenceSet] = []
            missing = size
            for place, sequences in zip(count(number), reservoirs):
                order = self._order(place, seed, len(sequences))[skipped:]
                skipped = 0
                while len(order):
                    drawn.append(sequences.select(order[:missing]))
                    missing, order = missing - len(drawn[-1]), order[missing:]
                    if not missing:
                        yield prepare(SequenceSet.concatenate(drawn), self.preparation)
                        drawn, missing = [], size

    def fingerprint(self) -> str:
        """A digest of all that decides the batches, but for their size and seed."""
        return hashlib.sha256(json.dumps(self._description, sort_keys=True).encode()).hexdigest()

    def manifest(self, size: int, seed: int, batches: int) -> dict[str, Any]:
        """What the first ``batches`` batches are, for JSON: enough to make them again.

        ``objects`` is the range of the objects in the reservoirs drawn from, its end exclusive.
        """
        reservoirs, left = divmod(size * batches, self._draws)
        seen = (reservoirs + bool(left)) * self.reservoir * BLOCK
        return {
            **self._description,
            "batch_size": size,
            "batch_seed": seed,
            "batches": batches,
            "objects": [0, seen],
        }

    @property
    def _draws(self) -> int:
        """How often a reservoir is drawn from before the next is."""
        return self.reuse * self.reservoir * BLOCK

    @property
    def _description(self) -> dict[str, Any]:
        return {
            **self.recipe.manifest(),
            "preparation": self.preparation.model_dump(),
            "reuse": self.reuse,
            "reservoir": self.reservoir,
        }

    def _order(self, number: int, seed: int, n: int) -> NDArray[np.int64]:
        """The ``n`` sequences of a reservoir in the order in which they are drawn, ``reuse`` passes."""
        rng = np.random.default_rng((seed, number))
        return np.concatenate([rng.permutation(n) for _ in range(self.reuse)])

    def _reservoirs(self, first: int, part: int, parts: int) -> Generator[SequenceSet]:
        """Of reservoir number ``first`` and all that follow the blocks of a part."""
        config, blocks_each = self.recipe.config, self.reservoir // parts
        blocks = ordered_map(
            self.recipe.block,
            count(first * self.reservoir + part, parts),
            max(worker_count(config.workers) // parts, 1) if parts > 1 else config.workers,
            config.address,
            ahead=blocks_each,
        )
        with closing(blocks):
            while True:
                yield SequenceSet.concatenate([next(blocks) for _ in range(blocks_each)])
