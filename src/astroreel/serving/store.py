"""Where a stream keeps its objects: a SQLite file, and the states used last in memory.

Everything is plain bytes. What a transaction wrote is there after the process was killed; after a power
cut the last transactions may be missing, and the file is sound.
"""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from astroreel.errors import UserError

_FORMAT = 1
_PAGE_BYTES = 8192
#: Pages written before they are moved to their places, which takes some 10 ms: about one alert in a thousand
#: waits for it.
_CHECKPOINT_PAGES = 8000
_TABLES = """
CREATE TABLE states (name TEXT PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE frames (name TEXT, slot INTEGER, mjd REAL, frame BLOB NOT NULL, PRIMARY KEY (name, slot));
"""


@dataclass(frozen=True)
class Entry:
    """What one more frame leaves of an object.

    Attributes
    ----------
    name
        The object's.
    state
        Its state after the frame.
    slot
        Where the frame is kept; what was there before is forgotten.
    mjd, frame
        The frame and its time [d].
    """

    name: str
    state: bytes
    slot: int
    mjd: float
    frame: bytes


class StateStore:
    """States by object name, and each object's last frames.

    One process at a time holds a store, and one thread at a time uses it.

    Parameters
    ----------
    path
        The SQLite file; made where it is missing.
    memory
        Bytes of states that are held in memory beside it; the longest unused are let go first.

    Attributes
    ----------
    objects
        How many have a state; any thread may look.
    held
        Bytes of states in memory; any thread may look.

    Raises
    ------
    UserError
        Where the file cannot be opened, is no store, or another process holds it.
    """

    def __init__(self, path: Path, memory: int = 256 * 2**20) -> None:
        self.path = path
        self._memory = memory
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self.held = 0
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Transactions are begun and ended here, not by the module; a held store is told at once.
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            self._open()
            self.objects = self._count()

    def _open(self) -> None:
        run = self._database.execute
        run(f"PRAGMA page_size = {_PAGE_BYTES}")
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        run("BEGIN EXCLUSIVE")
        found = run("PRAGMA user_version").fetchone()[0]
        if found not in (0, _FORMAT):
            raise UserError(f"{self.path}: states of format {found}, expected {_FORMAT}: name another folder")
        if not found:
            for statement in filter(str.strip, _TABLES.split(";")):
                run(statement)
            run(f"PRAGMA user_version = {_FORMAT}")
        run("COMMIT")

    def _count(self) -> int:
        # No row is ever deleted, so the last row's number is their count, and found at once.
        return int(self._database.execute("SELECT max(rowid) FROM states").fetchone()[0] or 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is saved within is kept, or none of it; raises `UserError` where it cannot be."""
        with self._errors():
            self._database.execute("BEGIN")
            try:
                yield
                self._database.execute("COMMIT")
                self.objects = self._count()
            except BaseException:
                # What is in memory may be of what is now undone.
                self._recent.clear()
                self.held = 0
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def states(self, names: list[str]) -> list[bytes]:
        """The state of each object, b"" for one that is not known."""
        unknown = [name for name in names if name not in self._recent]
        if unknown:
            query = "SELECT name, state FROM states WHERE name IN (SELECT value FROM json_each(?))"
            found = dict(self._database.execute(query, (json.dumps(unknown),)))
        else:
            found = {}
        for name in names:
            if name in self._recent:
                self._recent.move_to_end(name)
        return [self._recent.get(name) or found.get(name, b"") for name in names]

    def frames(self, name: str) -> list[bytes]:
        """The kept frames of an object in the order of time."""
        query = "SELECT frame FROM frames WHERE name = ? ORDER BY mjd"
        return [frame for (frame,) in self._database.execute(query, (name,))]

    def frame(self, name: str, mjd: float) -> bytes:
        """The frame of an object at a time, b"" where none is kept."""
        query = "SELECT frame FROM frames WHERE name = ? AND mjd = ?"
        row = self._database.execute(query, (name, mjd)).fetchone()
        return row[0] if row else b""

    def save(self, entries: Iterable[Entry]) -> None:
        """Keep states and frames; within a `transaction`."""
        entries = list(entries)
        self._database.executemany(
            "INSERT INTO states VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET state = excluded.state",
            ((entry.name, entry.state) for entry in entries),
        )
        self._database.executemany(
            "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?)",
            ((entry.name, entry.slot, entry.mjd, entry.frame) for entry in entries),
        )
        for entry in entries:
            self._hold(entry.name, entry.state)

    def _hold(self, name: str, state: bytes) -> None:
        self.held += len(state) - len(self._recent.pop(name, b""))
        self._recent[name] = state
        while self.held > self._memory:
            _, forgotten = self._recent.popitem(last=False)
            self.held -= len(forgotten)

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            held = "locked" in str(error)
            way_out = "another process holds it" if held else "make room or name another folder"
            raise UserError(f"{self.path}: states cannot be kept here ({error}): {way_out}") from error
        except OSError as error:
            raise UserError(f"{self.path}: states cannot be kept here ({error.strerror})") from error
