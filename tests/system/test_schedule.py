"""Labels arrive and a challenger appears: ticks as processes, killed, at once, and with nothing to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from astroreel.files import file_digests
from astroreel.sequences.split import Split
from tests.system.checkout import copy_checkout, environment, run
from tests.system.stack import LENIENT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MODEL = "surrogate-rcnn"
TICK = [sys.executable, "-m", "astroreel.cli", "schedule", "tick"]


class Project:
    """A smoke run with its versions published, whose labelled objects outside the hold-out can arrive."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "registry" / "policy.yaml").write_text(LENIENT)
        yaml = YAML()
        parameters = yaml.load((root / "params.yaml").read_text())
        parameters["schedule"] |= {"cool_down_hours": 0, "labels": 10}
        with (root / "params.yaml").open("w") as stream:
            yaml.dump(parameters, stream)
        run(root, "astroreel", "registry", "publish")
        objects = Split.read(root / "data" / "split.json").objects
        self.free = sorted(
            name for name, one in objects.items() if one.fold != parameters["registry"]["fold"]
        )

    def arrive(self, count: int) -> None:
        inbox = self.root / "arrivals" / "inbox"
        inbox.mkdir(parents=True, exist_ok=True)
        for name in self.free[:count]:
            shutil.copy(self.root / "data" / "target" / f"{name}.fits", inbox)
        del self.free[:count]

    def tick(self) -> str:
        return run(self.root, *TICK).stdout.strip()

    def begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            TICK,
            cwd=self.root,
            env=environment(self.root),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def killed_at(self, step: str) -> None:
        """Begin a tick and kill it when it says that it begins a step."""
        with self.begin() as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.strip().endswith(f": {step}"):
                    os.kill(process.pid, signal.SIGKILL)
                    break
            else:
                pytest.fail(f"the tick ended before {step}")

    def journal(self) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in (self.root / "schedule" / "journal.jsonl").read_text().splitlines()
        ]

    def versions(self) -> dict[int, dict[str, Any]]:
        found = json.loads(run(self.root, "astroreel", "registry", "status", "--json").stdout)["versions"]
        return {row["version"]: row for row in found if row["name"] == MODEL}

    def ledger(self) -> list[dict[str, Any]]:
        lines = (self.root / "deployed" / "ledger.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def state(self) -> dict[str, tuple[int, int]]:
        """Every file of git, DVC and the registry: when it was written, and its size."""
        files = [file for name in (".git", ".dvc", "deployed") for file in (self.root / name).rglob("*")]
        files += [self.root / "mlflow.db"]
        return {str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in files}


@pytest.fixture(scope="module")
def project(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which a pass was killed three times, and ended by a fourth tick."""
    made = Project(copy_checkout(reproduced, tmp_path_factory.mktemp("schedule") / "project"))
    made.arrive(24)
    for step in ("fine-tune", "register", "judge"):
        made.killed_at(step)
    assert made.tick().startswith(f"challenger: {MODEL}/3")
    return made


def test_a_pass_killed_three_times_leaves_one_version_one_verdict_and_one_commit(project: Project) -> None:
    (done,) = project.journal()
    assert (done["outcome"], done["new"], sum(done["labels"].values())) == ("challenger", 24, 24)
    versions = project.versions()
    assert sorted(versions) == [1, 2, 3]
    assert (versions[3]["aliases"], versions[3]["verdict"]) == (["challenger"], "passed")
    assert [entry["event"] for entry in project.ledger()] == ["look", "verdict"]
    log = run(project.root, "git", "log", "--format=%H", "HEAD..astroreel/labelled").stdout.split()
    assert log == [done["commit"]]
    assert not (project.root / "schedule" / "under_way.json").exists()
    folder = project.root / "schedule" / "passes" / done["id"]
    assert (folder / "pass.html").exists()
    assert not (folder / "models").exists(), "the registry has them"


def test_a_tick_with_nothing_to_do_touches_nothing_and_loads_nothing_heavy(project: Project) -> None:
    before = project.state()
    forecast = run(project.root, *TICK, "--dry-run").stdout
    assert forecast == "would do: nothing: no new label; 0 files wait in the inbox\n"
    code = (
        "import sys; from pathlib import Path; from astroreel.schedule.tick import tick; "
        "print(tick(Path()).told); print(*{'torch', 'mlflow', 'dvc', 'ray', 'matplotlib'} & set(sys.modules))"
    )
    said = run(project.root, sys.executable, "-c", code).stdout
    assert said == "nothing: no new label\n\n"
    assert project.state() == before
    shown = run(project.root, "astroreel", "schedule", "status").stdout.splitlines()
    assert [line.split()[2] for line in shown[1:]] == ["challenger", "nothing"]


def test_from_a_version_the_labelled_set_comes_back_and_measures_the_same(
    project: Project, tmp_path: Path
) -> None:
    told = run(project.root, "astroreel", "registry", "lineage", f"{MODEL}/3", "--json").stdout
    lineage = json.loads(told)
    copy = tmp_path / "copy"
    run(project.root, "git", "worktree", "add", "--quiet", "--detach", str(copy), lineage["code"]["commit"])
    (copy / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {project.root / '.dvc' / 'cache'}\n")
    run(copy, "dvc", "checkout", "--quiet", "labelled.dvc")
    assert file_digests(copy / "labelled" / "labelled") == file_digests(
        project.root / "arrivals" / "labelled"
    )
    assert lineage["data"]["labelled"] in (copy / "labelled.dvc").read_text()
    done = project.journal()[0]
    before = json.loads((project.root / "schedule" / "passes" / done["id"] / "verdict.json").read_text())
    again = json.loads(run(project.root, "astroreel", "registry", "gate", f"{MODEL}/3", "--json").stdout)
    assert again["holdout"] == before["holdout"]
    for one, other in zip(again["rules"], before["rules"], strict=True):
        assert one == other or one["name"].startswith("milliseconds")


def test_of_eight_ticks_at_once_one_works_and_seven_say_so(project: Project) -> None:
    project.arrive(24)
    known = len(project.journal())
    ticks = [project.begin() for _ in range(8)]
    waiting = set(ticks)
    while len(waiting) > 1:  # the seven end while the one works
        waiting = {tick for tick in waiting if tick.poll() is None}
        time.sleep(0.1)
    said = [tick.communicate()[0].strip() for tick in ticks]
    assert [tick.returncode for tick in ticks] == [0] * 8
    busy = [line for line in said if line.startswith("busy: already running (")]
    assert len(busy) == 7
    assert sum(line.startswith(f"challenger: {MODEL}/4") for line in said) == 1
    assert len(project.journal()) == known + 1
    assert sorted(project.versions()) == [1, 2, 3, 4]
