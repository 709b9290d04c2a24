"""The journal: what each pass did, one JSON line a pass, on disk before the pass counts as ended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from astroreel.errors import UserError
from astroreel.schedule.home import Home

#: nothing: there was nothing to do; busy: another process works (never written down); challenger, refused:
#: what the gate made of the new version; failed: an error, which the next tick tries to pass.
Outcome = Literal["nothing", "busy", "challenger", "refused", "failed"]

#: Outcomes of a pass that went to its end: its labels are no longer new.
ENDED: tuple[Outcome, ...] = ("challenger", "refused")


@dataclass(frozen=True)
class Pass:
    """What one pass did.

    Attributes
    ----------
    id
        Of what it worked on: equal for equal labels, parents and parameters; "" where it did nothing.
    started, seconds
        When, ISO 8601 with its offset, and how long it took, from when it was last taken up.
    outcome, reason
        What came of it, and why.
    received
        Files taken in from the inbox, by what became of them.
    labelled, labels, new
        Digest of the labelled set, its objects by class, and how many of them no pass had seen.
    parent
        ``pretrained`` or ``champion``: what was fine-tuned.
    commit, data
        The git commit that holds the labelled set, and DVC's md5 of it.
    versions
        The registered versions, by model.
    verdict, level
        What the gate says of the network, and the level that its look was left.
    """

    id: str
    started: str
    seconds: float
    outcome: Outcome
    reason: str
    received: Mapping[str, int] = field(default_factory=dict)
    labelled: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)
    new: int = 0
    parent: str = ""
    commit: str = ""
    data: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)
    verdict: str = ""
    level: float | None = None

    @property
    def began(self) -> datetime:
        """When it started."""
        return datetime.fromisoformat(self.started)

    @property
    def told(self) -> str:
        """What it did, in one line."""
        versions = ", ".join(f"{model}/{number}" for model, number in self.versions.items())
        return ": ".join(part for part in (self.outcome, versions, self.reason) if part)


class Journal:
    """The journal of the project in ``root``; its writer holds the schedule's lock."""

    def __init__(self, root: Path) -> None:
        self.path = Home(root).journal

    def passes(self) -> list[Pass]:
        """All passes, in order; a last line that was never finished is none.

        Raises `UserError`, naming the line, where one is no record.
        """
        return [self._parsed(number, line) for number, line in enumerate(self._lines(), start=1)]

    def append(self, done: Pass) -> None:
        """Write a pass down; when this returns it is on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = sum(len(line) + 1 for line in self._lines())
        with self.path.open("ab") as stream:
            stream.truncate(whole)
            stream.write(json.dumps(asdict(done), allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _lines(self) -> list[bytes]:
        content = self.path.read_bytes() if self.path.exists() else b""
        return content.split(b"\n")[:-1]

    def _parsed(self, number: int, line: bytes) -> Pass:
        try:
            return Pass(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{self.path}: line {number} is no record of a pass: restore it, or move the file away"
            ) from error
