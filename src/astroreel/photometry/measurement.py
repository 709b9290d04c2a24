"""All that a forest reads of an object, after every number of frames: columns of three kinds.

Light-curve features by optimal photometry, as in the thesis; the same features of the difference fluxes; and
what is known of the host.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.photometry import host
from astroreel.photometry.curves import LightCurves
from astroreel.photometry.difference import difference_features
from astroreel.photometry.features import feature_names, features_by_epoch
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet


def column_names() -> tuple[str, ...]:
    """Names of the columns: those of `feature_names`, the same of the difference fluxes, the host's."""
    names = feature_names()
    return (*names, *(f"Difference_{name}" for name in names), *host.COLUMNS)


def measured_by_epoch(
    sequences: SequenceSet, curves: LightCurves, preparation: Preparation, epochs: int
) -> NDArray[np.float32]:
    """The columns after the first n frames of each object, n = 1 .. ``epochs``, (N, epochs, F).

    Of the whole sequence where it is shorter than n.

    Parameters
    ----------
    sequences, preparation
        N objects, and what their fluxes are brought to.
    curves
        Their light curves by optimal photometry.
    epochs
        Largest number of frames.
    """
    parts = (
        features_by_epoch(curves, range(1, epochs + 1)).astype(np.float32),
        difference_features(sequences, preparation, epochs),
        host.host_by_epoch(sequences, preparation, epochs),
    )
    return np.concatenate(parts, axis=2)
