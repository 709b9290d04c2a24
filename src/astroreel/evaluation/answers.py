"""What the main models said of each object of the target, after every sample, kept for whoever looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.evaluation.names import MAIN_MODELS
from astroreel.evaluation.predictions import TARGET_DOMAINS, Predictions
from astroreel.files import replacing_file


@dataclass(frozen=True)
class Answers:
    """The answers about N objects.

    Attributes
    ----------
    names
        (N,) of the objects, sorted.
    probabilities
        (N, 22, 7) of each model and stage, named ``MODEL.STAGE``: after n = 1 .. 22 samples, by models that
        saw no object of its field, the mean over the draws.
    """

    names: NDArray[np.str_]
    probabilities: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, predictions: Iterable[Predictions]) -> Self:
        """Those of the main models about the target."""
        groups: dict[str, list[Predictions]] = defaultdict(list)
        for one in predictions:
            if one.domain in TARGET_DOMAINS and one.model in MAIN_MODELS:
                groups[f"{one.model}.{one.stage}"].append(one)
        every = [one.objects.names for group in groups.values() for one in group]
        names = np.unique(np.concatenate(every)) if every else np.empty(0, np.str_)
        return cls(names, {name: _mean(group, names) for name, group in sorted(groups.items())})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises `UserError` where it is no such file."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(stored["names"], {k: stored[k] for k in sorted(stored.files) if k != "names"})
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise UserError(f"{path}: no stored answers ({error}): run `dvc repro`") from error

    def save(self, path: Path) -> None:
        """Write them to one file, beside it first."""
        with replacing_file(path) as scratch, scratch.open("wb") as stream:
            np.savez_compressed(stream, names=self.names, **self.probabilities)  # type: ignore[arg-type]

    def of_object(self, name: str) -> dict[str, NDArray[np.float32]]:
        """The answers about one object, (22, 7) each; raises ``KeyError`` where there are none."""
        row = int(np.searchsorted(self.names, name))
        if row == len(self.names) or self.names[row] != name:
            raise KeyError(name)
        return {key: table[row] for key, table in self.probabilities.items()}


def _mean(group: list[Predictions], names: NDArray[np.str_]) -> NDArray[np.float32]:
    shape = (len(names), *group[0].probabilities.shape[1:])
    total, times = np.zeros(shape), np.zeros(len(names))
    for one in group:
        rows = np.searchsorted(names, one.objects.names)
        total[rows] += one.probabilities
        times[rows] += 1
    mean: NDArray[np.float32] = (total / times[:, None, None]).astype(np.float32)
    return mean
