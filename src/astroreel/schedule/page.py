"""The page of a pass: what it learned from, what became of it, and the gate's own page beside it."""

from __future__ import annotations

from pathlib import Path

from astroreel.evaluation.page import render_page
from astroreel.schedule.journal import Pass
from astroreel.schedule.task import Task
from astroreel.schedule.work import Result

PAGE = "pass.html"


def write_page(folder: Path, record: Pass, task: Task, result: Result) -> Path:
    """Write the page, and the verdict that it links to, into the folder of a pass."""
    result.verdict.write(folder)
    render_page(folder / PAGE, PAGE, Path(__file__).parent, record=record, task=task, result=result)
    return folder / PAGE
