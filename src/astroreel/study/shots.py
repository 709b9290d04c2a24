"""Which real objects a model is fine-tuned with, for any number of them.

The draws begin as the pipeline's own do, and fewer labels are always among more: what changes between two
numbers is what the added labels bring.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from astroreel.sequences.split import Split


def draw_shots(split: Split, draw: int, fold: int, shots: int, seed: int) -> dict[str, list[str]]:
    """Names of the real objects of each class, at most ``shots``, none of them in a field of ``fold``.

    A class with fewer objects outside the fold gives all that it has.
    """
    pools: dict[str, list[str]] = defaultdict(list)
    for name, entry in sorted(split.objects.items()):
        if entry.fold != fold:
            pools[entry.label].append(name)
    drawn = split.shots[draw][fold] if draw < len(split.shots) else []
    rng = np.random.default_rng((seed, draw, fold))
    chosen = {}
    for label, pool in sorted(pools.items()):
        first = [name for name in drawn if split.objects[name].label == label]
        rest = rng.permutation(sorted(set(pool) - set(first))).tolist()
        chosen[label] = [*first, *rest][:shots]
    return chosen
