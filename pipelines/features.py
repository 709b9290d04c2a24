"""Stage features: photometry (2.1.5, 2.1.6), its features (3.2.3) and the rim's texture of every sequence.

After each number of samples, so that the forest can be followed as a light curve grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from stage import DATA, Stage, stage

from astroreel.parallel import ordered_map
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.measurement import column_names
from astroreel.sequences.file import read_folder
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store

#: Objects that a process measures at a time; fewer than some such blocks are not worth other processes.
_BLOCK = 512
_FEW = 8


def blocks(sequences: SequenceSet) -> Iterator[SequenceSet]:
    for start in range(0, len(sequences), _BLOCK):
        yield sequences.select(np.arange(start, min(start + _BLOCK, len(sequences))))


def measured(run: Stage, name: str, sequences: SequenceSet) -> FeatureSet:
    measure = partial(FeatureSet.of, preparation=run.parameters.preparation)
    if len(sequences) <= _FEW * _BLOCK:
        return measure(sequences)
    parts: list[FeatureSet] = []
    with run.progress(f"features of {name}") as progress:
        for part in ordered_map(measure, blocks(sequences)):
            parts.append(part)
            progress(min(len(parts) * _BLOCK, len(sequences)), len(sequences))
    return FeatureSet.concatenate(parts)


if __name__ == "__main__":
    with stage("features") as run:
        sets = {name: load_store(DATA / "simulated" / name) for name in ("train", "valid", "test")}
        split = Split.read(DATA / "split.json")
        sets["target"] = cut(read_folder(DATA / "target"), split, run.parameters.split)
        for name, sequences in sets.items():
            measured(run, name, sequences).save(DATA / "features" / f"{name}.npz")
        run.reporter.params({"features": len(column_names())})
