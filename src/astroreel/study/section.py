"""A section of the study: one question, the units that answer it, and the table that is made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from astroreel.study.bench import Bench
from astroreel.study.units import Unit


def no_plan(bench: Bench) -> list[Unit]:
    """For a section that does all its work in less time than it takes to tell."""
    return []


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes
    ----------
    name
        Its key in reports/study.json.
    describe
        What it measures, in a few words.
    run
        Measures, and returns a tree whose leaves are `Estimate.to_json`'s.
    plan
        The units that `run` will do, so that their cost can be told beforehand.
    """

    name: str
    describe: str
    run: Callable[[Bench], dict[str, Any]]
    plan: Callable[[Bench], list[Unit]] = no_plan
