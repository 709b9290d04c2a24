"""A repository of its own with the files of this one, and the commands that run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: What a copy leaves out: another copy's registry, whose files lie at absolute addresses.
_REGISTRY = ("mlflow.db*", "mlartifacts", "deployed", ".secrets")


def environment(folder: Path) -> dict[str, str]:
    """What a command needs to run this project's code in ``folder``."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
        "DVC_NO_ANALYTICS": "1",
    }


def run(
    folder: Path, *command: str, status: int = 0, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``, with ``more`` environment, and check its exit status."""
    around = environment(folder) | dict(more or {})
    done = subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def make_checkout(folder: Path) -> None:
    """A git repository in ``folder`` with the files of this one, committed, and nothing that a run left."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for lock in ("dvc.lock", "reports/metrics.json"):
        (folder / lock).unlink(missing_ok=True)
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", "--all")
    run(folder, "git", *identity, "commit", "--quiet", "--message", "checkout")


def copy_checkout(source: Path, folder: Path) -> Path:
    """A copy of all that a run left but its registry: that is published where it is wanted."""
    return shutil.copytree(source, folder, symlinks=True, ignore=shutil.ignore_patterns(*_REGISTRY))
