"""What several test files share: small sequences made from nothing but a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, Sequence

MakeSequence = Callable[..., Sequence]


@pytest.fixture
def make_sequence() -> MakeSequence:
    """A function that makes one valid sequence; keywords set header fields."""

    def make(epochs: int = 10, seed: int = 0, **header: object) -> Sequence:
        rng = np.random.default_rng(seed)
        record = np.zeros((), OBJECT_DTYPE)
        values = {
            "name": f"object-{seed}",
            "survey": "hits",
            "label": "rr_lyrae",
            "field": "Blind15A_04",
            "pixscale": 0.27,
            "gain": 4.0,
            "rdnoise": 6.0,
            "saturate": 40_000.0,
            "ra": np.nan,
            "dec": np.nan,
            "label_confidence": np.nan,
        } | header
        for name, value in values.items():
            record[name] = value
        rows = np.zeros(epochs, EPOCH_DTYPE)
        rows["mjd"] = 57069.0 + np.sort(rng.uniform(0, 25, epochs))
        rows["band"] = "g"
        rows["exptime"], rows["airmass"] = 86.0, 1.2
        rows["seeing"] = rng.uniform(0.9, 1.6, epochs)
        rows["sky"] = rng.uniform(100, 400, epochs)
        rows["zp"], rows["limmag"] = 25.0, 23.5
        noise = np.sqrt(rows["sky"] / 4.0)[:, None, None]
        stamps = rows["sky"][:, None, None] + noise * rng.standard_normal((epochs, 21, 21))
        return Sequence(record[()], stamps.astype(np.float32), rows)

    return make
