"""What every stage does the same way: parameters in, a run record out, a user's error in one line."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import getitem
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from ruamel.yaml import YAML

from astroreel.errors import UserError
from astroreel.files import file_digest, folder_digest
from astroreel.parameters import Parameters, read_parameters
from astroreel.provenance import data_digests, provenance
from astroreel.training.reporter import NullReporter, Reporter, SpoolReporter

if TYPE_CHECKING:  # drawing loads matplotlib, which few stages need
    from astroreel.evaluation.drawing import Drawing

ROOT = Path(__file__).resolve().parent.parent
DATA, MODELS, RUNS, REPORTS = ROOT / "data", ROOT / "models", ROOT / "runs", ROOT / "reports"
CHECKPOINTS = ROOT / ".checkpoints"

console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


@dataclass(frozen=True)
class Stage:
    """A running stage.

    Attributes
    ----------
    name
        Its name in dvc.yaml.
    key
        A digest of the stage's own parameters, code and data; what an interrupted run left behind is
        taken up again under the same key only.
    parameters
        All of params.yaml.
    reporter
        Where its run is recorded.
    """

    name: str
    key: str
    parameters: Parameters
    reporter: Reporter

    def say(self, message: str) -> None:
        """Tell the user something, in one line."""
        console.print(f"{self.name}: {message}", markup=False)

    def figure(self, drawing: Drawing) -> None:
        """Keep a drawing with the run's record."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{drawing.name}.svg"
            path.write_text(drawing.svg, encoding="utf-8")
            self.reporter.artifact(path)

    @contextmanager
    def progress(self, what: str, sequences: int = 0) -> Iterator[Callable[[int, int], None]]:
        """A progress bar on a terminal; a line at each tenth elsewhere. Yields ``update(done, total)``.

        With the number of ``sequences`` of a step it tells how many are done in a second.
        """
        pace = TextColumn("{task.fields[pace]}")
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), pace, TimeRemainingColumn())
        said = 0
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(what, total=None, pace="")

            def update(done: int, total: int) -> None:
                nonlocal said
                bar.update(task, completed=done, total=total)
                speed, left = bar.tasks[0].speed, bar.tasks[0].time_remaining
                pace = f"{sequences * speed:,.0f} sequences/s" if sequences and speed else ""
                bar.update(task, pace=pace)
                if not console.is_terminal and 10 * done // total > said:
                    said = 10 * done // total
                    more = f", {pace}, {timedelta(seconds=round(left or 0))} left" if pace else ""
                    console.print(f"{self.name}: {what}: {done} of {total}{more}")

            yield update


@contextmanager
def stage(name: str, recorded: bool = True) -> Iterator[Stage]:
    """Run a stage: its record is in ``runs/NAME``; a user's error ends it in one line with status 2.

    The stages that publish or show the records of the others leave none themselves.
    """
    try:
        parameters = read_parameters(ROOT)
        if not recorded:
            yield Stage(name, "", parameters, NullReporter())
            return
        with SpoolReporter(RUNS / name, name) as reporter:
            definition = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][name]
            reporter.tags(provenance(ROOT, inputs=definition["deps"]))
            reporter.tags({"stage": name, "scale": parameters.scale, "target": parameters.source.target})
            yield Stage(name, _key(name, definition, parameters), parameters, reporter)
    except UserError as error:
        _fail(f"{name}: {error}")
    except OSError as error:  # a full disk, a file that may not be read
        _fail(f"{name}: {error.filename or 'system'}: {error.strerror or error}")


def _fail(message: str) -> NoReturn:
    console.print(" ".join(message.split()), markup=False)
    sys.exit(2)


def _key(name: str, definition: dict[str, Any], parameters: Parameters) -> str:
    content = parameters.model_dump(mode="json")
    values = [reduce(getitem, key.split("."), content) for key in definition["params"]]
    code = [path for path in definition["deps"] if path.startswith(("pipelines/", "src/"))]
    files = [
        folder_digest(ROOT / path, "*.py") if (ROOT / path).is_dir() else file_digest(ROOT / path)
        for path in code
    ]
    read = {"params": values, "code": files, "data": data_digests(ROOT, definition["deps"])}
    return f"{name}-{hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:16]}"
