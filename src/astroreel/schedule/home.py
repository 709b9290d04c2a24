"""Where the schedule keeps what it knows: one folder of the project, none of it in git."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folder ``schedule`` of the project in ``root``."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "schedule"

    @property
    def lock(self) -> Path:
        """Held by the process that works."""
        return self.folder / "lock"

    @property
    def journal(self) -> Path:
        """A line a finished pass."""
        return self.folder / "journal.jsonl"

    @property
    def labels(self) -> Path:
        """What is known of each labelled file, so that it is read once."""
        return self.folder / "labels.json"

    @property
    def under_way(self) -> Path:
        """The pass that has begun and not ended."""
        return self.folder / "under_way.json"

    @property
    def watched(self) -> Path:
        """What the last look at the unlabelled stream gave."""
        return self.folder / "drift.json"

    @property
    def worktree(self) -> Path:
        """The schedule's own working tree of the repository."""
        return self.folder / "worktree"

    def of(self, identity: str) -> Path:
        """The folder of one pass."""
        return self.folder / "passes" / identity

    def models(self, identity: str) -> Path:
        """The bundles of one pass, until it ends: then the registry has them."""
        return self.of(identity) / "models"
