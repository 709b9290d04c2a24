"""A simulated set on disk, made in parts by several processes; a run that was cut short is gone on with.

Every part is whole or absent, and a function of the recipe and of its number alone: what is there is kept,
what is missing is made, and the end is the same whatever happened in between. Two forms: ``store``, whose
parts are shards of :data:`SHARD` objects each (`astroreel.sequences.store`), and ``fits``, one file an
object, whose parts are blocks of files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.filesize import decimal
from threadpoolctl import threadpool_limits

from astroreel.errors import UserError
from astroreel.files import check_new_folder, file_digest, read_json, write_json
from astroreel.parallel import ordered_map, worker_count
from astroreel.sequences.file import write_sequence
from astroreel.sequences.recipe import Recipe
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, STAMP_SIZE, TRUTH_DTYPE, SequenceSet
from astroreel.sequences.simulate import BLOCK, object_name
from astroreel.sequences.store import FILES, MANIFEST, SHARD_PREFIX, save_store

Form = Literal["store", "fits"]

#: Objects of a shard, some 20 MB: a whole number of blocks.
SHARD = 4 * BLOCK

#: What a killed run may leave half written.
_SCRATCH = (f".{SHARD_PREFIX}*", ".sim-*", f".{MANIFEST}.*")

_PIXELS = STAMP_SIZE**2
#: The headers of an object's FITS file and its padding [byte].
_FITS_FRAME = 5 * 2880


def simulate_to(
    folder: Path,
    recipe: Recipe,
    n: int,
    form: Form = "store",
    say: Callable[[str], None] = lambda message: None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Simulate the first n objects of a recipe into ``folder``, or go on with what is there of them.

    Parameters
    ----------
    folder
        New, empty, or with the beginning of the same set. For a Ray cluster of several machines it must be
        one that they all share.
    recipe
        What to simulate; its ``config.workers`` and ``config.address`` tell where, and decide no byte.
    n
        Number of objects.
    form
        ``store`` or ``fits``.
    say
        Told the disk use before anything is written.
    progress
        Called with the number of objects done and ``n``.

    Raises
    ------
    UserError
        Where the folder holds something else or a finished set, the disk is too small, or a worker dies.
    """
    if n < 1:
        raise UserError(f"number of objects to simulate must be at least 1, not {n}")
    maker = _Maker(folder.absolute(), recipe, form)
    manifest = _plain({**recipe.manifest(), "form": form, "objects": n})
    _check_beginning(folder, manifest)
    _check_room(folder, n * maker.largest, say)
    write_json(folder / MANIFEST, manifest)

    files: dict[str, str] = {}
    config = recipe.config
    size = SHARD if form == "store" else BLOCK
    parts = [_Part(start, min(start + size, n)) for start in range(0, n, size)]
    missing = [part for part in parts if not maker.is_whole(part)]
    alone = config.address is None and min(worker_count(config.workers), len(missing)) < 2
    spread = map(maker, parts) if alone else ordered_map(maker, parts, config.workers, config.address)
    with threadpool_limits(1):  # as workers have: sums over several threads may round otherwise
        for part, digests in zip(parts, spread, strict=True):
            files |= digests
            if progress is not None:
                progress(part.stop, n)
    write_json(folder / MANIFEST, manifest | {FILES: files})


def is_finished(folder: Path) -> bool:
    """Whether ``folder`` holds all that `simulate_to` was to write there."""
    return (folder / MANIFEST).exists() and FILES in read_json(folder / MANIFEST)


class _Part(NamedTuple):
    """A range of objects that is written as a whole."""

    start: int
    stop: int


@dataclass(frozen=True)
class _Maker:
    """Makes the parts of a set, in whatever process."""

    folder: Path
    recipe: Recipe
    form: Form

    def __call__(self, part: _Part) -> dict[str, str]:
        """Make the part unless it is there; the sha256 of its files, by path."""
        if not self.is_whole(part):
            self._make(part)
        return {path.relative_to(self.folder).as_posix(): file_digest(path) for path in self._files(part)}

    def is_whole(self, part: _Part) -> bool:
        """Whether nothing of the part is missing."""
        if self.form == "store":
            return self.shard(part).exists()
        return all(path.exists() for path in self._files(part))

    def shard(self, part: _Part) -> Path:
        """The folder of a part that is a store."""
        return self.folder / f"{SHARD_PREFIX}{part.start // SHARD:05d}"

    @property
    def largest(self) -> int:
        """The room on disk that no object exceeds [byte]."""
        if self.form == "store":
            frame, header = 2 * _PIXELS + EPOCH_DTYPE.itemsize, OBJECT_DTYPE.itemsize + TRUTH_DTYPE.itemsize
        else:
            frame, header = 4 * _PIXELS + EPOCH_DTYPE.itemsize, _FITS_FRAME
        return header + self.recipe.longest * frame

    def _make(self, part: _Part) -> None:
        blocks = (
            self.recipe.block(start // BLOCK, min(BLOCK, part.stop - start))
            for start in range(part.start, part.stop, BLOCK)
        )
        made = SequenceSet.concatenate(blocks)
        if self.form == "store":
            save_store(self.shard(part), made)
            return
        for path, sequence in zip(self._files(part), made, strict=True):
            write_sequence(path, sequence)

    def _files(self, part: _Part) -> list[Path]:
        if self.form == "store":
            return sorted(self.shard(part).iterdir())
        survey, split = self.recipe.survey.name, self.recipe.split
        names = (object_name(survey, split, number) for number in range(part.start, part.stop))
        return [self.folder / f"{name}.fits" for name in names]


def _check_beginning(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but the beginning of this very set, and clear what a kill left."""
    for leftover in (path for pattern in _SCRATCH for path in folder.glob(pattern)):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    if is_finished(folder) or not (folder / MANIFEST).exists():
        return check_new_folder(folder)
    begun = read_json(folder / MANIFEST)
    differing = [key for key in manifest if begun.get(key) != manifest[key]]
    if differing:
        raise UserError(
            f"{folder}: holds the beginning of another simulation, which differs in {', '.join(differing)}: "
            "name a new folder, or remove it first"
        )


def _check_room(folder: Path, whole: int, say: Callable[[str], None]) -> None:
    """Tell what is still to be written of ``whole`` bytes; refuse where the disk has no room for it."""
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed = max(whole - there, 0)
    above = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(above).free
    if needed > free:
        raise UserError(
            f"{folder}: up to {decimal(needed)} needed, {decimal(free)} free on the disk: make room, "
            "or simulate fewer objects"
        )
    say(f"{folder}: up to {decimal(needed)} to write, {decimal(free)} free on the disk")


def _plain(manifest: dict[str, Any]) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(manifest))
