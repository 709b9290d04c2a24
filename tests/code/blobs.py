"""Four easy classes to learn: Gaussian sources that stay, swing or rise, and an extended one."""

from __future__ import annotations

import numpy as np

from astroreel.classes import class_index
from astroreel.sequences.prepare import Prepared

LABELS = tuple(class_index(name) for name in ("supernova", "rr_lyrae", "non_variable", "galaxy"))
RISING, SWINGING, STAYING, EXTENDED = LABELS
NOISE = 6.0


def blobs(n: int, seed: int = 0, epochs: int = 8) -> Prepared:
    """``n`` sequences of 3 to ``epochs`` epochs, the classes equally likely."""
    rng = np.random.default_rng(seed)
    labels = np.array(LABELS)[np.arange(n) % len(LABELS)]
    mask = np.arange(epochs) < rng.integers(3, epochs + 1, n)[:, None]
    times = np.cumsum(rng.uniform(0.05, 1.0, (n, epochs)), axis=1)
    times -= times[:, :1]
    level = rng.uniform(2_000, 20_000, (n, 1))
    swing = 1 + 0.4 * np.sin(2 * np.pi * (times / 0.6 + rng.random((n, 1))))
    rise = np.maximum(times - times[:, [2]], 0)
    course = np.select([labels[:, None] == SWINGING, labels[:, None] == RISING], [swing, rise], 1.0)
    axis = np.arange(-10, 11) ** 2
    width = np.where(labels == EXTENDED, 4.0, 2.0)[:, None, None]
    profile = np.exp(-(axis[:, None] + axis) / (2 * width**2)) / (2 * np.pi * width**2)
    stamps = (level * course)[..., None, None] * profile[:, None]
    stamps += NOISE * rng.standard_normal(stamps.shape)
    conditions = np.broadcast_to([5.0, 1.2, np.log10(NOISE), -1.5], (n, epochs, 4))
    return Prepared(
        stamps=np.where(mask[..., None, None], stamps, 0).astype(np.float32),
        times=np.where(mask, times, 0).astype(np.float32),
        conditions=np.where(mask[..., None], conditions, 0).astype(np.float32),
        mask=mask,
        labels=labels,
    )
