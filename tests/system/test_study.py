"""`astroreel study` in a checkout whose pipeline has run: what it leaves, and that nothing is done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.system.checkout import copy_checkout, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_LESS = {"shots": [10], "quick_draws": 1, "workers": 1}


@pytest.fixture
def project(reproduced: Path, tmp_path: Path) -> Path:
    folder = copy_checkout(reproduced, tmp_path / "astroreel")
    content = YAML().load(folder / "params.yaml")
    content["study"].update(_LESS)
    YAML().dump(content, folder / "params.yaml")
    return folder


def leaves(tree: Any) -> Iterator[dict[str, float]]:
    if isinstance(tree, dict):
        if "value" in tree:
            yield tree
        else:
            for child in tree.values():
                yield from leaves(child)


def study(folder: Path, section: str) -> tuple[dict[str, Any], str]:
    done = run(folder, "astroreel", "study", "--section", section)
    return json.loads((folder / "reports" / "study.json").read_text())[section], done.stderr


def check(folder: Path, section: str) -> dict[str, Any]:
    """Run a section twice, and return what it left."""
    tree, said = study(folder, section)
    assert "not yet measured" in said
    before = (folder / "reports" / "study.json").read_bytes()
    _, again = study(folder, section)
    assert "nothing to compute" in again
    assert (folder / "reports" / "study.json").read_bytes() == before
    found = list(leaves(tree))
    assert found
    assert all(set(leaf) >= {"value", "low", "high", "n"} for leaf in found)
    return tree


def test_samples_agree_with_the_pipelines_own_evaluation(project: Path) -> None:
    tree = check(project, "samples")
    metrics = json.loads((project / "reports" / "metrics.json").read_text())
    for model in ("rcnn", "forest"):
        for measure in ("mean_recall_22", "accuracy_22", "log_loss"):
            own = metrics["surrogate"][model]["zero_shot"][measure]["value"]
            assert tree["surrogate"]["0"][model][measure]["value"] == pytest.approx(own, abs=2e-3)
    few = tree["surrogate"]["10"]
    assert set(few["rcnn_lead"]) == set(few) - {"rcnn", "rcnn_lead"}
    for model, lead in few["rcnn_lead"].items():
        expected = few["rcnn"]["mean_recall_22"]["value"] - few[model]["mean_recall_22"]["value"]
        assert lead["mean_recall_22"]["value"] == pytest.approx(expected, abs=2e-4)


@pytest.mark.soak
def test_the_ablation_pairs_every_arm_with_the_default(project: Path) -> None:
    tree = check(project, "ablation")
    for stage in ("zero_shot", "fine_tuned"):
        arms = tree["surrogate"][stage]
        for name, arm in arms.items():
            assert ("gain" in arm) == (name != "default")
            if name != "default":
                expected = arm["mean_recall_22"]["value"] - arms["default"]["mean_recall_22"]["value"]
                assert arm["gain"]["mean_recall_22"]["value"] == pytest.approx(expected, abs=2e-4)
