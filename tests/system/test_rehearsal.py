"""A season in a copy of the project: killed and taken up again it ends as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from astroreel.errors import UserError
from astroreel.files import file_digests, folder_digest
from astroreel.schedule.rehearsal import rehearse
from astroreel.sequences.split import Split
from tests.system.checkout import copy_checkout, environment, run
from tests.system.stack import LENIENT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

MODEL = "surrogate-rcnn"
REHEARSE = [sys.executable, "-m", "astroreel.cli", "schedule", "rehearse"]


@dataclass(frozen=True)
class Project:
    """A copy of the smoke run to rehearse in, with a policy that its models pass."""

    root: Path

    @classmethod
    def of(cls, reproduced: Path, folder: Path) -> Project:
        root = copy_checkout(reproduced, folder / "project")
        (root / "registry" / "policy.yaml").write_text(LENIENT)
        yaml = YAML()
        parameters = yaml.load((root / "params.yaml").read_text())
        parameters["schedule"]["labels"] = 10
        parameters["study"]["workers"] = 1
        parameters["finetune"]["iterations"] = 5
        with (root / "params.yaml").open("w") as stream:
            yaml.dump(parameters, stream)
        return cls(root)

    @property
    def copy(self) -> Path:
        return self.root / "data" / "rehearsal" / "checkout"

    def rehearse(self) -> str:
        return run(self.root, *REHEARSE).stdout.strip()

    def begin(self) -> subprocess.Popen[str]:
        around = environment(self.root)
        return subprocess.Popen(
            REHEARSE, cwd=self.root, env=around, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def killed_when_it_says(self, *words: str, then: float = 0.0) -> bool:
        """Kill it so many seconds after it has said all this, in this order; whether it lived until then."""
        with self.begin() as process:
            assert process.stderr is not None
            for word in words:
                if not any(word in line for line in process.stderr):
                    return False
            time.sleep(then)
            alive = process.poll() is None
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return alive

    def figures(self) -> dict[str, Any]:
        return dict(json.loads((self.root / "reports" / "rehearsal.json").read_text()))

    def versions(self) -> dict[str, str]:
        """The bundles' digests by the versions' names."""
        found = json.loads(run(self.copy, "astroreel", "registry", "status", "--json").stdout)["versions"]
        return {f"{row['name']}/{row['version']}": row["digest"] for row in found}

    def champion(self) -> str:
        return str(json.loads((self.copy / "deployed" / f"{MODEL}.json").read_text())["digest"])

    def labelled(self) -> dict[str, str]:
        return file_digests(self.copy / "arrivals" / "labelled")

    def own(self) -> dict[str, str]:
        """What is the person's, and no rehearsal may touch."""
        names = ("data/target", "models", "runs", "registry", ".git/refs")
        code = {"src": folder_digest(self.root / "src", "**/*.py")}  # Python may write bytecode beside it
        return code | {name: folder_digest(self.root / name) for name in names}


@pytest.fixture(scope="module")
def rehearsed(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A season of three batches that was killed in its second pass."""
    project = Project.of(reproduced, tmp_path_factory.mktemp("rehearsal"))
    before = project.own()
    assert project.killed_when_it_says("2 of ", ": register")
    assert project.rehearse() == "reports/rehearsal.html"
    assert project.own() == before
    for name in ("arrivals", "deployed", "schedule", "mlflow.db"):
        assert not (project.root / name).exists(), name
    return project


def test_all_that_is_broken_is_refused_and_nothing_is_lost(rehearsed: Project) -> None:
    split = Split.read(rehearsed.root / "data" / "split.json")
    free = [one for one in split.objects.values() if one.fold != 0]
    last = rehearsed.figures()["batches"][-1]
    assert last["slipped"] == last["lost"] == [] and last["refused_though_whole"] == {}
    assert last["labelled"] == len(free) == len(rehearsed.labelled())
    assert last["mislabelled"] == last["arrived"]["mislabelled"] == round(0.05 * len(free))
    assert sum(last["quarantined"].values()) == last["arrived"]["damaged"] == round(0.10 * len(free))
    assert last["arrived"]["duplicate"] == round(0.05 * len(free))


def test_what_passes_the_gate_is_promoted_and_every_label_is_learned(rehearsed: Project) -> None:
    batches = rehearsed.figures()["batches"]
    assert len(batches) == 5
    passed = [batch for batch in batches if batch["outcome"] == "challenger"]
    assert passed and all(batch["champion"] == batch["versions"][MODEL] for batch in passed)
    champions = [batch["champion"] for batch in batches]
    assert champions == sorted(champions) and champions[0] == 1
    assert rehearsed.champion() == rehearsed.versions()[f"{MODEL}/{champions[-1]}"]
    passes = [json.loads(line) for line in (rehearsed.copy / "schedule" / "journal.jsonl").open()]
    learned = [one for one in passes if one["outcome"] in ("challenger", "refused")][-1]
    assert sum(learned["labels"].values()) == batches[-1]["labelled"]


def test_the_report_has_every_arm_with_its_interval_and_needs_nothing_but_itself(rehearsed: Project) -> None:
    recalls = rehearsed.figures()["mean_recall"]
    assert set(recalls) == {
        "scheduled_newest",
        "scheduled_champion",
        "forest",
        "random",
        "chosen",
        "all_at_once",
    }
    for arm in ("forest", "random", "chosen"):
        assert len(recalls[arm]) == 4
        assert all(one["low"] <= one["value"] <= one["high"] for one in recalls[arm].values())
    everything = str(rehearsed.figures()["batches"][-1]["labelled"])
    assert recalls["random"][everything] == recalls["chosen"][everything] == recalls["all_at_once"]
    page = (rehearsed.root / "reports" / "rehearsal.html").read_text()
    assert "no real data was used" in page and page.count("data:image/svg+xml") == 2
    assert "<script" not in page and 'src="http' not in page


def test_a_rehearsal_that_is_done_is_not_done_again(rehearsed: Project) -> None:
    done = (rehearsed.root / "reports" / "rehearsal.json").read_bytes()
    records = folder_digest(rehearsed.root / "data" / "rehearsal" / "batches")
    said: list[str] = []
    rehearse(rehearsed.root, said.append, lambda done, total, seconds: None)
    assert said[0].startswith("0 batches and 0 other trainings to do")
    assert (rehearsed.root / "reports" / "rehearsal.json").read_bytes() == done
    assert folder_digest(rehearsed.root / "data" / "rehearsal" / "batches") == records


def test_another_season_is_not_mixed_with_the_one_that_was_begun(rehearsed: Project) -> None:
    file = rehearsed.root / "params.yaml"
    before = file.read_text()
    file.write_text(before.replace("  batches: 3", "  batches: 2"))
    try:
        with pytest.raises(UserError, match="begun with other data or parameters: remove it"):
            rehearse(rehearsed.root, print, lambda done, total, seconds: None)
    finally:
        file.write_text(before)


@pytest.mark.soak
def test_a_season_killed_thirty_times_ends_as_an_undisturbed_one(reproduced: Path, tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    undisturbed = Project.of(reproduced, tmp_path / "undisturbed")
    undisturbed.rehearse()
    (tmp_path / "killed").mkdir()
    killed = Project.of(reproduced, tmp_path / "killed")
    rng = np.random.default_rng(1)
    for _ in range(30):
        killed.killed_when_it_says("to do, about", then=float(rng.exponential(4.0)))
    killed.rehearse()
    assert killed.labelled() == undisturbed.labelled()
    assert killed.versions() == undisturbed.versions()
    assert killed.champion() == undisturbed.champion()
    for part in ("mean_recall", "difference"):
        assert killed.figures()[part] == undisturbed.figures()[part]
