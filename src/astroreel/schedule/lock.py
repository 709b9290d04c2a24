"""One process works on a project at a time.

The operating system drops the lock of a process that dies; what it wrote in the file tells whose it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """The process that holds the lock, or held it when it died."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, since {self.since}"


class Busy(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(f"already running ({holder or 'it has just begun'})")


@contextmanager
def locked(path: Path) -> Iterator[Holder | None]:
    """Hold the lock at ``path``; yields the process that died with it, None where none did.

    Raises `Busy` at once where a living process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(_holder(path)) from None
        dead = _holder(path)
        own = Holder(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"))
        stream.truncate(0)
        stream.write(json.dumps(asdict(own)).encode())
        try:
            yield dead
        finally:
            stream.truncate(0)


def _holder(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
