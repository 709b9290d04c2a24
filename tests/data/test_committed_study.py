"""The committed study: measured on the committed run, whole, and at chance where it must be."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from astroreel.classes import CLASSES
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.studied import numbers
from astroreel.evaluation.study_drawings import draw
from astroreel.files import read_json
from astroreel.study.bench import Bench
from astroreel.study.sections import SECTIONS

ROOT = Path(__file__).resolve().parents[2]
STUDY = read_json(ROOT / "reports" / "study.json")

#: Where the study must find nothing, and what chance is there: the rims of stamps, labels dealt out anew (the
#: forest on the few labels knows four classes), brightness in the faint arena.
AT_CHANCE = {
    **{
        f"rim / {domain} / {stage} / {model} / auc_supernova": 0.5
        for domain, stage, model in product(
            ("simulated", "real"), ("zero_shot", "fine_tuned"), ("rcnn", "forest")
        )
    },
    **{f"shuffled / from_nothing / {model} / accuracy": 1 / len(CLASSES) for model in ("rcnn", "forest")},
    "shuffled / fine_tuned / few_real_forest / mean_recall_22": 1 / 4,
    **{f"{arm} / magnitude / auc": 0.5 for arm in ("host_kept", "host_removed")},
}


@pytest.fixture(scope="module")
def measured() -> dict[str, Estimate]:
    """What the controls and the arena found, by its place."""
    return dict(numbers(STUDY["controls"])) | dict(numbers(STUDY["arena"]))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_was_measured_on_the_committed_run_and_has_a_picture(section: str) -> None:
    tree = STUDY[section]
    assert tree["target"] == "hits"
    assert tree["made_from"] == Bench(ROOT).inputs, f"measure it anew: astroreel study --section {section}"
    assert draw(section, tree)


@pytest.mark.parametrize(("place", "chance"), AT_CHANCE.items())
def test_what_must_be_at_chance_is(measured: dict[str, Estimate], place: str, chance: float) -> None:
    assert measured[place].low <= chance <= measured[place].high
