"""The recipe of simulated sequences: all that decides them, for other processes and for a manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from astroreel.classes import CLASSES
from astroreel.files import file_digest
from astroreel.lightcurves.partition import Split
from astroreel.sequences.compact import PackedStamps, pack
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import BLOCK, SimulationConfig, Simulator
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.survey import Survey

#: Of the configuration, what decides no byte of an object.
_INDIFFERENT = {"survey", "seed", "n_train", "n_valid", "n_test", "workers", "address"}

#: The code that decides an object's bytes, and the libraries.
_PACKAGE = Path(__file__).parents[1]
_CODE = ("classes.py", "survey", "lightcurves", "images", "sequences/record.py", "sequences/simulate.py")
_LIBRARIES = ("astropy", "numpy", "scipy", "sncosmo", "torch")


@dataclass(frozen=True)
class Recipe:
    """What a :class:`Simulator` is made of: two recipes of one manifest make the same objects.

    Attributes
    ----------
    survey, conditions, split, config, classes, windowed
        As in `Simulator`.
    """

    survey: Survey
    conditions: ConditionsTable
    split: Split
    config: SimulationConfig
    classes: tuple[str, ...] = CLASSES
    windowed: bool = True

    def __reduce__(self) -> tuple[type[Recipe], tuple[Any, ...]]:
        # Without the simulator: it is large, and whoever needs it makes it.
        return type(self), tuple(getattr(self, column.name) for column in fields(self))

    @cached_property
    def simulator(self) -> Simulator:
        """Made at the first use."""
        return Simulator(self.survey, self.conditions, self.split, self.config, self.classes, self.windowed)

    def block(self, index: int, n: int = BLOCK) -> SequenceSet:
        """`Simulator.block` with its stamps packed."""
        made = self.simulator.block(index, n)
        return replace(made, stamps=PackedStamps([pack(np.asarray(made.stamps))]))

    @property
    def longest(self) -> int:
        """A number of epochs that no sequence exceeds."""
        if self.windowed:
            return self.config.max_epochs
        return max(len(self.conditions.field(name)) for name in self.conditions.fields)

    def manifest(self) -> dict[str, Any]:
        """What decides the objects, for JSON; of code, survey and conditions the sha256."""
        return {
            "code": _code_digest(),
            "libraries": {name: version(name) for name in _LIBRARIES},
            "survey": {"name": self.survey.name, "sha256": _digest(self.survey.model_dump_json().encode())},
            "conditions": _digest(self.conditions.rows.tobytes()),
            "parameters": self.config.model_dump(mode="json", exclude=_INDIFFERENT),
            "seed": self.config.seed,
            "split": self.split,
            "classes": list(self.classes),
            "windowed": self.windowed,
        }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _code_digest() -> str:
    """Of the package's files that decide an object, tables among them."""
    named = [_PACKAGE / name for name in _CODE]
    below = [file for path in named for file in ([path] if path.is_file() else path.rglob("*"))]
    files = sorted(file for file in below if file.is_file() and file.suffix != ".pyc")
    content = "".join(f"{file.relative_to(_PACKAGE).as_posix()}\0{file_digest(file)}\n" for file in files)
    return _digest(content.encode())
