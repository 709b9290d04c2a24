"""Run records: what a training run says of itself while it runs, and the plain files that hold it.

Training code tells a :class:`Reporter` what happens and knows nothing of any server. A
:class:`SpoolReporter` writes plain files, which are published later and as often as one likes, so that
a run depends on no server and a lost one is made again. One folder is one run::

    run.json         name, key, parameters, tags, start and end [ms since 1970], status
    metrics.jsonl    one line per call of `metrics`: step, time [ms], values
    artifacts/       copies of files
    children/NAME/   nested runs, in the same form
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from astroreel.errors import UserError
from astroreel.files import read_json, replacing_file, replacing_folder, write_json

FINISHED, FAILED, KILLED, RUNNING = "FINISHED", "FAILED", "KILLED", "RUNNING"

_RUN, _METRICS, _ARTIFACTS, _CHILDREN = "run.json", "metrics.jsonl", "artifacts", "children"


class Reporter(Protocol):
    """What training code may say of a run."""

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters; a nested mapping becomes dotted names."""

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record figures of one step (None: of the run as a whole); NaN and infinity are kept."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags."""

    def artifact(self, path: Path) -> None:
        """Keep a copy of a file under its name."""

    def child(self, name: str) -> Reporter:
        """Start a nested run; the name is unique within this run."""

    def close(self, status: str = FINISHED) -> None:
        """End the run, and the nested runs still open, as FINISHED, FAILED or KILLED."""


class NullReporter:
    """A reporter that records nothing."""

    def params(self, values: Mapping[str, object]) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def tags(self, values: Mapping[str, str]) -> None: ...

    def artifact(self, path: Path) -> None: ...

    def child(self, name: str) -> Reporter:
        return self

    def close(self, status: str = FINISHED) -> None: ...


class SpoolReporter:
    """A reporter that writes a run to a folder, each call at once, so that a killed run is readable.

    As a context manager it closes itself: FINISHED, KILLED when interrupted, FAILED at another exception.

    Parameters
    ----------
    folder
        The run's folder. One that holds a run already is replaced, or continued with ``resume``.
    name
        The run's name, for people.
    resume
        Continue the run in ``folder`` if there is one: its key and start stay, and figures told again
        for a step replace the earlier ones.

    Raises
    ------
    UserError
        Where the folder cannot be written, or holds something that is no run.
    """

    def __init__(self, folder: Path, name: str, resume: bool = False) -> None:
        self._folder = folder
        self._resume = resume
        self._open_children: list[Reporter] = []
        if resume and (folder / _RUN).exists():
            self._run = read_json(folder / _RUN)
            _cut_torn_line(folder / _METRICS)
        else:
            _make_empty(folder)
            self._run = {"key": uuid.uuid4().hex, "start_ms": _now_ms(), "params": {}, "tags": {}}
        self._update(name=name, status=RUNNING, end_ms=None)

    def params(self, values: Mapping[str, object]) -> None:
        self._update(params=self._run["params"] | dict(_flatten(values)))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        row = {
            "step": None if step is None else int(step),
            "time_ms": _now_ms(),
            "values": {k: _encode(v) for k, v in values.items()},
        }
        with (self._folder / _METRICS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, allow_nan=False) + "\n")

    def tags(self, values: Mapping[str, str]) -> None:
        self._update(tags=self._run["tags"] | {name: str(value) for name, value in values.items()})

    def artifact(self, path: Path) -> None:
        with replacing_file(self._folder / _ARTIFACTS / path.name) as scratch:
            shutil.copyfile(path, scratch)

    def child(self, name: str) -> Reporter:
        if not name or name.startswith(".") or "/" in name:
            raise ValueError(f"{name!r} cannot name a nested run: give it a plain file name")
        child = SpoolReporter(self._folder / _CHILDREN / name, name, self._resume)
        self._open_children.append(child)
        return child

    def close(self, status: str = FINISHED) -> None:
        if self._run["status"] != RUNNING:
            return
        for child in self._open_children:
            child.close(status)
        self._update(status=status, end_ms=_now_ms())

    def __enter__(self) -> SpoolReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.close(FINISHED if kind is None else KILLED if interrupted else FAILED)

    def _update(self, **fields: Any) -> None:
        self._run |= fields
        write_json(self._folder / _RUN, self._run)


class Figure(NamedTuple):
    """One value of one metric; ``time_ms`` in ms since 1970."""

    name: str
    value: float
    step: int
    time_ms: int


@dataclass(frozen=True)
class RunRecord:
    """One run, as a spool folder holds it.

    Attributes
    ----------
    name, key
        The name is for people; the key is unique to the run and stays when the run is continued.
    params, tags
        Parameters (nested ones with dotted names) and tags.
    start_ms, end_ms
        Times in ms since 1970.
    status
        FINISHED, FAILED or KILLED; RUNNING where it was read as one that goes on.
    figures
        The metrics: one value for each name and step, in the order told.
    artifacts
        The files kept, sorted by name.
    children
        Nested runs, in the order in which they started.
    """

    name: str
    key: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    start_ms: int
    end_ms: int
    status: str
    figures: tuple[Figure, ...]
    artifacts: tuple[Path, ...]
    children: tuple[RunRecord, ...]


def read_spool(folder: Path, unclosed: str = KILLED) -> RunRecord:
    """Read a run and its nested runs.

    A run that was never closed reads as ``unclosed``, ended at its last word; a last line cut short by a
    kill is left out. Of two values of one metric at one step the later counts (a run continued from a
    checkpoint tells some steps twice); a metric told without a step is at step 0.

    Raises `UserError` where the folder holds no run, or a damaged one.
    """
    run = read_json(folder / _RUN)
    figures = tuple(_read_figures(folder / _METRICS))
    last_word = max((figure.time_ms for figure in figures), default=0)
    try:
        closed = run["status"] != RUNNING
        return RunRecord(
            name=run["name"],
            key=run["key"],
            params=run["params"],
            tags=run["tags"],
            start_ms=run["start_ms"],
            end_ms=run["end_ms"] if closed else max(last_word, run["start_ms"]),
            status=run["status"] if closed else unclosed,
            figures=figures,
            artifacts=tuple(sorted(p for p in (folder / _ARTIFACTS).glob("*") if p.is_file())),
            children=_read_children(folder / _CHILDREN, unclosed),
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / _RUN}: not a run record ({error!r}): delete the folder") from error


def find_spools(folder: Path) -> list[Path]:
    """The run folders at or below ``folder``, sorted; nested runs belong to theirs and are not listed."""
    if (folder / _RUN).exists():
        return [folder]
    below = sorted(path for path in folder.glob("[!.]*") if path.is_dir())
    return [spool for path in below for spool in find_spools(path)]


def _read_children(folder: Path, unclosed: str) -> tuple[RunRecord, ...]:
    children = [read_spool(path.parent, unclosed) for path in folder.glob(f"[!.]*/{_RUN}")]
    return tuple(sorted(children, key=lambda child: (child.start_ms, child.name)))


def _read_figures(path: Path) -> list[Figure]:
    latest: dict[tuple[str, int], Figure] = {}
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            row = json.loads(line)
            step = row["step"] or 0
            for name, value in row["values"].items():
                latest[name, step] = Figure(name, float(value), step, row["time_ms"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: line {number} is no metrics row ({error!r}): delete it") from error
    return list(latest.values())


def _whole_lines(path: Path) -> list[str]:
    """The lines of a file that end as lines do; a kill can cut only the last one."""
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]


def _cut_torn_line(path: Path) -> None:
    if path.exists():
        content = path.read_bytes()
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _make_empty(folder: Path) -> None:
    """Put an empty folder in the place of a run, and of nothing else."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _RUN).exists():
        raise UserError(
            f"{folder}: holds files and no {_RUN}, so it is no run to replace: choose another folder"
        )
    with replacing_folder(folder):
        pass


def _flatten(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _encode(value: float) -> float | str:
    """JSON has no NaN and no infinity: they are written as the words that ``float`` reads."""
    number = float(value)
    return number if abs(number) < float("inf") else str(number)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
