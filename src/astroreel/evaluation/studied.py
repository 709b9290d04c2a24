"""The study as the report shows it: every number, and pictures where they say more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from astroreel.evaluation.drawing import Drawing
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.study_drawings import DRAWN, Tree, draw, leaf_of


@dataclass(frozen=True)
class Studied:
    """One section of the study.

    Attributes
    ----------
    name, about
        Its name, and what it measures.
    made_by
        The command that made it.
    drawings
        Its pictures.
    rows
        All its numbers by their place in it.
    """

    name: str
    about: str
    made_by: str
    drawings: Sequence[Drawing]
    rows: Sequence[tuple[str, Estimate]]


def studied(study: Tree) -> list[Studied]:
    """The sections of a study.json: what a sceptic asks first is first, what has no picture last."""
    names = sorted(study, key=lambda name: DRAWN.index(name) if name in DRAWN else len(DRAWN))
    trees = [(name, study[name]) for name in names]
    return [
        Studied(name, tree["describe"], tree["made_by"], draw(name, tree), list(numbers(tree)))
        for name, tree in trees
    ]


def numbers(tree: Tree, place: str = "") -> Iterator[tuple[str, Estimate]]:
    """The estimates of a tree, each with its place."""
    for name, node in tree.items():
        here = f"{place} / {name}" if place else name
        if (estimate := leaf_of(node)) is not None:
            yield here, estimate
        elif isinstance(node, dict):
            yield from numbers(node, here)
