"""A look at the unlabelled stream, no oftener than it or the champion changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from astroreel.files import read_json, write_json
from astroreel.parameters import Parameters
from astroreel.schedule.champion import Champion
from astroreel.schedule.home import Home


def drifted(root: Path, parameters: Parameters) -> str:
    """How the unlabelled stream has drifted from what the champion learned from, in one line; "": not.

    Raises `UserError` where the champion or the registry cannot be read.
    """
    champion, level = Champion(root, parameters), parameters.schedule.drift
    stream = sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in (root / "arrivals" / "unlabelled").glob("[!.]*")
    )
    if champion.bundle is None or not level or not stream:
        return ""
    key = hashlib.sha256(json.dumps([champion.digest, level, stream]).encode()).hexdigest()
    memory = Home(root).watched
    if not memory.exists() or read_json(memory)["key"] != key:
        from astroreel.schedule.drift import drift  # loads torch

        learned = [one.name for one in champion.learned]
        found = drift(root, parameters, champion.bundle, learned, level)
        write_json(memory, {"key": key, "reason": found.reason if found and found.drifted else ""})
    return str(read_json(memory)["reason"])
