"""The cycle of records and models against a real MLflow store: publish, publish again, lose, fetch."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from astroreel.errors import UserError
from astroreel.models.bundle import Bundle, load_bundle, save_bundle
from astroreel.parameters import read_parameters
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.tracking import flavour, registry, store
from astroreel.tracking.card import TEMPLATE, Figure, FineTuning, Subject, version_card
from astroreel.tracking.follow import Follower
from astroreel.tracking.publish import TrainedModel, publish_all
from astroreel.tracking.registry import Labelled, download_bundle, publish_version, status
from astroreel.tracking.runs import publish_run
from astroreel.tracking.store import connect, experiment_id
from astroreel.tracking.versions import Registry, target_of
from astroreel.training.reporter import FAILED, SpoolReporter, read_spool

STEPS = 200
CARD = Path(__file__).parents[2] / TEMPLATE

#: What a second process runs: publish the project in the folder given to a store given.
PUBLISH = """
import json, sys
from pathlib import Path
from tests.system.test_tracking import publish_project
print(json.dumps(publish_project(Path(sys.argv[1]), sys.argv[2])))
"""


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One store for all tests here; each works in an experiment and a target domain of its own."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    mlflow.set_registry_uri("")
    mlflow.set_tracking_uri(before)


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return connect(uri)


def make_bundle(folder: Path, value: float = 0.0) -> Path:
    weights = {"w": np.full((2, 2), value)}
    save_bundle(folder, kind="forest", weights=weights, architecture={}, preparation=Preparation())
    return folder


def make_project(root: Path) -> Path:
    """Run records and two bundles, the second fine-tuned from the first by a nested run."""
    (root / "figure.svg").write_text("<svg/>")
    with SpoolReporter(root / "runs" / "pretrain", "pretrain") as run:
        run.params({"rate": 0.001})
        run.tags({"git.commit": "0" * 40, "git.dirty": "false", "data.data/simulated": "aaaa.dir"})
        for step in range(STEPS):
            run.metrics({"loss": 1 / (step + 1), "accuracy": step / STEPS}, step)
        run.metrics({"broken": math.nan})
        run.artifact(root / "figure.svg")
    with SpoolReporter(root / "runs" / "finetune", "finetune") as run:
        run.tags({"git.commit": "0" * 40, "git.dirty": "true", "stage": "finetune"})
        run.child("draw-0").metrics({"recall": 0.5}, 0)
        run.child("draw-1").metrics({"recall": 0.6}, 0)
    make_bundle(root / "models" / "pretrained", 1.0)
    make_bundle(root / "models" / "finetuned", 2.0)
    return root


def trained_models(root: Path, target: str) -> list[TrainedModel]:
    pretrained = TrainedModel(
        bundle=root / "models" / "pretrained",
        run=root / "runs" / "pretrain",
        target=target,
        scale="smoke",
        figures={"real.mean_recall_22": Figure(0.5, 0.4, 0.6, 580)},
        headline="real.mean_recall_22",
    )
    finetuned = replace(
        pretrained,
        bundle=root / "models" / "finetuned",
        run=root / "runs" / "finetune" / "children" / "draw-0",
        figures={"real.mean_recall_22": Figure(0.75, 0.7, 0.8125, 580)},
        slices={"real.recall_22.supernova": Figure(0.5, 0.4, 0.625, 55)},
        tuning=FineTuning(pretrained.bundle, shots=10, draw=0, fold=3),
        labelled=[Labelled("SNHiTS15a", "supernova", "Blind15A_04")],
    )
    return [pretrained, finetuned]


def publish_project(root: Path, uri: str, target: str = "hits") -> dict[str, Any]:
    return publish_all(root / "runs", trained_models(root, target), CARD, uri, f"cycle-{target}")


def all_runs(client: MlflowClient, experiment: str) -> list[Any]:
    known = client.get_experiment_by_name(experiment)
    return client.search_runs([known.experiment_id]) if known else []


def without_news(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**model, "new": None} for model in summary["models"]]


def test_publishing_twice_adds_nothing(tmp_path: Path, uri: str) -> None:
    root = make_project(tmp_path)
    first = publish_project(root, uri, "twice")
    client = connect(uri)
    before = {run.info.run_id for run in all_runs(client, "cycle-twice")}
    second = publish_project(root, uri, "twice")
    assert first["runs"] == {"new": 2, "known": 0}
    assert second["runs"] == {"new": 0, "known": 2}
    assert [(m["name"], m["version"], m["new"]) for m in first["models"]] == [
        ("twice-forest", 1, True),
        ("twice-forest", 2, True),
    ]
    assert without_news(second) == without_news(first)
    assert not any(model["new"] for model in second["models"])
    assert {run.info.run_id for run in all_runs(client, "cycle-twice")} == before
    assert len(before) == 4
    assert json.loads(json.dumps(first)) == first


def test_all_that_a_record_holds_is_in_the_run(tmp_path: Path, client: MlflowClient) -> None:
    record = read_spool(make_project(tmp_path) / "runs" / "pretrain")
    run_id = publish_run(client, experiment_id(client, "content"), record).id
    run = client.get_run(run_id)
    history = {name: client.get_metric_history(run_id, name) for name in ("loss", "accuracy", "broken")}
    told = {name: [f for f in record.figures if f.name == name] for name in history}
    for name in ("loss", "accuracy"):
        found = [(m.step, m.value, m.timestamp) for m in history[name]]
        assert found == [(f.step, f.value, f.time_ms) for f in told[name]]
        assert len(found) == STEPS
    assert math.isnan(history["broken"][0].value)
    assert run.data.params == {"rate": "0.001"}
    assert run.data.tags["mlflow.source.git.commit"] == "0" * 40
    assert (run.info.run_name, run.info.status) == ("pretrain", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (record.start_ms, record.end_ms)
    assert [file.path for file in client.list_artifacts(run_id)] == ["figure.svg"]


def test_nested_records_become_nested_runs(tmp_path: Path, client: MlflowClient) -> None:
    home = experiment_id(client, "nested")
    parent = publish_run(client, home, read_spool(make_project(tmp_path) / "runs" / "finetune")).id
    children = client.search_runs([home], f"tags.`mlflow.parentRunId` = '{parent}'")
    recalls = {child.info.run_name: child.data.metrics["recall"] for child in children}
    assert recalls == {"draw-0": 0.5, "draw-1": 0.6}


def test_a_nested_run_says_what_the_run_around_it_says_and_its_own(
    tmp_path: Path, client: MlflowClient
) -> None:
    with SpoolReporter(tmp_path / "run", "run") as run:
        run.tags({"git.commit": "1" * 40, "data.data/target": "bbbb", "stage": "search", "target": "hits"})
        inner = run.child("outer").child("inner")
        inner.tags({"target": "its own"})
    home = experiment_id(client, "inherited")
    publish_run(client, home, read_spool(tmp_path / "run"))
    tags = {run.info.run_name: run.data.tags for run in client.search_runs([home])}
    assert {name: said["target"] for name, said in tags.items()} == {
        "run": "hits",
        "outer": "hits",
        "inner": "its own",
    }
    for said in tags.values():
        assert said["git.commit"] == said["mlflow.source.git.commit"] == "1" * 40
        assert said["data.data/target"] == "bbbb"
        assert said["mlflow.source.name"] == "pipelines/search.py"


def test_a_version_says_where_it_comes_from(tmp_path: Path, uri: str) -> None:
    publish_project(make_project(tmp_path), uri, "lineage")
    client = connect(uri)
    first, second = (client.get_model_version("lineage-forest", number) for number in ("1", "2"))
    assert first.tags["training"] == "simulated"
    assert first.tags["data.data/simulated"] == "aaaa.dir"
    assert second.tags["training"] == "fine-tuned"
    assert second.tags["parent"] == "lineage-forest/1"
    assert second.tags["parent.digest"] == first.tags["astroreel.digest"]
    assert second.tags["git.dirty"] == "true"
    assert client.get_run(second.run_id).info.run_name == "draw-0"
    assert second.tags["metric.real.mean_recall_22"] == "0.75"
    assert second.tags["metric.real.mean_recall_22.high"] == "0.8125"


def test_a_fine_tuned_versions_card_tells_its_figures_from_itself(tmp_path: Path, uri: str) -> None:
    publish_project(make_project(tmp_path), uri, "card")
    client = connect(uri)
    first, second = (client.get_model_version("card-forest", number).description for number in ("1", "2"))
    second = " ".join(second.split())
    assert "| mean recall, real | 0.750 (0.700 to 0.812), n = 580 |" in second
    assert "fine-tuned on 10 real sequences a class" in second
    assert "means over all draws and folds. This version is the model of draw 0, fold 3." in second
    assert "- fine-tuned from: `card-forest/1`, bundle `" in second
    assert "--model models:/card-forest/2 " in second
    assert "--model models:/card-forest/1 " in first
    assert "| recall, real, supernova | 0.500 (0.400 to 0.625), n = 55 |" in second
    assert "labelled objects: 1, named in its file" in second
    assert ", trained on simulations, for" in first
    assert "fine-tuned" not in first
    assert "over all draws" not in first


def test_a_networks_card_names_it_and_a_surveys_its_limits() -> None:
    weights, preparation = {"w": np.zeros(1)}, Preparation()
    bundle = Bundle("rcnn", weights, {"name": "photometric"}, preparation, 1.0, "0" * 64)
    card = version_card(
        CARD, Subject("hits-rcnn", "7", bundle, {"target": "hits", "scale": "smoke"}, {}, None)
    )
    assert "network `photometric`" in card
    assert "- classes: supernova, rr_lyrae, cepheid" in card
    assert "no labelled Cepheids, galaxies or asteroids" in card


def test_status_shows_versions_aliases_and_headline(tmp_path: Path, uri: str) -> None:
    publish_project(make_project(tmp_path), uri, "status")
    client = connect(uri)
    client.set_registered_model_alias("status-forest", "champion", "2")
    client.set_registered_model_alias("status-forest", "challenger", "2")
    rows = [row for row in status(client) if row.name == "status-forest"]
    assert [(row.version, row.aliases, row.training, row.headline) for row in rows] == [
        (1, (), "simulated", "real.mean_recall_22=0.5"),
        (2, ("challenger", "champion"), "fine-tuned", "real.mean_recall_22=0.75"),
    ]


def test_a_surrogates_card_says_so_first(tmp_path: Path, uri: str) -> None:
    publish_project(make_project(tmp_path), uri, "surrogate")
    card = connect(uri).get_model_version("surrogate-forest", "1").description
    assert card.startswith("**Target: surrogate.**")


@pytest.fixture
def follower(tmp_path: Path, uri: str) -> Follower:
    parameters = read_parameters(Path(__file__).parents[2])
    registry = parameters.registry.model_copy(update={"tracking_uri": uri, "experiment": tmp_path.name})
    return Follower(tmp_path, parameters.model_copy(update={"registry": registry}))


def test_a_run_shows_its_curve_while_it_grows(
    tmp_path: Path, follower: Follower, client: MlflowClient
) -> None:
    with SpoolReporter(tmp_path / "runs" / "search", "search") as reporter:
        reporter.params({"trials": 2})
        trial = reporter.child("trial-000")
        for step in range(3):
            trial.metrics({"valid_loss": 2.0 - step}, step)
            assert follower.publish() == ["search: running"]
            assert follower.publish() == []
            runs = {run.info.run_name: run for run in all_runs(client, tmp_path.name)}
            assert {run.info.status for run in runs.values()} == {"RUNNING"}
            history = client.get_metric_history(runs["trial-000"].info.run_id, "valid_loss")
            assert [(one.step, one.value) for one in history] == [(s, 2.0 - s) for s in range(step + 1)]
        trial.close()
        before = {run.info.run_id for run in runs.values()}
    assert follower.publish() == ["search: finished"]
    found = all_runs(client, tmp_path.name)
    assert {(run.info.run_id, run.info.status) for run in found} == {(one, "FINISHED") for one in before}
    record = read_spool(tmp_path / "runs" / "search")
    assert not publish_run(client, found[0].info.experiment_id, record).new


def test_a_run_begun_anew_leaves_no_orphan(tmp_path: Path, follower: Follower, client: MlflowClient) -> None:
    for loss in (2.0, 1.0):
        reporter = SpoolReporter(tmp_path / "runs" / "pretrain", "pretrain")
        reporter.child("inner").metrics({"loss": loss}, 0)
        follower.publish()
    runs = {run.info.run_name: run.data.metrics for run in all_runs(client, tmp_path.name)}
    assert runs == {"pretrain": {}, "inner": {"loss": 1.0}}


def test_a_record_continued_after_publishing_replaces_its_run(tmp_path: Path, client: MlflowClient) -> None:
    home = experiment_id(client, "continued")
    SpoolReporter(tmp_path / "run", "run").metrics({"loss": 2.0}, 0)
    publish_run(client, home, read_spool(tmp_path / "run"))
    (killed,) = all_runs(client, "continued")
    with SpoolReporter(tmp_path / "run", "run", resume=True) as reporter:
        reporter.metrics({"loss": 1.0}, 1)
    publish_run(client, home, read_spool(tmp_path / "run"))
    (finished,) = all_runs(client, "continued")
    assert (killed.info.status, finished.info.status) == ("KILLED", "FINISHED")
    assert finished.data.metrics == {"loss": 1.0}


def fail_in(monkeypatch: pytest.MonkeyPatch, name: str, after: int = 0) -> None:
    """Let a method of the client work ``after`` times and then end the process, as a kill would."""
    method, calls = getattr(MlflowClient, name), iter(range(after))

    def fail(*args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return method(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, name, fail)


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("log_batch", 0),
        ("set_terminated", 1),
        ("set_terminated", 3),
        ("log_model_artifacts", 0),
        ("create_model_version", 0),
        ("create_model_version", 1),
    ],
)
def test_publishing_killed_anywhere_and_started_again_leaves_no_duplicate(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch, step: str, after: int
) -> None:
    target = f"killed-{step}-{after}"
    root = make_project(tmp_path)
    with monkeypatch.context() as patch:
        fail_in(patch, step, after)
        with pytest.raises(KeyboardInterrupt):
            publish_project(root, uri, target)
    publish_project(root, uri, target)
    client = connect(uri)
    runs = all_runs(client, f"cycle-{target}")
    logged = client.search_logged_models([runs[0].info.experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["draw-0", "draw-1", "finetune", "pretrain"]
    assert all(run.info.status == "FINISHED" for run in runs)
    assert [row.version for row in status(client) if row.target == target] == [1, 2]
    assert len(logged) == 2


def run_python(root: Path, uri: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISH, str(root), uri],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (0, "")
    return json.loads(stdout)


def test_a_lost_store_is_made_again_the_same_even_by_two_at_once(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    database = tmp_path / "mlflow.db"
    uri = f"sqlite:///{database}"
    first = outcome(run_python(root, uri))
    database.unlink()
    both = [outcome(process) for process in [run_python(root, uri), run_python(root, uri)]]
    assert [without_news(summary) for summary in both] == [without_news(first)] * 2
    assert sorted(summary["runs"]["new"] for summary in both) == [0, 2]
    client = connect(uri)
    assert [(row.name, row.version) for row in status(client)] == [("hits-forest", 1), ("hits-forest", 2)]
    assert len(all_runs(client, "cycle-hits")) == 4


def test_a_fetched_bundle_is_the_published_one_and_is_fetched_once(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path)
    publish_project(root, uri, "fetch")
    client = connect(uri)
    client.set_registered_model_alias("fetch-forest", "champion", "2")
    folder = download_bundle(client, "models:/fetch-forest@champion", tmp_path / "cache")
    original = root / "models" / "finetuned"
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {
        f.name: f.read_bytes() for f in original.iterdir()
    }
    monkeypatch.setattr(registry, "_fetch", None)
    assert download_bundle(client, "models:/fetch-forest/2", tmp_path / "cache") == folder


def test_a_damaged_copy_on_this_machine_is_fetched_again(tmp_path: Path, uri: str) -> None:
    publish_project(make_project(tmp_path), uri, "heal")
    folder = download_bundle(connect(uri), "models:/heal-forest/1", tmp_path / "cache")
    (folder / "weights.safetensors").write_bytes(b"damaged")
    assert download_bundle(connect(uri), "models:/heal-forest/1", tmp_path / "cache") == folder
    assert (folder / "weights.safetensors").read_bytes() != b"damaged"


@pytest.mark.parametrize("file", ["weights.safetensors", "manifest.json"])
def test_a_bundle_changed_in_the_store_is_refused_until_published_again(
    tmp_path: Path, uri: str, file: str
) -> None:
    target = f"tampered-{file[:7]}"
    publish_project(make_project(tmp_path), uri, target)
    client = connect(uri)
    model_id = client.get_model_version(f"{target}-forest", "1").source.removeprefix("models:/")
    location = Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    stored = location / "data" / "bundle" / file
    stored.write_bytes(stored.read_bytes() + b" ")
    with pytest.raises(UserError, match="not the bundle that was registered"):
        download_bundle(client, f"models:/{target}-forest/1", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    client.delete_model_version(f"{target}-forest", "1")
    renewed = publish_project(tmp_path, uri, target)["models"][0]
    download_bundle(client, f"models:/{target}-forest/{renewed['version']}", tmp_path / "cache")


def test_a_template_that_is_missing_or_wrong_is_one_line(tmp_path: Path) -> None:
    bundle = Bundle("forest", {"w": np.zeros(1)}, {}, Preparation(), 1.0, "0" * 64)
    subject = Subject("hits-forest", "7", bundle, {"target": "hits", "scale": "smoke"}, {}, None)
    with pytest.raises(UserError, match="cannot be read"):
        version_card(tmp_path / "card.md", subject)
    (tmp_path / "card.md").write_text("{{ nothing }}")
    with pytest.raises(UserError, match="no template of a model card"):
        version_card(tmp_path / "card.md", subject)


def test_a_version_names_the_sha256_of_every_file_and_what_it_learned_from(tmp_path: Path, uri: str) -> None:
    publish_project(make_project(tmp_path), uri, "whole")
    registry = Registry(connect(uri))
    first, second = (registry.named(f"whole-forest/{number}") for number in (1, 2))
    fetched = registry.fetch(second, tmp_path / "fetched")
    assert json.loads(second.tags["manifest"]) == fetched.files
    assert {"MLmodel", "labelled.json", "data/bundle/weights.safetensors"} <= fetched.files.keys()
    assert fetched.labelled() == [Labelled("SNHiTS15a", "supernova", "Blind15A_04")]
    assert registry.fetch(first, tmp_path / "first").labelled() == []
    assert load_bundle(fetched.bundle).digest == second.digest


def test_governance_reads_and_writes_aliases_and_tags(tmp_path: Path, uri: str) -> None:
    publish_project(make_project(tmp_path), uri, "governed")
    client = connect(uri)
    registry, model = Registry(client), "governed-forest"
    client.create_registered_model("somebody-elses")
    assert registry.champions()[model] is None
    assert "somebody-elses" not in registry.champions()
    registry.set_alias(model, "champion", 2)
    assert (registry.champions()[model], registry.alias(model, "champion")) == (2, 2)
    version = registry.named(f"models:/{model}/2")
    registry.tag(version, {"reconcile.refused": "x" * 6000})
    assert registry.named(version.uri).tags["reconcile.refused"] == "x" * 5000
    registry.untag(registry.named(version.uri), ["reconcile.refused", "never.set"])
    assert "reconcile.refused" not in registry.named(version.uri).tags
    registry.remove_alias(model, "champion")
    registry.remove_alias(model, "champion")
    assert registry.alias(model, "champion") is None
    assert [one.number for one in registry.versions() if one.model == model] == [1, 2]
    assert (target_of(model), target_of("somebody-elses")) == ("governed", "")
    registry.attach(version, tmp_path / "figure.svg", "gate/x")
    assert [file.path for file in client.list_artifacts(version.run_id, "gate/x")] == ["gate/x/figure.svg"]


def test_governance_tells_what_is_gone_from_what_does_not_answer(tmp_path: Path, uri: str) -> None:
    publish_project(make_project(tmp_path), uri, "gone")
    client = connect(uri)
    registry = Registry(client)
    first, second = (registry.named(f"gone-forest/{number}") for number in (1, 2))
    assert registry.missing_files(first) == []
    location = client.get_logged_model(first.source.removeprefix("models:/")).artifact_location
    (Path(location.removeprefix("file://")) / "data" / "bundle" / "weights.safetensors").unlink()
    assert registry.missing_files(first) == ["data/bundle/weights.safetensors"]
    registry.set_alias("gone-forest", "champion", 2)
    client.delete_model_version("gone-forest", "2")
    assert registry.version("gone-forest", 2) is None
    assert registry.champions()["gone-forest"] is None
    registry.tag(second, {"reconcile.refused": "why"})
    with pytest.raises(UserError, match="no such version"):
        registry.named("gone-forest/2")
    with pytest.raises(UserError, match="expected NAME/VERSION"):
        registry.named("gone-forest")


def publish_in_process(root: Path, uri: str, start: Any, results: Any) -> None:
    start.wait()
    results.put(publish_project(root, uri)["models"])


def test_eight_processes_that_register_the_same_at_once_make_one_version(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(8), context.Queue()
    processes = [
        context.Process(target=publish_in_process, args=(root, uri, start, results)) for _ in range(8)
    ]
    for process in processes:
        process.start()
    told = [results.get(timeout=240) for _ in processes]
    for process in processes:
        process.join(60)
    assert sum(model["new"] for models in told for model in models) == 2
    assert all([model["version"] for model in models] == [1, 2] for models in told)
    client = connect(uri)
    assert [(row.name, row.version) for row in status(client)] == [("hits-forest", 1), ("hits-forest", 2)]
    assert len(all_runs(client, "cycle-hits")) == 4


def test_of_machines_that_register_the_same_at_once_the_later_takes_its_version_back(
    tmp_path: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    SpoolReporter(tmp_path / "run", "run").close()
    run_id = publish_run(client, experiment_id(client, "race"), read_spool(tmp_path / "run")).id
    bundle = make_bundle(tmp_path / "bundle")
    create = MlflowClient.create_model_version

    def overtaken(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        with monkeypatch.context() as inner:
            inner.setattr(MlflowClient, "create_model_version", create)
            inner.setattr(registry, "_publisher", lambda: "another machine")
            publish_version(client, "race-forest", bundle, run_id, {})
        return create(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_model_version", overtaken)
    published = publish_version(client, "race-forest", bundle, run_id, {})
    assert (published.id, published.new) == ("1", False)
    assert [row.version for row in status(client) if row.name == "race-forest"] == [1]
    download_bundle(client, "models:/race-forest/1", tmp_path / "cache")


def test_the_store_that_is_connected_to_is_not_left_in_the_environment(tmp_path: Path) -> None:
    before = os.environ.get("MLFLOW_TRACKING_URI")
    connect(f"sqlite:///{tmp_path}/mlflow.db")
    assert os.environ.get("MLFLOW_TRACKING_URI") == before


def test_a_damaged_bundle_is_not_published(tmp_path: Path, uri: str) -> None:
    root = make_project(tmp_path)
    (root / "models" / "finetuned" / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"weights\.safetensors: changed file"):
        publish_project(root, uri, "damaged")


def test_a_version_made_by_hand_is_refused(tmp_path: Path, client: MlflowClient) -> None:
    client.create_registered_model("by-hand")
    client.create_model_version("by-hand", tmp_path.as_uri())
    with pytest.raises(UserError, match="was not registered by astroreel"):
        download_bundle(client, "models:/by-hand/1", tmp_path / "cache")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("models:/unknown-forest/7", "no such version: unknown-forest has 1, 2 = champion$"),
        ("models:/unknown-forest@none", "no alias 'none': unknown-forest has versions 1, 2 = champion; set"),
        ("models:/nobody/1", "no such version: registered are .*unknown-forest"),
        ("models:/unknown-forest", "expected models:/NAME/VERSION or models:/NAME@ALIAS"),
    ],
)
def test_an_unknown_version_is_one_line_with_the_known(
    tmp_path: Path, uri: str, model: str, message: str
) -> None:
    publish_project(make_project(tmp_path), uri, "unknown")
    client = connect(uri)
    client.set_registered_model_alias("unknown-forest", "champion", "2")
    with pytest.raises(UserError, match=message):
        download_bundle(client, model, tmp_path / "cache")


def test_a_model_whose_run_is_not_published_is_refused(tmp_path: Path, uri: str) -> None:
    root = make_project(tmp_path)
    SpoolReporter(root / "elsewhere", "elsewhere").close(FAILED)
    model = replace(trained_models(root, "stray")[0], run=root / "elsewhere")
    with pytest.raises(UserError, match="not below the folder of runs"):
        publish_all(root / "runs", [model], CARD, uri, "stray")


class Constant:
    """A classifier that is sure of the first class."""

    def predict(self, sequences: SequenceSet) -> np.ndarray:
        return np.eye(7)[np.zeros(len(sequences.epochs), int)]


def test_pyfunc_loads_the_bundle_and_predicts(
    tmp_path: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, make_sequence: Callable[..., Any]
) -> None:
    seen = []
    monkeypatch.setattr(flavour, "load_classifier", lambda path: seen.append(path) or Constant())
    SpoolReporter(tmp_path / "run", "run").close()
    run_id = publish_run(client, experiment_id(client, "pyfunc"), read_spool(tmp_path / "run")).id
    publish_version(client, "pyfunc-forest", make_bundle(tmp_path / "bundle"), run_id, tags={})
    model = mlflow.pyfunc.load_model("models:/pyfunc-forest/1")
    sequences = SequenceSet.from_sequences([make_sequence(8), make_sequence(9, seed=1)])
    np.testing.assert_array_equal(model.predict(sequences), Constant().predict(sequences))
    assert sorted(file.name for file in seen[0].iterdir()) == sorted(
        file.name for file in (tmp_path / "bundle").iterdir()
    )


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_an_address_without_a_server_is_one_line_without_the_password() -> None:
    with pytest.raises(UserError, match=r"^http://127\.0\.0\.1:\d+: no MLflow server answers") as caught:
        connect(f"http://user:secret@127.0.0.1:{unused_port()}")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_takes_the_call_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_REACH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UserError, match="no MLflow server"):
        connect(f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("sqlite:///{}/nowhere/mlflow.db", "nowhere/mlflow.db: no such folder"),
        ("sqlite:///{}/text.db", "text.db: cannot write this SQLite file .*not a database"),
        ("file://{}/mlruns", "expected sqlite:///FILE or http"),
        ("{}", "expected sqlite:///FILE or http"),
    ],
)
def test_what_is_no_store_is_named(tmp_path: Path, address: str, message: str) -> None:
    (tmp_path / "text.db").write_text("this is no database, whatever its name says" * 20)
    with pytest.raises(UserError, match=message) as caught:
        connect(address.format(tmp_path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "nowhere").exists()
