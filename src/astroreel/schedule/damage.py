"""What happens to files on their way: the kinds of damage that a season's files suffer.

Each makes a bad file of the bytes of a good one, and each is such that the inbox must see it.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from astropy.io import fits

Damage = Callable[[bytes, np.random.Generator], bytes]

#: What FITS files consist of [byte].
_BLOCK = 2880
_REQUIRED = ("OBJECT", "SURVEY", "FIELD", "PIXSCALE", "GAIN", "RDNOISE", "SATURATE", "SEQVER")


def _truncated(good: bytes, rng: np.random.Generator) -> bytes:
    """A transfer that broke off."""
    return good[: int(rng.integers(0, len(good) - _BLOCK))]


def _overwritten(good: bytes, rng: np.random.Generator) -> bytes:
    """A bad block of a disk where the header was."""
    return rng.bytes(_BLOCK) + good[_BLOCK:]


def _extension(good: bytes, rng: np.random.Generator) -> bytes:
    """An extension under another name."""
    name = (b"STAMPS", b"EPOCHS")[int(rng.integers(2))]
    return good.replace(b"'" + name, b"'" + name[::-1])


def _keyword(good: bytes, rng: np.random.Generator) -> bytes:
    """A header without one of its keywords."""
    keyword = _REQUIRED[int(rng.integers(len(_REQUIRED)))]
    return _edited(good, lambda hdus: hdus[0].header.remove(keyword))


def _label(good: bytes, rng: np.random.Generator) -> bytes:
    """A label in capitals, as another catalogue may have it."""
    return _edited(good, lambda hdus: hdus[0].header.set("LABEL", str(hdus[0].header["LABEL"]).upper()))


def _clock(good: bytes, rng: np.random.Generator) -> bytes:
    """Exposures that are still to be taken: Julian dates 27 years ahead."""

    def ahead(hdus: fits.HDUList) -> None:
        hdus["EPOCHS"].data["MJD"] += 30_000.0

    return _edited(good, ahead)


def _blank(good: bytes, rng: np.random.Generator) -> bytes:
    """No pixel that is a number."""

    def blank(hdus: fits.HDUList) -> None:
        hdus["STAMPS"].data[:] = np.nan

    return _edited(good, blank)


def _flat(good: bytes, rng: np.random.Generator) -> bytes:
    """Sky without any noise."""

    def flat(hdus: fits.HDUList) -> None:
        hdus["STAMPS"].data[:] = hdus["EPOCHS"].data["SKY"][:, None, None]

    return _edited(good, flat)


def _edited(good: bytes, edit: Callable[[fits.HDUList], None]) -> bytes:
    stream = BytesIO()
    with fits.open(BytesIO(good)) as hdus:
        edit(hdus)
        hdus.writeto(stream)
    return stream.getvalue()


#: Every kind of damage, by its name.
KINDS: dict[str, Damage] = {
    "truncated": _truncated,
    "overwritten": _overwritten,
    "extension": _extension,
    "keyword": _keyword,
    "label": _label,
    "clock": _clock,
    "blank": _blank,
    "flat": _flat,
}
