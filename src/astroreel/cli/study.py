"""``astroreel study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from astroreel.cli.console import output, say


def study(
    section: Annotated[list[str] | None, typer.Option(help="Only this section; may be repeated.")] = None,
    budget: Annotated[Literal["quick", "full"], typer.Option(help="quick: minutes; full: hours.")] = "quick",
) -> None:
    """Measure what takes longer than a run of the pipeline: reports/study.json.

    Runs in a checkout whose pipeline has run, and says first what it will cost. Interrupted, the same command
    goes on.
    """
    from astroreel.study.runner import duration, run_study
    from astroreel.study.sections import SECTIONS

    said: dict[str, int] = {}

    def tell(name: str, done: int, total: int, seconds: float) -> None:
        """A line at each twentieth."""
        if (step := 20 * done // max(total, 1)) > said.get(name, 0):
            said[name] = step
            say(f"{name}: {done} of {total} units, about {duration(seconds)} left")

    report = run_study(Path.cwd(), SECTIONS, section or [], budget, say, tell)
    output.print(str(report.relative_to(Path.cwd())), markup=False)
