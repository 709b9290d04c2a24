"""The units of a study: each a stored result, computed once and taken up again after an interruption."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from astroreel.files import replacing_file, write_json
from astroreel.parallel import ordered_map, worker_count

if TYPE_CHECKING:  # it makes the units
    from astroreel.study.bench import Bench

#: What a unit leaves: values that JSON can hold, or arrays by name.
Result = Mapping[str, Any]

#: Told how many units are done, of how many, and the seconds that the others will take.
Tell = Callable[[int, int, float], None]

_RECORD = "unit"  # name, in a unit's file, of the record of how it was made
_RESULT = "result"


@dataclass(frozen=True)
class Unit:
    """A unit of work that a process of its own can do.

    Attributes
    ----------
    name
        Its own in its section, and the stem of its file.
    key
        What it depends on beside the pipeline's results, as JSON can hold it.
    compute
        Makes the result; picklable, such as ``functools.partial`` of a function of a module.
    guess
        Seconds that it takes, as long as none of its kind was measured.
    """

    name: str
    key: object
    compute: Callable[[Bench], Result]
    guess: float = 60.0


def kind_of(name: str) -> str:
    """What a unit shares with those whose names differ from its own in numbers alone: the time it takes."""
    return re.sub(r"\d+", "#", name)


def no_tell(done: int, total: int, seconds: float) -> None:
    """Tell nobody."""


@dataclass
class Units:
    """The units of one section, stored below ``folder``.

    Attributes
    ----------
    folder
        Where each unit has its file, ``NAME.json`` or ``NAME.npz``.
    inputs
        Digest of what all of them depend on: with another, none of them is done.
    plan
        The units that the section says it will do, for the time that is left.
    tell
        Is told after every unit of the plan.
    """

    folder: Path
    inputs: str
    plan: Sequence[Unit] = ()
    tell: Tell = no_tell
    _done: set[str] = field(default_factory=set, repr=False)

    def do(self, name: str, key: object, compute: Callable[[], Result]) -> Result:
        """The result of the unit ``name``, computed in this process unless it is stored."""
        digest = unit_digest(self.inputs, name, key)
        if not self._is_done(name, digest):
            store(self.folder, name, digest, compute)
            self._tell(processes=1)
        return self._load(name)

    def do_all(self, units: Sequence[Unit], bench: Bench) -> dict[str, Result]:
        """The results of many units by their names; what is not stored is computed, in several processes.

        Raises `UserError` where a process dies.
        """
        left = self.left(units)
        processes = min(worker_count(bench.config.workers), len(left))
        work = Work(self.folder, self.inputs, bench)
        if processes > 1:
            with closing(ordered_map(work, left, processes)) as results:
                for _ in results:
                    self._tell(processes)
        else:
            for unit in left:
                work(unit)
                self._tell(processes)
        return {unit.name: self._load(unit.name) for unit in units}

    def left(self, units: Sequence[Unit]) -> list[Unit]:
        """Those that are still to be done."""
        return [u for u in units if not self._is_done(u.name, unit_digest(self.inputs, u.name, u.key))]

    def is_measured(self, units: Sequence[Unit]) -> bool:
        """Whether units of every kind among these were done before, so that what they take is known."""
        return {kind_of(unit.name) for unit in units} <= set(self._seconds_by_kind())

    def seconds(self, units: Sequence[Unit]) -> float:
        """What these units take, one after the other: as others of their kinds did, or else as guessed."""
        known = self._seconds_by_kind()
        return sum(known.get(kind_of(unit.name), unit.guess) for unit in units)

    def _tell(self, processes: int) -> None:
        left = self.left(self.plan)
        self.tell(len(self.plan) - len(left), len(self.plan), self.seconds(left) / processes)

    def _is_done(self, name: str, digest: str) -> bool:
        if digest not in self._done:
            record = self._record(name)
            if record is None or record["digest"] != digest:
                return False
            self._done.add(digest)
        return True

    def _record(self, name: str) -> dict[str, Any] | None:
        """How a stored result was made; None where there is none."""
        as_json, as_arrays = _files(self.folder, name)
        try:
            if as_json.exists():
                return dict(json.loads(as_json.read_text(encoding="utf-8"))[_RECORD])
            with np.load(as_arrays, allow_pickle=False) as arrays:
                return dict(json.loads(str(arrays[_RECORD])))
        except (OSError, ValueError, KeyError):  # nothing there, or nothing of use
            return None

    def _load(self, name: str) -> Result:
        as_json, as_arrays = _files(self.folder, name)
        if as_json.exists():
            return dict(json.loads(as_json.read_text(encoding="utf-8"))[_RESULT])
        with np.load(as_arrays, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files if key != _RECORD}

    def _seconds_by_kind(self) -> dict[str, float]:
        """Median of the seconds that the stored units of each kind took."""
        seconds: dict[str, list[float]] = {}
        for path in self.folder.glob("[!.]*"):
            if path.suffix in (".json", ".npz") and (record := self._record(path.stem)):
                seconds.setdefault(kind_of(path.stem), []).append(record["seconds"])
        return {kind: median(values) for kind, values in seconds.items()}


@dataclass(frozen=True)
class Work:
    """What a process does with a unit: compute and store it."""

    folder: Path
    inputs: str
    bench: Bench

    def __call__(self, unit: Unit) -> None:
        digest = unit_digest(self.inputs, unit.name, unit.key)
        store(self.folder, unit.name, digest, lambda: unit.compute(self.bench))


def unit_digest(inputs: str, name: str, key: object) -> str:
    """Hexadecimal sha256 of all that decides a unit's result."""
    return hashlib.sha256(json.dumps([inputs, name, key], sort_keys=True).encode()).hexdigest()


def store(folder: Path, name: str, digest: str, compute: Callable[[], Result]) -> None:
    """Compute a result and write its file, whole or not at all."""
    began = time.perf_counter()
    result = compute()
    record = {"digest": digest, "seconds": round(time.perf_counter() - began, 3)}
    as_json, as_arrays = _files(folder, name)
    if not any(isinstance(value, np.ndarray) for value in result.values()):
        as_arrays.unlink(missing_ok=True)
        write_json(as_json, {_RECORD: record, _RESULT: dict(result)})
        return
    as_json.unlink(missing_ok=True)
    arrays: dict[str, Any] = {**result, _RECORD: np.array(json.dumps(record))}
    with replacing_file(as_arrays) as scratch, scratch.open("wb") as stream:
        np.savez(stream, **arrays)


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.json", folder / f"{name}.npz"
