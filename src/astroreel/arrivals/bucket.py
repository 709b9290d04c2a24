"""New files of a folder or bucket, copied into the inbox once: anything that fsspec has a URL for.

What was copied is remembered by its path and by what the store says of its content (its ETag, else size and
time), so that a file which is written anew is fetched anew. It is remembered after it lies in the inbox: a
kill between the two fetches it again, and nothing is lost.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec  # type: ignore[import-untyped]

from astroreel.arrivals.folders import Folders, plain
from astroreel.arrivals.known import LARGEST_FILE, check_size
from astroreel.errors import InvalidSequence, UserError
from astroreel.files import replacing_file
from astroreel.sequences.file import SUFFIXES

#: What stores call the mark of a content, the best first.
_MARKS = ("ETag", "etag", "md5", "checksum", "LastModified", "last_modified", "mtime", "created")


def fetch(url: str, folders: Folders, now: datetime) -> int:
    """Copy what is new below ``url`` into the inbox; returns how many files.

    What no sequence file can be, by its name or its size, is not fetched: its reason goes into quarantine.

    Raises
    ------
    UserError
        Where the store cannot be read, or no library for its kind is installed.
    """
    try:
        store, folder = fsspec.url_to_fs(url)
        store.invalidate_cache()  # a store remembers what it listed before
        found = store.find(folder, detail=True)
        return sum(_fetch_new(store, path, info, folders, now) for path, info in sorted(found.items()))
    except UserError:
        raise
    except Exception as error:  # each store raises its own library's errors
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"inbox.watch: {url}: cannot be read ({reason:.200})") from error


def _fetch_new(store: Any, path: str, info: dict[str, Any], folders: Folders, now: datetime) -> int:
    mark = _mark(store, path, info)
    memory = folders.root / "fetched" / mark
    if memory.exists():
        return 0
    name = PurePosixPath(path).name
    try:
        _check(name, info.get("size"))
        _copy(store, path, folders.inbox / f"{_stem(name)}-{mark[:8]}{_suffix(name)}")
    except InvalidSequence as error:
        folders.note(name, error.rule, error.detail, mark, now)
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.touch()
    return 1


def _mark(store: Any, path: str, info: dict[str, Any]) -> str:
    """Hexadecimal sha256 of where a file is and of what the store says of its content."""
    content = [str(info[key]) for key in _MARKS if info.get(key)]
    where = store.unstrip_protocol(path)
    return hashlib.sha256(json.dumps([where, info.get("size"), content[:1]]).encode()).hexdigest()


def _check(name: str, size: int | None) -> None:
    if not _suffix(name):
        raise InvalidSequence(name, "suffix", f"expected a name that ends in {' or '.join(SUFFIXES)}")
    check_size(name, size or 0)


def _copy(store: Any, path: str, place: Path) -> None:
    """Copy one file, whole or not at all; raises `InvalidSequence` where it is larger than it said."""
    with store.open(path, "rb") as stream:
        content = stream.read(LARGEST_FILE + 1)
    check_size(place.name, len(content))
    with replacing_file(place) as scratch:
        scratch.write_bytes(content)


def _suffix(name: str) -> str:
    return next((suffix for suffix in reversed(SUFFIXES) if name.endswith(suffix)), "")


def _stem(name: str) -> str:
    return plain(name.removesuffix(_suffix(name)))
