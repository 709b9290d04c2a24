"""The figures in the README are those of the committed metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
METRICS = json.loads((ROOT / "reports" / "metrics.json").read_text(encoding="utf-8"))

#: Row of the README's table: domain, stage and leaf of metrics.json.
ROWS = {
    "accuracy, simulated": ("simulated", "zero_shot", "accuracy_22"),
    "mean recall, real, from simulations alone": ("real", "zero_shot", "mean_recall_22"),
    "mean recall, real, with ten labels a class": ("real", "fine_tuned", "mean_recall_22"),
}
BASELINES = {
    "forest on the few labels alone": "few_real_forest",
    "brightness and scatter": "two_numbers",
    "brightness alone": "magnitude",
    "times of the images alone": "cadence",
    "texture of the stamps' rim alone": "border",
    "number of epochs alone": "epoch_count",
}


def _cells(row: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    line = re.search(rf"^\| {re.escape(row)} \|(.*)\|$", text, re.MULTILINE)
    assert line is not None, f"the README has no row {row!r}"
    return [cell.strip() for cell in line[1].split("|")]


def _shown(leaf: dict[str, float]) -> str:
    value, low, high = (f"{100 * leaf[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


@pytest.mark.parametrize("row", ROWS)
def test_the_table_shows_the_committed_metrics(row: str) -> None:
    domain, stage, name = ROWS[row]
    leaves = [METRICS[domain][model][stage][name] for model in ("rcnn", "forest")]
    assert _cells(row) == [_shown(leaf) for leaf in leaves]


@pytest.mark.parametrize("row", BASELINES)
def test_the_baselines_stand_beside_it(row: str) -> None:
    leaf = METRICS["real"][BASELINES[row]]["fine_tuned"]["mean_recall_22"]
    assert _cells(row) == [_shown(leaf)]
