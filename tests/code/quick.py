"""A recipe whose objects cost next to nothing: noise in whole ADU, a function of the seed and the block."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from astroreel.sequences.compact import PackedStamps, pack
from astroreel.sequences.recipe import Recipe
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, TRUTH_DTYPE, SequenceSet
from astroreel.sequences.shards import simulate_to
from astroreel.sequences.simulate import BLOCK, SimulationConfig, object_name
from astroreel.survey.conditions import CONDITIONS_DTYPE, ConditionsTable
from astroreel.survey.survey import load_survey

EPOCHS = 6


class QuickRecipe(Recipe):
    """Object i has i in the first pixel of all its stamps, and as its right ascension."""

    def manifest(self) -> dict[str, Any]:
        """Without the digest of the package's code, which makes none of this."""
        return super().manifest() | {"code": "none"}

    def block(self, index: int, n: int = BLOCK) -> SequenceSet:
        rng = np.random.default_rng((self.config.seed, index))
        numbers = index * BLOCK + np.arange(n)
        objects = np.zeros(n, OBJECT_DTYPE)
        objects["name"] = [object_name(self.survey.name, self.split, number) for number in numbers]
        objects["label"] = np.resize(self.classes, n)
        objects["survey"], objects["field"] = self.survey.name, "field"
        for name, value in {"pixscale": 0.27, "gain": 4.0, "rdnoise": 6.0, "saturate": 40_000.0}.items():
            objects[name] = value
        objects["ra"], objects["dec"], objects["label_confidence"] = numbers, np.nan, 1.0
        epochs = np.zeros(n * EPOCHS, EPOCH_DTYPE)
        epochs["mjd"] = 57_000.0 + np.tile(np.arange(EPOCHS), n)
        epochs["band"], epochs["exptime"], epochs["airmass"], epochs["seeing"] = "g", 86.0, 1.2, 1.0
        epochs["zp"], epochs["limmag"] = 25.05, 23.5
        stamps = rng.integers(0, 1000, (n * EPOCHS, 21, 21)).astype(np.float32)
        stamps[:, 0, 0] = np.repeat(numbers, EPOCHS)
        offsets = EPOCHS * np.arange(n + 1)
        return SequenceSet(objects, offsets, PackedStamps([pack(stamps)]), epochs, np.zeros(n, TRUTH_DTYPE))


class SlowRecipe(QuickRecipe):
    """The same, each block in a tenth of a second, so that there is a moment to kill it."""

    def block(self, index: int, n: int = BLOCK) -> SequenceSet:
        time.sleep(0.1)
        return super().block(index, n)


def quick_recipe(workers: int = 1, seed: int = 1, kind: type[Recipe] = QuickRecipe) -> Recipe:
    rows = np.zeros(EPOCHS, CONDITIONS_DTYPE)
    rows["mjd"], rows["band"], rows["field"] = np.arange(EPOCHS), "g", "field"
    for name in ("exptime", "seeing", "airmass", "sky", "zp", "limmag"):
        rows[name] = 1.0
    config = SimulationConfig(seed=seed, workers=workers, max_epochs=EPOCHS)
    return kind(load_survey("hits"), ConditionsTable(rows), "train", config)


if __name__ == "__main__":  # a process to be killed: FOLDER WORKERS OBJECTS
    from tests.code.quick import SlowRecipe as Slow  # by the name under which other processes find it

    folder, workers, n = sys.argv[1:]
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    simulate_to(Path(folder), quick_recipe(int(workers), kind=Slow), int(n))
