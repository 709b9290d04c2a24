"""The figures in docs/schedule.md are those of the committed rehearsal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from astroreel.files import read_json

ROOT = Path(__file__).resolve().parents[2]
REHEARSAL = read_json(ROOT / "reports" / "rehearsal.json")
LABELS = str(REHEARSAL["batches"][-1]["labelled"])
RECALL: dict[str, Any] = REHEARSAL["mean_recall"]

ROWS = {
    "no label yet": RECALL["scheduled_newest"]["0"],
    f"scheduled fine-tuning, all {LABELS} labels": RECALL["scheduled_newest"][LABELS],
    "all labels at once": RECALL["all_at_once"],
    "forest, all labels": RECALL["forest"][LABELS],
}


@pytest.mark.parametrize("row", ROWS)
def test_the_table_shows_the_committed_rehearsal(row: str) -> None:
    value, low, high = (f"{100 * ROWS[row][name]:.1f}" for name in ("value", "low", "high"))
    page = (ROOT / "docs" / "schedule.md").read_text(encoding="utf-8")
    assert f"| {row} | {value} ({low} to {high}) |" in page.splitlines()


def test_the_sentence_above_it_is_true() -> None:
    passes = [batch for batch in REHEARSAL["batches"] if batch["versions"]]
    assert (REHEARSAL["target"], REHEARSAL["scale"]) == ("hits", "default")
    assert (passes[-1]["mislabelled"], len(passes)) == (14, 6)
    assert all(batch["champion"] == batch["versions"]["hits-rcnn"] for batch in passes)


def test_nothing_was_lost_let_in_wrongly_or_refused_though_whole() -> None:
    for batch in REHEARSAL["batches"]:
        assert not (batch["lost"] or batch["slipped"] or batch["refused_though_whole"])
