"""Run records published while they grow, so that MLflow shows the learning curves of what is training now."""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path

from astroreel.parameters import Parameters
from astroreel.tracking.runs import publish_run
from astroreel.tracking.store import ADDRESS, connect, experiment_id, mlflow_errors, publishing
from astroreel.training.reporter import RUNNING, find_spools, read_spool


def place(folder: Path) -> str:
    """What the folder of a record is called among those of all machines."""
    return hashlib.sha256(f"{platform.node()}:{folder.resolve()}".encode()).hexdigest()[:16]


class Follower:
    """Publishes what has come to the run records of a project; one that was never closed shows as running.

    Parameters
    ----------
    root
        The project's folder.
    parameters
        Of that project.
    """

    def __init__(self, root: Path, parameters: Parameters) -> None:
        self._runs, self._registry = root / "runs", parameters.registry
        self._seen: dict[Path, int] = {}

    def publish(self) -> list[str]:
        """Publish what is new since the last call; returns a line for each record that there was news of.

        Raises `UserError` where the store cannot be reached, or a record is damaged.
        """
        stamps = {folder: _newest(folder) for folder in find_spools(self._runs)}
        news = [folder for folder, stamp in stamps.items() if self._seen.get(folder) != stamp]
        if not news:
            return []
        client = connect(os.environ.get(ADDRESS) or self._registry.tracking_uri)
        said = []
        with publishing(client.tracking_uri), mlflow_errors(client.tracking_uri):
            home = experiment_id(client, self._registry.experiment)
            for folder in news:
                record = read_spool(folder, unclosed=RUNNING)
                if publish_run(client, home, record, place(folder)).new:
                    said.append(f"{folder.name}: {record.status.lower()}")
                self._seen[folder] = stamps[folder]
        return said


def _newest(folder: Path) -> int:
    """The last time at which anything below a folder was written [ns]."""
    newest = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # replaced meanwhile
            newest = max(newest, path.stat().st_mtime_ns)
    return newest
