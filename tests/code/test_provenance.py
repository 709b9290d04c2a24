"""What a run says of its code and data is what git and DVC say."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from astroreel.errors import UserError
from astroreel.provenance import UNKNOWN, data_digests, provenance

LOCK = """\
schema: '2.0'
stages:
  simulate:
    cmd: python pipelines/simulate.py
    deps:
    - {path: pipelines/simulate.py, md5: 00}
    outs:
    - {path: data/simulated, hash: md5, md5: aaaa.dir, size: 3, nfiles: 1}
  split:
    cmd: python pipelines/split.py
    outs:
    - {path: data/split/pool, hash: md5, md5: bbbb, size: 3}
    - {path: data/split/test, hash: md5, md5: cccc, size: 3}
    - {path: reports/split.json}
"""


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    answer = subprocess.run(["git", "-C", str(root), *identity, *arguments], capture_output=True, check=True)
    return answer.stdout.decode().strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git repository with code, parameters and a lock file, all committed."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "code.py").write_text("x = 1\n")
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "dvc.lock").write_text(LOCK)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "all")
    return tmp_path


def test_a_clean_checkout_names_its_commit_parameters_and_data(project: Path) -> None:
    assert provenance(project) == {
        "git.commit": git(project, "rev-parse", "HEAD"),
        "git.dirty": "false",
        "params.digest": hashlib.sha256(b"seed: 1\n").hexdigest(),
        "data.data/simulated": "aaaa.dir",
        "data.data/split/pool": "bbbb",
        "data.data/split/test": "cccc",
    }


@pytest.mark.parametrize("path", ["params.yaml", "dvc.lock", "reports/metrics.json", "reports/plots/a.csv"])
def test_what_the_pipeline_writes_leaves_the_commit_clean(project: Path, path: str) -> None:
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text("seed: 2\n")
    assert provenance(project)["git.dirty"] == "false"


@pytest.mark.parametrize("path", ["src/code.py", "src/new.py", "dvc.yaml", "src/params.yaml"])
def test_any_other_change_makes_the_commit_dirty(project: Path, path: str) -> None:
    (project / path).write_text("x = 2\n")
    assert provenance(project)["git.dirty"] == "true"


def test_a_deleted_file_makes_the_commit_dirty(project: Path) -> None:
    (project / "src" / "code.py").unlink()
    assert provenance(project)["git.dirty"] == "true"


def test_the_paths_that_may_change_are_a_parameter(project: Path) -> None:
    (project / "src" / "code.py").write_text("x = 2\n")
    assert provenance(project, ignore=("src",))["git.dirty"] == "false"


def test_outside_a_repository_the_code_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance(tmp_path) == {"git.commit": UNKNOWN, "git.dirty": UNKNOWN, "params.digest": UNKNOWN}


def test_without_git_the_code_is_unknown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance(project)["git.commit"] == UNKNOWN


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["data/split"], {"data/split/pool", "data/split/test"}),
        (["data/simulated/stamps.npy"], {"data/simulated"}),
        (["data/sim"], set()),
        ([], set()),
    ],
)
def test_a_stage_keeps_the_data_that_it_reads(project: Path, inputs: list[str], expected: set[str]) -> None:
    assert data_digests(project, inputs).keys() == expected


def test_a_lock_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("a: [")
    with pytest.raises(UserError, match=r"dvc\.lock: not valid YAML"):
        provenance(tmp_path)
