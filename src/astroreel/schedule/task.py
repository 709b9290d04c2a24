"""What a pass works on, fixed when it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from astroreel.files import read_json, write_json

FILE = "task.json"

#: What the pipeline made, and the sections of params.yaml, that a pass depends on.
INPUTS = ("data/features", "data/simulated", "models/forest", "models/pretrained")
SECTIONS = ("source", "preparation", "split", "forest", "finetune")


class Stopped(BaseException):
    """The pass was asked to end after a step; the next tick takes it up again."""


@dataclass(frozen=True)
class Task:
    """What a pass works on; fixed when it begins.

    Attributes
    ----------
    id
        A digest of all the rest that matters.
    reason
        Why it began.
    labels
        The labelled objects by their file names: ``name``, ``label``, ``field``, ``sha256`` and more.
    new
        How many of them no pass had seen.
    """

    id: str
    reason: str
    labels: Mapping[str, Mapping[str, Any]]
    new: int

    def save(self, folder: Path) -> None:
        """Keep it in the folder of its pass."""
        write_json(folder / FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Task:
        """What `save` kept; raises `UserError` where there is none."""
        return cls(**read_json(folder / FILE))
