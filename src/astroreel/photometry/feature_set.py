"""The light curves of a set of objects and their features as the curves grow, kept together on disk."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import class_indices
from astroreel.errors import UserError
from astroreel.files import replacing_file
from astroreel.photometry.curves import LightCurves
from astroreel.photometry.features import features_by_epoch
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
        (N, n_max, F) features of the first n epochs, n = 1 .. n_max; of the whole curve where it is shorter.
    """

    names: NDArray[np.str_]
    labels: NDArray[np.int64]
    curves: LightCurves
    features: NDArray[np.float64]

    @classmethod
    def of(cls, sequences: SequenceSet, preparation: Preparation) -> Self:
        """Measure a set of sequences, after every number of samples up to the preparation's."""
        curves = photometry(sequences, preparation)
        table = features_by_epoch(curves, range(1, preparation.max_epochs + 1))
        return cls(sequences.objects["name"], class_indices(sequences.labels), curves, table)

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> FeatureSet:
        """The objects named by indices or by a boolean mask, in that order."""
        return FeatureSet(
            self.names[which], self.labels[which], self.curves.select(which), self.features[which]
        )

    def first(self, count: int) -> FeatureSet:
        """What was known after the first ``count`` samples."""
        return FeatureSet(self.names, self.labels, self.curves.first(count), self.features[:, :count])

    def indices(self, names: list[str]) -> NDArray[np.int64]:
        """Where the objects of these names stand."""
        place = {str(name): index for index, name in enumerate(self.names)}
        return np.array([place[name] for name in names], dtype=np.int64)

    def save(self, path: Path) -> None:
        """Write everything to one .npz file."""
        arrays: dict[str, Any] = {"names": self.names, "labels": self.labels, "features": self.features}
        arrays |= {column.name: getattr(self.curves, column.name) for column in fields(LightCurves)}
        with replacing_file(path) as scratch, scratch.open("wb") as stream:
            np.savez(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises `UserError` where it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                curves = LightCurves(**{column.name: arrays[column.name] for column in fields(LightCurves)})
                return cls(arrays["names"], arrays["labels"], curves, arrays["features"])
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"{path}: no feature set ({error}): run the features stage") from error
