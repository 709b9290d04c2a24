"""The rim of stamps, where no object is: what it tells is noise, texture and surroundings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from astroreel.sequences.record import SequenceSet
from astroreel.sequences.rim import RIM

_SIGMA_OF_DEVIATION = 1.4826  # of a Gaussian, over its median absolute deviation


def rim_alone(sequences: SequenceSet, rng: np.random.Generator) -> SequenceSet:
    """The same objects with all inside the rim replaced by noise, as large as that of the frame's rim."""
    stamps = np.array(sequences.stamps[:])
    rim = stamps[:, RIM]
    level = np.nan_to_num(np.nanmedian(rim, axis=1, keepdims=True))
    scatter = _SIGMA_OF_DEVIATION * np.nan_to_num(np.nanmedian(np.abs(rim - level), axis=1, keepdims=True))
    stamps[:, ~RIM] = level + scatter * rng.standard_normal((len(stamps), int(np.sum(~RIM))))
    return replace(sequences, stamps=stamps)
