"""Measured numbers as the tree that a section of the study leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astroreel.evaluation.estimate import Estimate


def tree_of(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """The leaves of contract 3 below slash-joined names."""
    tree: dict[str, Any] = {}
    for name, estimate in estimates.items():
        *path, last = name.split("/")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = estimate.to_json()
    return tree
