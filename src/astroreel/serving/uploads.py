"""Sequence files that come over the network: bounded before anything is read out of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from astroreel.errors import InvalidSequence
from astroreel.sequences.file import parse_sequence
from astroreel.sequences.record import Sequence, SequenceSet

#: Bytes of the files of one request, unpacked.
UNPACKED = 64 * 2**20

_GZIP = b"\x1f\x8b"
_PLAIN = b"SIMPLE  ="
#: How packed files begin: gzip, zip, bzip2, xz and compress.
_PACKED = (_GZIP, b"PK\x03\x04", b"BZh", b"\xfd7zXZ\x00", b"\x1f\x9d")


def read_uploads(
    files: Iterable[tuple[str, bytes]], room: int = UNPACKED
) -> tuple[SequenceSet, list[InvalidSequence]]:
    """The sequences in files, names and contents, that share ``room`` bytes unpacked; and each refusal."""
    sequences: list[Sequence] = []
    refused: list[InvalidSequence] = []
    for name, content in files:
        try:
            sequence, size = read_upload(content, name, room)
        except InvalidSequence as error:
            refused.append(error)
            continue
        sequences.append(sequence)
        room -= size
    return SequenceSet.from_sequences(sequences), refused


def read_upload(content: bytes, name: str, room: int) -> tuple[Sequence, int]:
    """The sequence in a FITS file or a gzipped one, and its bytes unpacked, at most ``room``.

    Raises `InvalidSequence` where it is larger, packed otherwise, damaged, or departs from contract 1.
    """
    content = unpack(content, name, room)
    if not content.startswith(_PLAIN):
        raise _not_plain(content, name)
    return parse_sequence(content, name), len(content)


def unpack(content: bytes, name: str, room: int) -> bytes:
    """A file's content without its gzip, if it has one; never more than ``room`` bytes.

    Raises `InvalidSequence` where it is larger, damaged, packed twice or otherwise: a reader of FITS would
    unpack that by itself, and without a bound.
    """
    if content.startswith(_GZIP):
        content = _unpacked(content, name, room)
    if len(content) > room:
        raise InvalidSequence(name, "size", f"more than {room} bytes unpacked, expected no more")
    if content.startswith(_PACKED):
        raise _not_plain(content, name)
    return content


def _not_plain(content: bytes, name: str) -> InvalidSequence:
    return InvalidSequence(name, "unreadable", f"begins with {content[:8]!r}, expected {_PLAIN!r}")


def _unpacked(content: bytes, name: str, room: int) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacker.decompress(content, room + 1)
    except zlib.error as error:
        raise InvalidSequence(name, "unreadable", f"damaged gzip file ({error})") from error
    if len(unpacked) <= room and not unpacker.eof:
        raise InvalidSequence(name, "unreadable", "damaged gzip file (it ends too early)")
    return unpacked
