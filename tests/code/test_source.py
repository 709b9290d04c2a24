"""Where the target's data come from: a folder, a clone of the public repository, or none, loudly."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from astroreel import source
from astroreel.errors import UserError
from astroreel.source import (
    CLONE,
    NEIGHBOUR,
    Source,
    clone_public,
    find_source,
    is_hits_folder,
    read_survey,
    source_digest,
    verify_source,
    verify_survey,
)
from astroreel.survey.survey import load_survey


def make_hits(folder: Path, content: str = "stamps") -> Path:
    """A folder with the layout of the public files."""
    for name in ("real_stamps", "Blind15A_info"):
        (folder / "real_obs" / name).mkdir(parents=True, exist_ok=True)
        (folder / "real_obs" / name / "file").write_text(content)
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit_all(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "content")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder without any data near it."""
    root = tmp_path / "house" / "project"
    root.mkdir(parents=True)
    return root


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands in for the public repository: the pinned commit is not its newest."""
    folder = make_hits(tmp_path / "public", "as pinned")
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "large").write_text("not needed")
    git(folder, "init", "--quiet")
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(folder, "config", key, "true")
    monkeypatch.setattr(source, "PINNED_COMMIT", commit_all(folder))
    make_hits(folder, "changed since")
    commit_all(folder)
    monkeypatch.setattr(source, "PUBLIC_REPOSITORY", folder.as_uri())
    return folder


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PUBLIC_REPOSITORY", (tmp_path / "unreachable").as_uri())


def silent(line: str) -> None:
    raise AssertionError(f"said {line!r}")


def test_a_named_folder_is_taken_and_pinned_by_its_digest(root: Path) -> None:
    folder = make_hits(root.parent / "mine")
    found = find_source(root, "hits", "../mine", silent)
    assert found == Source(request="hits", target="hits", path="../mine", digest=source_digest(folder))
    assert verify_source(root, found).samefile(folder)


def test_a_named_folder_without_hits_files_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"^elsewhere: no real_obs/real_stamps in this folder: name a HiTS"):
        find_source(root, "hits", "elsewhere", silent)


def test_the_neighbour_comes_before_a_clone(root: Path) -> None:
    make_hits(root / NEIGHBOUR, "neighbour")
    make_hits(root / CLONE, "clone")
    assert find_source(root, "auto", "", silent).path == NEIGHBOUR.as_posix()


def test_a_clone_made_before_needs_no_network(root: Path, no_network: None) -> None:
    make_hits(root / CLONE)
    assert find_source(root, "auto", "", silent).path == CLONE.as_posix()


def test_without_data_at_hand_the_pinned_commit_is_fetched(root: Path, public: Path) -> None:
    said: list[str] = []
    found = find_source(root, "auto", "", said.append)
    assert (found.target, found.path) == ("hits", CLONE.as_posix())
    assert (root / CLONE / "real_obs/real_stamps/file").read_text() == "as pinned"
    assert [entry.name for entry in (root / CLONE).iterdir()] == ["real_obs"]
    assert [entry.name for entry in (root / CLONE).parent.iterdir()] == [CLONE.name]
    assert "Fetching" in said[0] and len(said) == 1


def test_a_fetch_inside_a_git_hook_leaves_the_repository_of_the_hook_alone(
    root: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(root, "init", "--quiet")
    before = (root / ".git" / "config").read_text()
    monkeypatch.setenv("GIT_DIR", str(root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(root))
    clone_public(root / CLONE, lambda line: None)
    assert is_hits_folder(root / CLONE)
    assert (root / ".git" / "config").read_text() == before


@pytest.mark.parametrize("commit", ["0" * 40, "no-such-branch"])
def test_a_fetch_that_fails_leaves_nothing_behind(
    root: Path, public: Path, monkeypatch: pytest.MonkeyPatch, commit: str
) -> None:
    monkeypatch.setattr(source, "PINNED_COMMIT", commit)
    with pytest.raises(UserError, match="cannot be fetched") as caught:
        find_source(root, "hits", "", lambda line: None)
    assert "\n" not in str(caught.value)
    assert list((root / CLONE).parent.iterdir()) == []


def test_a_repository_without_hits_files_is_refused(
    root: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(public, "rm", "-r", "--quiet", "real_obs/real_stamps")
    monkeypatch.setattr(source, "PINNED_COMMIT", commit_all(public))
    with pytest.raises(UserError, match="no real_obs/real_stamps at"):
        clone_public(root / CLONE, lambda line: None)
    assert list((root / CLONE).parent.iterdir()) == []


def test_with_nothing_to_be_had_the_target_is_a_surrogate_and_that_is_said(
    root: Path, no_network: None
) -> None:
    said: list[str] = []
    assert find_source(root, "auto", "", said.append) == Source(request="auto", target="surrogate")
    assert "cannot be fetched" in said[0]
    assert "SURROGATE" in said[1]
    assert list(root.iterdir()) == []


def test_where_hits_was_asked_for_there_is_no_surrogate(root: Path, no_network: None) -> None:
    with pytest.raises(UserError, match="cannot be fetched"):
        find_source(root, "hits", "", silent)


def test_a_surrogate_asked_for_looks_for_nothing(root: Path) -> None:
    make_hits(root / NEIGHBOUR)
    assert find_source(root, "surrogate", "", silent) == Source(request="surrogate", target="surrogate")


def fake_git(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str | None) -> None:
    """Put a git of our own, or none, on the path."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    if script is not None:
        (bin_folder / "git").write_text(f"#!/bin/sh\n{script}\n")
        (bin_folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder))


def test_a_network_that_swallows_everything_is_given_up(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path, monkeypatch, "exec /bin/sleep 60")
    monkeypatch.setattr(source, "_REACH_SECONDS", 0.2)
    said: list[str] = []
    assert find_source(root, "auto", "", said.append).target == "surrogate"
    assert "no answer within 0.2 s" in said[0]


def test_finding_that_there_is_no_network_takes_a_new_user_at_most_15_seconds() -> None:
    assert source._REACH_SECONDS <= 15


def test_a_machine_without_git_is_told_so(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path, monkeypatch, None)
    with pytest.raises(UserError, match=r"^git: not installed"):
        find_source(root, "hits", "", silent)


def test_git_asks_the_user_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path, monkeypatch, f'echo "$GIT_TERMINAL_PROMPT $GIT_SSH_COMMAND" > {tmp_path}/told; exit 1')
    with pytest.raises(UserError, match="git failed"):
        clone_public(root / CLONE, silent)
    assert (tmp_path / "told").read_text() == "0 ssh -oBatchMode=yes\n"
    assert "GIT_TERMINAL_PROMPT" not in os.environ


def test_data_that_changed_since_they_were_pinned_are_refused(root: Path) -> None:
    make_hits(root.parent / "mine")
    pinned = find_source(root, "hits", "../mine", silent)
    make_hits(root.parent / "mine", "other stamps")
    with pytest.raises(UserError, match=r"its digest is [0-9a-f]{12}, source\.digest is [0-9a-f]{12}"):
        verify_source(root, pinned)


def test_data_that_are_gone_since_they_were_pinned_are_named(root: Path) -> None:
    with pytest.raises(
        UserError, match=r"mine: source\.path names no HiTS folder: run `astroreel configure`"
    ):
        verify_source(root, Source(request="hits", target="hits", path="../mine", digest="0"))


def test_a_survey_that_comes_with_the_package_needs_no_digest(root: Path) -> None:
    found = find_source(root, "ztf", "", silent)
    assert found == Source(request="ztf", target="ztf")
    verify_survey(root, found)


def test_a_survey_file_that_changed_since_it_was_pinned_is_refused(root: Path) -> None:
    own = load_survey("lsst").model_copy(update={"name": "own"})
    (root / "own.yaml").write_text(own.model_dump_json())
    pinned = find_source(root, "own.yaml", "", silent)
    verify_survey(root, pinned)
    assert read_survey(root, pinned.survey) == own
    (root / "own.yaml").write_text(own.model_copy(update={"exptime": 45.0}).model_dump_json())
    with pytest.raises(UserError, match=r"own\.yaml: its digest is .*: the data changed; run"):
        verify_survey(root, pinned)


def test_only_what_the_conversion_reads_is_in_the_digest(root: Path) -> None:
    folder = make_hits(root.parent / "mine")
    before = source_digest(folder)
    (folder / "README").write_text("beside")
    assert source_digest(folder) == before
    (folder / "real_obs" / "more").touch()
    assert source_digest(folder) != before
