"""Files that are whole or absent: write beside, then rename; and their digests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from astroreel.errors import UserError


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside ``path``; on success it takes the name of ``path``.

    Raises `UserError` where it cannot be written there.
    """
    scratch = _beside(path)
    try:
        yield scratch
        with _writing(path):
            os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty scratch folder beside ``path``; on success it replaces ``path`` whole.

    Raises `UserError` where it cannot be written there.
    """
    scratch = _beside(path)
    scratch.mkdir()
    try:
        yield scratch
        with _writing(path):
            if path.exists():
                shutil.rmtree(path)
            os.replace(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_new_folder(path: Path) -> None:
    """Raise `UserError` where a new folder cannot be made at ``path``, or something is there already.

    For what a user names: `replacing_folder` would remove it.
    """
    if path.is_dir() and not any(path.iterdir()):
        return
    if os.path.lexists(path):
        raise UserError(f"{path}: is there already: name a new folder, or remove it first")
    _check_above(path)


def check_file(path: Path) -> None:
    """Raise `UserError` where a file cannot be written at ``path``."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder: name a file")
    _check_above(path)


def _check_above(path: Path) -> None:
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UserError(f"{path}: cannot write here ({above} is no folder): choose another folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"{path}: cannot write here ({above} is read-only): choose another folder")


def _beside(path: Path) -> Path:
    _check_above(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        os.unlink(name)
    return Path(name)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot write here ({error.strerror}): choose another folder") from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` at once or not at all."""
    with replacing_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, so that equal content is equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises `UserError` naming the file where it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error


def file_digest(path: Path) -> str:
    """Hexadecimal sha256 of one file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_digests(path: Path) -> dict[str, str]:
    """Hexadecimal sha256 of each file below a folder, by its relative name."""
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {one.relative_to(path).as_posix(): file_digest(one) for one in files}


def folder_digest(path: Path, pattern: str = "**/*") -> str:
    """Hexadecimal sha256 over the relative names and contents of the files below a folder."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.glob(pattern) if p.is_file()):
        total.update(f"{file.relative_to(path).as_posix()}\0{file_digest(file)}\n".encode())
    return total.hexdigest()
