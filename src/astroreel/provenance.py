"""Where a result comes from: the code's commit, the data's digests, the parameters' digest."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from astroreel.errors import UserError

UNKNOWN = "unknown"

#: What a run of the pipeline itself writes inside the checkout: changes there leave the code as it was.
PIPELINE_WRITES: tuple[str, ...] = ("params.yaml", "dvc.lock", "reports")

_GIT_SECONDS = 30.0


def provenance(
    root: Path, inputs: Sequence[str] | None = None, ignore: Sequence[str] = PIPELINE_WRITES
) -> dict[str, str]:
    """The tags that say what code, data and parameters a run in the project ``root`` uses.

    Parameters
    ----------
    root
        The project's folder, that of ``dvc.lock`` and ``params.yaml``.
    inputs
        Keep the digests of the data at, above or below these paths, as written in ``dvc.lock`` (None: of
        all). A stage names what it reads, because ``dvc.lock`` still holds the last run's digests of
        whatever comes after it.
    ignore
        Files and folders whose changes do not make the commit dirty.

    Returns
    -------
    dict
        ``git.commit`` (40 hex digits), ``git.dirty`` ("true", "false"), ``params.digest`` (sha256), each
        "unknown" where there is no repository or file; and ``data.PATH`` (DVC's md5) for each out.

    Raises
    ------
    UserError
        Where ``dvc.lock`` is not YAML.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    excluded = [f":(exclude){path}" for path in ignore]
    changes = _git(root, "status", "--porcelain", "--untracked-files=all", "--", ".", *excluded)
    return {
        "git.commit": commit or UNKNOWN,
        "git.dirty": UNKNOWN if commit is None or changes is None else str(bool(changes)).lower(),
        "params.digest": _digest(root / "params.yaml"),
    } | {f"data.{path}": md5 for path, md5 in data_digests(root, inputs).items()}


def data_digests(root: Path, inputs: Sequence[str] | None = None) -> dict[str, str]:
    """DVC's md5 of each out in ``dvc.lock``, by path; empty where there is no ``dvc.lock``."""
    lock = root / "dvc.lock"
    if not lock.exists():
        return {}
    try:
        document = YAML(typ="safe").load(lock)
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{lock}: not valid YAML ({reason}): take it back from git") from None
    outs = sorted((str(out["path"]), str(out["md5"])) for out in _outs(document) if "md5" in out)
    return {path: md5 for path, md5 in outs if inputs is None or any(_related(path, one) for one in inputs)}


def _outs(document: Any) -> Iterator[dict[str, Any]]:
    for stage in ((document or {}).get("stages") or {}).values():
        yield from stage.get("outs") or []


def _related(path: str, other: str) -> bool:
    a, b = PurePosixPath(path), PurePosixPath(other)
    return a.is_relative_to(b) or b.is_relative_to(a)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else UNKNOWN


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, or None where it fails: no git, no repository, no commit yet."""
    # Without optional locks a look at the status never collides with a git command of the user.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
