"""The ledger: every decision on what classifies, one JSON line each, never changed afterwards.

Each line holds the digest of the line before, so that a changed, removed or inserted one is noticed, and is
on disk before anything follows from it. Tags and aliases in the registry can be set by anyone who may write
there; what has passed the gate and what was deployed is what stands here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from astroreel.errors import UserError

FILE = "ledger.jsonl"
_LOCK_SECONDS = 120.0


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes
    ----------
    seq
        Its number, from 1.
    time
        When it was written, ISO 8601, UTC.
    event
        What happened, one of the words in :mod:`astroreel.governance.history`.
    model
        The registered model that it happened to.
    who
        The person that asked for it, "" where that is not known.
    facts
        What else is to be known: versions, digests, reasons.
    previous
        Digest of the line before, "" for the first.
    digest
        Hexadecimal sha256 of all of the above.
    """

    seq: int
    time: str
    event: str
    model: str
    who: str
    facts: Mapping[str, Any]
    previous: str
    digest: str


class Ledger:
    """The ledger in one file, for any number of processes of one machine.

    Parameters
    ----------
    path
        The file; made with its folder at the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: tuple[Entry, ...] = ()
        self._read_at: tuple[int, int] | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that decides; may be nested. Raises `UserError` after two minutes' wait."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_suffix(".lock"), is_singleton=True)
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise UserError(
                f"{lock.lock_file}: held for too long: wait for the other command to end"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> tuple[Entry, ...]:
        """All entries, in order; a last line that was never finished is none.

        Raises `UserError`, naming the line, where one is damaged or does not follow from the line before.
        """
        if not self.path.exists():
            return ()
        state = self.path.stat()
        if (key := (state.st_mtime_ns, state.st_size)) != self._read_at:
            entries: list[Entry] = []
            for line in _whole(self.path.read_bytes()).splitlines():
                entries.append(self._checked(line, entries))
            self._entries, self._read_at = tuple(entries), key
        return self._entries

    def append(self, event: str, model: str, facts: Mapping[str, Any], who: str = "") -> Entry:
        """Write an entry; when this returns it is on disk."""
        with self.locked():
            entries = self.entries()
            content: dict[str, Any] = {
                "seq": len(entries) + 1,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "event": event,
                "model": model,
                "who": who,
                "facts": dict(facts),
                "previous": entries[-1].digest if entries else "",
            }
            entry = Entry(**content, digest=_digest(content))
            self._write(json.dumps(asdict(entry), allow_nan=False).encode() + b"\n")
        return entry

    def _write(self, line: bytes) -> None:
        new = not self.path.exists()
        with self.path.open("a+b") as stream:
            stream.seek(0)
            stream.truncate(len(_whole(stream.read())))
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        if new:
            _sync_folder(self.path.parent)

    def _checked(self, line: bytes, before: list[Entry]) -> Entry:
        number = len(before) + 1
        try:
            content = json.loads(line)
            entry = Entry(**content)
            digest = content.pop("digest")
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{self.path}: line {number} is no entry: restore it from a backup") from error
        previous = before[-1].digest if before else ""
        if (entry.seq, entry.previous, digest) != (number, previous, _digest(content)):
            raise UserError(
                f"{self.path}: line {number} was changed or does not follow from the line before: "
                "restore it from a backup"
            )
        return entry


def _whole(content: bytes) -> bytes:
    """Without what a killed writer left unfinished at the end."""
    return content[: content.rfind(b"\n") + 1]


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
