"""The light curves of a set of objects and their features as the curves grow, kept together on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import class_indices
from astroreel.errors import UserError
from astroreel.files import replacing_file
from astroreel.photometry.border import border_by_epoch
from astroreel.photometry.curves import LightCurves
from astroreel.photometry.measurement import measured_by_epoch
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet


@dataclass(frozen=True)
class FeatureSet:
    """N objects.

    Attributes
    ----------
    names, labels
        (N,) names, and positions in CLASSES.
    curves
        Their light curves.
    features
        (N, n_max, F) what a forest reads after the first n epochs, n = 1 .. n_max, in the columns of
        `measurement.column_names`; of the whole curve where it is shorter.
    border
        (N, n_max, B) texture of the rim's noise, in the columns of `border.COLUMNS`.
    """

    names: NDArray[np.str_]
    labels: NDArray[np.int64]
    curves: LightCurves
    features: NDArray[np.float32]
    border: NDArray[np.float32]

    @classmethod
    def of(cls, sequences: SequenceSet, preparation: Preparation) -> Self:
        """Measure a set of sequences, after every number of samples up to the preparation's."""
        curves = photometry(sequences, preparation)
        epochs = preparation.max_epochs
        table = measured_by_epoch(sequences, curves, preparation, epochs)
        border = border_by_epoch(sequences, epochs)
        return cls(sequences.objects["name"], class_indices(sequences.labels), curves, table, border)

    @classmethod
    def concatenate(cls, parts: Sequence[FeatureSet]) -> Self:
        """The objects of several sets, one after the other."""
        return cls(
            np.concatenate([part.names for part in parts]),
            np.concatenate([part.labels for part in parts]),
            LightCurves.concatenate(part.curves for part in parts),
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.border for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> FeatureSet:
        """The objects named by indices or by a boolean mask, in that order."""
        return FeatureSet(
            self.names[which],
            self.labels[which],
            self.curves.select(which),
            self.features[which],
            self.border[which],
        )

    def first(self, count: int) -> FeatureSet:
        """What was known after the first ``count`` samples."""
        return FeatureSet(
            self.names,
            self.labels,
            self.curves.first(count),
            self.features[:, :count],
            self.border[:, :count],
        )

    def indices(self, names: list[str]) -> NDArray[np.int64]:
        """Where the objects of these names stand."""
        place = {str(name): index for index, name in enumerate(self.names)}
        return np.array([place[name] for name in names], dtype=np.int64)

    def save(self, path: Path) -> None:
        """Write everything to one .npz file."""
        arrays: dict[str, Any] = {"names": self.names, "labels": self.labels}
        arrays |= {"features": self.features, "border": self.border}
        arrays |= {column.name: getattr(self.curves, column.name) for column in fields(LightCurves)}
        with replacing_file(path) as scratch, scratch.open("wb") as stream:
            np.savez(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises `UserError` where it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                curves = LightCurves(**{column.name: arrays[column.name] for column in fields(LightCurves)})
                return cls(arrays["names"], arrays["labels"], curves, arrays["features"], arrays["border"])
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise UserError(f"{path}: no feature set ({error}): run the features stage") from error
