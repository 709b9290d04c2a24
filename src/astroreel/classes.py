"""The class vocabulary: the one spelling and the one order used everywhere."""

from __future__ import annotations

from importlib.metadata import entry_points

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astroreel.errors import UserError

#: Entry points by which other packages bring light-curve models of further classes; each has the name of its
#: class.
CLASS_GROUP = "astroreel.lightcurves"

_OWN = (
    "supernova",
    "rr_lyrae",
    "cepheid",
    "eclipsing_binary",
    "non_variable",
    "galaxy",
    "asteroid",
)

#: The seven classes of thesis Table 3.2, then those of other packages that are installed, by name.
CLASSES: tuple[str, ...] = (
    *_OWN,
    *sorted({entry.name for entry in entry_points(group=CLASS_GROUP)} - {*_OWN}),
)

#: Classes whose sequences start at an alert (thesis 3.2.1).
ALERT_CLASSES: tuple[str, ...] = ("supernova", "asteroid")

UNLABELLED = ""


def class_index(label: str) -> int:
    """Position of ``label`` in :data:`CLASSES`; raises `UserError` for an unknown class."""
    try:
        return CLASSES.index(label)
    except ValueError:
        raise UserError(f"unknown class {label!r}: choose from {', '.join(CLASSES)}") from None


def class_indices(labels: ArrayLike) -> NDArray[np.int64]:
    """Class positions of an array of labels, shape (N,); -1 marks an unlabelled object."""
    names = np.atleast_1d(np.asarray(labels, dtype=str))
    known, inverse = np.unique(names, return_inverse=True)
    table = np.array([-1 if name == UNLABELLED else class_index(str(name)) for name in known])
    return table.astype(np.int64)[inverse]
