"""From the gate to the deployed bundle and back, through MLflow and the command line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML
from typer.testing import CliRunner

from astroreel.cli import app
from astroreel.errors import UserError
from astroreel.governance.deployment import Deployment
from astroreel.governance.gate import Gate
from astroreel.governance.ledger import Ledger
from astroreel.governance.lineage import lineage
from astroreel.models.load import load_classifier
from astroreel.sequences.file import write_sequence
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, SplitConfig, SplitObject
from astroreel.tracking.card import FineTuning
from astroreel.tracking.publish import TrainedModel, publish_all
from astroreel.tracking.registry import Labelled
from astroreel.tracking.store import connect
from astroreel.tracking.versions import Registry
from astroreel.training.reporter import SpoolReporter
from tests.code.fake_registry import LENIENT, forest_bundle
from tests.conftest import MakeSequence

ROOT = Path(__file__).parents[2]
LABELS = ("supernova", "rr_lyrae")


class Project:
    """A folder with a hold-out of eight objects, two published forests, and a policy that asks for little."""

    def __init__(self, root: Path, make_sequence: MakeSequence) -> None:
        self.root = root
        self.uri = f"sqlite:///{root}/mlflow.db"
        self.sequences = [
            make_sequence(8, seed=index, name=f"o{index}", field=f"f{index % 4}", label=LABELS[index % 2])
            for index in range(8)
        ]
        objects = {}
        for sequence in self.sequences:
            write_sequence(root / "data" / "target" / f"{sequence.name}.fits", sequence)
            part = {"field": str(sequence.header["field"]), "fold": 0, "start": 0, "length": 8}
            objects[sequence.name] = SplitObject(label=sequence.label, detection=-1, **part)
        Split(objects, {}, []).write(root / "data" / "split.json")
        (root / "registry").mkdir()
        with (root / "registry" / "policy.yaml").open("w") as stream:
            YAML().dump(LENIENT.model_dump(mode="json"), stream)
        self._publish()
        self.client = connect(self.uri)
        self.registry = Registry(self.client)

    def _publish(self) -> None:
        with SpoolReporter(self.root / "runs" / "pretrain", "pretrain") as run:
            run.tags({"git.commit": "0" * 40, "data.data/simulated": "ab12cd34ef56.dir"})
        first = TrainedModel(
            forest_bundle(self.root / "a", "supernova"), self.root / "runs" / "pretrain", "hits", "smoke"
        )
        second = TrainedModel(
            forest_bundle(self.root / "b", "rr_lyrae"),
            self.root / "runs" / "pretrain",
            "hits",
            "smoke",
            tuning=FineTuning(self.root / "a", shots=1, draw=0, fold=0),
            labelled=[Labelled("elsewhere", "rr_lyrae", "f99")],
        )
        publish_all(self.root / "runs", [first, second], ROOT / "registry" / "card.md", self.uri, "governed")

    def gate(self, number: int) -> str:
        parameters: Any = SimpleNamespace(
            source=SimpleNamespace(target="hits"),
            registry=SimpleNamespace(fold=0),
            split=SplitConfig(),
        )
        folder = self.root / "deployed"
        parts = (self.registry, Deployment(folder), Ledger(folder / "ledger.jsonl"))
        return Gate(self.root, parameters, LENIENT, *parts).judge(f"hits-forest/{number}", "ada").word


def command(*words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, ["registry", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with nothing in it, to be copied: MLflow takes seconds to make one."""
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    connect(f"sqlite:///{database}")
    return database


@pytest.fixture
def project(
    tmp_path: Path, empty: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    before = os.environ.get("MLFLOW_TRACKING_URI")
    shutil.copy(empty, tmp_path)
    made = Project(tmp_path, make_sequence)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    yield made
    mlflow.set_registry_uri("")
    mlflow.set_tracking_uri(before)


def test_a_version_goes_through_gate_promotion_and_rollback(project: Project) -> None:
    assert project.gate(1) == "passed"
    # There is no simulated test set to measure forgetting on.
    assert project.gate(2) == "inconclusive"
    assert "deployed" in command("promote", "hits-forest/1")
    said = json.loads(command("status", "--json"))
    assert said["deployed"]["hits-forest"]["version"] == 1
    assert [row["verdict"] for row in said["versions"]] == ["passed", "inconclusive"]
    assert said["versions"][0]["aliases"] == ["challenger", "champion"]
    classifier = load_classifier(Deployment(Path("deployed")).bundle("hits-forest"))
    rows = classifier.predict(SequenceSet.from_sequences(project.sequences))
    assert rows.argmax(axis=1).tolist() == [0] * len(rows)
    with pytest.raises(UserError, match="did not pass the gate: inconclusive"):
        command("promote", "hits-forest/2")
    with pytest.raises(UserError, match="no version was deployed before"):
        command("rollback", "hits-forest")


def test_an_ungated_version_that_somebody_makes_champion_is_set_back(project: Project) -> None:
    project.gate(1)
    command("promote", "hits-forest/1")
    client: MlflowClient = project.client
    client.set_registered_model_alias("hits-forest", "champion", "2")
    assert "refused: has not been gated" in command("reconcile")
    assert project.registry.alias("hits-forest", "champion") == 1
    assert "has not been gated" in client.get_model_version("hits-forest", "2").tags["reconcile.refused"]
    assert command("reconcile") == ""


def test_the_report_lies_with_the_run_that_made_the_version(project: Project, tmp_path: Path) -> None:
    project.gate(1)
    version = project.client.get_model_version("hits-forest", "1")
    folder = version.tags["gate.report"].removeprefix(f"runs:/{version.run_id}/")
    files = [file.path for file in project.client.list_artifacts(version.run_id, folder)]
    assert files == [f"{folder}/verdict.html", f"{folder}/verdict.json"]
    report = project.client.download_artifacts(version.run_id, f"{folder}/verdict.json", str(tmp_path))
    assert json.loads(Path(report).read_text())["word"] == "passed"


def test_lineage_goes_both_ways(project: Project) -> None:
    project.gate(1)
    first = json.loads(command("lineage", "hits-forest/1", "--json"))
    assert first["data"] == {"data/simulated": "ab12cd34ef56.dir"}
    assert first["children"] == ["models:/hits-forest/2"]
    assert [entry["event"] for entry in first["history"]] == ["verdict"]
    second = command("lineage", "models:/hits-forest/2")
    assert "parents:\n  - models:/hits-forest/1\n" in second
    assert "labelled objects: 1\n" in second
    ledger = Ledger(project.root / "deployed" / "ledger.jsonl")
    users = lineage("ab12cd34", project.registry, ledger)["versions"]
    assert users == {f"models:/hits-forest/{number}": ["data.data/simulated"] for number in (1, 2)}
    with pytest.raises(UserError, match="no version was made from anything with this digest"):
        lineage("deadbeef", project.registry, ledger)


@pytest.mark.parametrize(
    "words",
    [
        "gate hits-forest/1",
        "promote hits-forest/1",
        "rollback hits-forest",
        "reconcile",
        "lineage a/1",
        "status",
    ],
)
def test_a_server_that_is_down_is_one_line(
    tmp_path: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry").mkdir()
    shutil.copy(ROOT / "registry" / "policy.yaml", tmp_path / "registry")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("astroreel.parameters.read_parameters", lambda root: None)
    with pytest.raises(UserError, match=r"^http://127\.0\.0\.1:9: no MLflow server answers") as caught:
        command(*words.split())
    assert "\n" not in str(caught.value)


def test_a_webhook_without_a_watch_is_refused() -> None:
    with pytest.raises(UserError, match="--listen and --webhook are for --watch"):
        command("reconcile", "--listen", "5001")
