"""A whole `smoke` run in a fresh checkout without real data, through the commands of the README."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest

from astroreel.classes import CLASSES
from tests.system.checkout import copy_checkout, run

STAGES = [
    "ingest",
    "simulate",
    "split",
    "features",
    "forest",
    "search",
    "pretrain",
    "finetune",
    "evaluate",
    "register",
    "report",
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def checkout(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the smoke run for these tests to change, its registry made from its files."""
    folder = copy_checkout(reproduced, tmp_path_factory.mktemp("checkout") / "astroreel")
    run(folder, "astroreel", "registry", "publish")
    return folder


def _reproduced(text: str) -> list[str]:
    return [name for name in STAGES if f"Running stage '{name}'" in text]


def test_the_report_and_the_metrics_say_that_the_target_is_a_surrogate(checkout: Path) -> None:
    metrics = json.loads((checkout / "reports/metrics.json").read_text())
    assert metrics["target"] == "surrogate"
    assert "real" not in metrics
    page = (checkout / "reports/index.html").read_text()
    assert "surrogate" in page[: page.index("</header>")].lower()


def test_the_metrics_hold_every_model_before_and_after_with_intervals(checkout: Path) -> None:
    metrics = json.loads((checkout / "reports/metrics.json").read_text())
    for model in ("rcnn", "forest"):
        for domain, leaf in (("simulated", "accuracy_22"), ("surrogate", "mean_recall_22")):
            for stage in ("zero_shot", "fine_tuned"):
                estimate = metrics[domain][model][stage][leaf]
                assert 0 <= estimate["low"] <= estimate["value"] <= estimate["high"] <= 1
                assert estimate["n"] > 0
    for baseline in ("few_real_forest", "two_numbers", "magnitude", "cadence", "epoch_count", "border"):
        assert "mean_recall_22" in metrics["surrogate"][baseline]["fine_tuned"]


def test_a_second_run_does_no_work_and_registers_nothing_new(checkout: Path) -> None:
    before = json.loads(run(checkout, "astroreel", "registry", "status", "--json").stdout)
    again = run(checkout, "make", "repro", f"VENV={sys.prefix}")
    assert _reproduced(again.stdout) == []
    assert str(checkout / "reports/index.html") in again.stdout
    assert json.loads(run(checkout, "astroreel", "registry", "status", "--json").stdout) == before
    assert {entry["name"] for entry in before["versions"]} == {"surrogate-rcnn", "surrogate-forest"}


def test_a_lost_registry_is_made_again_from_the_bundles(checkout: Path) -> None:
    before = json.loads(run(checkout, "astroreel", "registry", "status", "--json").stdout)
    (checkout / "mlflow.db").unlink()
    shutil.rmtree(checkout / "mlartifacts")
    run(checkout, "make", "repro", f"VENV={sys.prefix}")
    after = json.loads(run(checkout, "astroreel", "registry", "status", "--json").stdout)
    assert {(e["name"], e["digest"]) for e in after["versions"]} == {
        (e["name"], e["digest"]) for e in before["versions"]
    }


def test_dvc_shows_the_stages_and_the_metrics(checkout: Path) -> None:
    graph = run(checkout, "dvc", "dag", "--dot").stdout
    assert all(f'"{name}"' in graph for name in STAGES)
    assert "mean_recall_22" in run(checkout, "dvc", "metrics", "show").stdout
    assert run(checkout, "dvc", "plots", "show").stdout.strip().endswith(".html")


def test_changing_a_finetune_parameter_reruns_it_and_what_follows_alone(checkout: Path) -> None:
    from astroreel.parameters import read_parameters

    old = read_parameters(checkout).finetune.iterations
    path = checkout / "params.yaml"
    before = path.read_text()
    head, tail = before.split("\nfinetune:", 1)
    path.write_text(head + "\nfinetune:" + tail.replace(f"iterations: {old}", f"iterations: {old + 1}", 1))
    assert "finetune.iterations" in run(checkout, "dvc", "params", "diff").stdout
    again = run(checkout, "dvc", "repro").stdout
    assert _reproduced(again) == ["finetune", "evaluate", "register", "report"]


def test_classify_names_each_damaged_file_and_classifies_the_rest(checkout: Path, tmp_path: Path) -> None:
    for file in sorted((checkout / "data/target").glob("*.fits"))[:3]:
        shutil.copy(file, tmp_path / file.name)
    (tmp_path / "torn.fits").write_bytes((tmp_path / file.name).read_bytes()[:5000])
    (tmp_path / "text.fits").write_text("no FITS file")
    model = str(checkout / "models/pretrained")
    out = tmp_path / "out.csv"
    done = run(
        checkout, "astroreel", "classify", str(tmp_path), "--model", model, "--out", str(out), status=3
    )
    assert "torn.fits" in done.stderr and "text.fits" in done.stderr
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 3
    for row in rows:
        assert sum(float(row[f"p_{name}"]) for name in CLASSES) == pytest.approx(1, abs=1e-5)


def test_classify_takes_a_registered_version_and_gives_the_same_as_its_bundle(
    checkout: Path, tmp_path: Path
) -> None:
    answers = []
    for number, model in enumerate(("models:/surrogate-rcnn/1", str(checkout / "models/pretrained"))):
        out = tmp_path / f"{number}.csv"
        run(checkout, "astroreel", "classify", "data/target", "--model", model, "--out", str(out))
        answers.append(out.read_text())
    assert answers[0] == answers[1]


def test_an_unknown_parameter_is_one_line_and_nothing_runs(checkout: Path) -> None:
    path = checkout / "params.yaml"
    before = path.read_text()
    path.write_text(before + "\nfrobnicate: 1\n")
    done = run(checkout, "astroreel", "configure", status=2)
    path.write_text(before)
    assert done.stderr.count("\n") == 1
    assert "frobnicate" in done.stderr
