"""What every classifier is to the rest of the library."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from astroreel.sequences.record import SequenceSet


class Classifier(Protocol):
    """Whatever turns image sequences into class probabilities."""

    def predict(self, sequences: SequenceSet) -> NDArray[np.float64]:
        """Class probabilities after every epoch, (M, 7), rows aligned with ``sequences.epochs``.

        Row t of an object uses nothing later than its epoch t. Every row sums to 1.
        """
        ...
