"""Bad files of every kind that arrives: damaged, wrong, hostile."""

from __future__ import annotations

import bz2
import gzip
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from astroreel.sequences.file import write_sequence
from astroreel.sequences.record import Sequence

Rng = np.random.Generator
Bytes = bytearray


def _truncated(good: Bytes, rng: Rng) -> bytes:
    return bytes(good[: rng.integers(0, len(good) - 2880)])


def _scrambled(good: Bytes, rng: Rng) -> bytes:
    """Random bytes over the header, where each card counts."""
    for place in rng.integers(0, 80 * 12, 40):
        good[place] = rng.integers(256)
    return bytes(good)


def _noise(good: Bytes, rng: Rng) -> bytes:
    return rng.bytes(int(rng.integers(0, 20_000)))


def _pickle(good: Bytes, rng: Rng) -> bytes:
    return pickle.dumps({"stamp": rng.normal(size=(8, 21, 21)), "n": int(rng.integers(99))})


def _wrong_extension(good: Bytes, rng: Rng) -> bytes:
    name = (b"STAMPS", b"EPOCHS")[rng.integers(2)]
    return bytes(good.replace(b"'" + name, b"'" + rng.choice([b"IMAGES", b"STEMPS", b"epoch "])))


def _huge(good: Bytes, rng: Rng) -> bytes:
    """A header that claims more rows or pixels than there are, or could be."""
    axis = (b"NAXIS2  =                   21", b"NAXIS3  =                   10")[rng.integers(2)]
    number = str(rng.integers(10**5, 10**12)).encode()
    return bytes(good.replace(axis, axis[:10] + number.rjust(20)))


def _bomb(good: Bytes, rng: Rng) -> bytes:
    return gzip.compress(bytes(good[:2880]) + bytes(40_000_000), 6)


def _bomb_in_a_bomb(good: Bytes, rng: Rng) -> bytes:
    """Two layers of packing, or another packing: what a FITS reader would unpack without a bound."""
    content = bytes(good[:2880]) + bytes(40_000_000)
    return bz2.compress(content, 1) if rng.integers(2) else gzip.compress(gzip.compress(content, 1), 1)


def _half_packed(good: Bytes, rng: Rng) -> bytes:
    packed = gzip.compress(bytes(good))
    return packed[: rng.integers(10, len(packed) - 10)]


def _header(keyword: str, choices: list[object]) -> Callable[[Bytes, Rng], bytes]:
    def damaged(good: Bytes, rng: Rng) -> bytes:
        with fits.open(_stream(good)) as hdus:
            hdus[0].header[keyword] = choices[rng.integers(len(choices))]
            return _written(hdus)

    return damaged


def _missing(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        names = ("OBJECT", "SURVEY", "FIELD", "PIXSCALE", "GAIN", "RDNOISE", "SATURATE", "SEQVER")
        del hdus[0].header[names[rng.integers(len(names))]]
        return _written(hdus)


def _epochs(column: str, value: Callable[[Rng], float]) -> Callable[[Bytes, Rng], bytes]:
    def damaged(good: Bytes, rng: Rng) -> bytes:
        with fits.open(_stream(good)) as hdus:
            hdus["EPOCHS"].data[column][rng.integers(len(hdus["EPOCHS"].data))] = value(rng)
            return _written(hdus)

    return damaged


def _all_nan(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        hdus["STAMPS"].data[:] = np.nan
        return _written(hdus)


def _mostly_nan(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        data = hdus["STAMPS"].data
        data[rng.random(data.shape) < 0.8] = np.nan
        return _written(hdus)


def _infinite(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        hdus["STAMPS"].data[0, 0, 0] = np.inf
        return _written(hdus)


def _saturated(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        hdus["STAMPS"].data[:, 9:12, 9:12] = 60_000.0
        return _written(hdus)


def _flat(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        hdus["STAMPS"].data[:] = hdus["EPOCHS"].data["SKY"][:, None, None]
        return _written(hdus)


def _integers(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        hdus["STAMPS"].data = hdus["STAMPS"].data.astype(np.int16)
        return _written(hdus)


def _other_shape(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        hdus["STAMPS"].data = hdus["STAMPS"].data[:, :20]
        return _written(hdus)


def _few(good: Bytes, rng: Rng) -> bytes:
    with fits.open(_stream(good)) as hdus:
        hdus["STAMPS"].data = hdus["STAMPS"].data[:3]
        return _written(hdus)


#: Every kind of bad file: what it makes of the bytes of a good one.
KINDS: dict[str, Callable[[Bytes, Rng], bytes]] = {
    "truncated": _truncated,
    "scrambled": _scrambled,
    "noise": _noise,
    "pickle": _pickle,
    "wrong extension": _wrong_extension,
    "huge": _huge,
    "bomb": _bomb,
    "bomb in a bomb": _bomb_in_a_bomb,
    "half packed": _half_packed,
    "missing keyword": _missing,
    "path": _header("OBJECT", ["../../x", "/etc/passwd", "a/b", "..\\x", ".hidden", " ", "x" * 90]),
    "label": _header("LABEL", ["RR_LYRAE", "Rr Lyrae", "supernove", "etoile", "Sternschnuppe", 7, True]),
    "version": _header("SEQVER", [0, 2, "1", 1.5, True]),
    "gain": _header("GAIN", [0.0, -4.0, "four", True, 1e-9]),
    "future": _epochs("MJD", lambda rng: 70_000.0 + rng.uniform(0, 9_000)),
    "before photography": _epochs("MJD", lambda rng: rng.uniform(-1e6, 1e3)),
    "seeing": _epochs("SEEING", lambda rng: rng.choice([np.nan, -1.0, 400.0])),
    "zero point": _epochs("ZP", lambda rng: rng.choice([np.nan, np.inf, -99.0])),
    "all NaN": _all_nan,
    "mostly NaN": _mostly_nan,
    "infinite": _infinite,
    "saturated": _saturated,
    "flat": _flat,
    "integers": _integers,
    "other shape": _other_shape,
    "few": _few,
}


def write_bad_files(folder: Path, good: Sequence, n: int, seed: int) -> list[str]:
    """Write ``n`` bad files of all kinds in turn, and return their kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    kinds = [list(KINDS)[number % len(KINDS)] for number in range(n)]
    for number, kind in enumerate(kinds):
        path = folder / f"{number:05d} {kind} ☄.fits"
        header = good.header.copy()
        header["name"] = f"bad-{number}"
        write_sequence(path, replace(good, header=header[()]))
        path.write_bytes(KINDS[kind](bytearray(path.read_bytes()), rng))
    return kinds


def _stream(content: Bytes):
    from io import BytesIO

    return BytesIO(bytes(content))


def _written(hdus: fits.HDUList) -> bytes:
    from io import BytesIO

    stream = BytesIO()
    hdus.writeto(stream, output_verify="ignore")
    return stream.getvalue()
