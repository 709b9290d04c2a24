"""Measured figures, kept in reports/benchmarks.json beside the machine that they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from astroreel.files import read_json, write_json

FILE = Path(__file__).resolve().parent.parent / "reports" / "benchmarks.json"


def record(section: str, figures: Mapping[str, float | str]) -> None:
    """Replace a section of the file by what was measured just now."""
    known = read_json(FILE) if FILE.exists() else {}
    known[section] = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "figures": {
            name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()
        },
    }
    write_json(FILE, dict(sorted(known.items())))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
