"""A survey without labels, from configuration to registered models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.system.checkout import make_checkout, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: What makes a smoke run shorter still.
_LESS = {
    "n_train: 1400": "n_train: 280",
    "n_valid: 350": "n_valid: 140",
    "n_test: 350": "n_test: 140",
    "trials: 2": "trials: 1",
    "iterations: 60": "iterations: 10",
    "validate_every: 20": "validate_every: 10",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the pipeline has run for LSST, its output kept as ``log``."""
    folder = tmp_path_factory.mktemp("unlabelled") / "astroreel"
    make_checkout(folder)
    run(folder, "astroreel", "configure", "--scale", "smoke", "--target", "lsst")
    text = (folder / "params.yaml").read_text()
    for old, new in _LESS.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text)
    done = run(folder, "make", "repro", f"VENV={sys.prefix}")
    (folder / "log").write_text(done.stdout + done.stderr)
    return folder


def test_a_survey_without_labels_has_two_models_trained_on_simulations(project: Path) -> None:
    versions = json.loads(run(project, "astroreel", "registry", "status", "--json").stdout)["versions"]
    assert {(one["name"], one["training"]) for one in versions} == {
        ("lsst-rcnn", "simulated"),
        ("lsst-forest", "simulated"),
    }


def test_only_simulated_objects_are_measured_and_the_report_says_so(project: Path) -> None:
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert metrics.pop("target") == "lsst"
    assert set(metrics) == {"simulated", "simulated_train"}
    assert set(metrics["simulated"]["rcnn"]) == set(metrics["simulated"]["forest"]) == {"zero_shot"}
    page = (project / "reports/index.html").read_text()
    assert "no real labels yet" in page[: page.index("</header>")]


def test_there_is_nothing_to_fine_tune_with_and_that_is_said(project: Path) -> None:
    log = (project / "log").read_text()
    assert "no labelled sequence of lsst yet: nothing to fine-tune with" in log
    assert "scale smoke (as before; SCALE=NAME or --scale NAME takes another)" in log
    assert f"Report (scale smoke): {project / 'reports/index.html'}" in log
