"""Files are whole or absent, and where they cannot be written a user is told so in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroreel.errors import UserError
from astroreel.files import (
    check_file,
    check_new_folder,
    folder_digest,
    read_json,
    replacing_file,
    replacing_folder,
    write_json,
    write_text,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
#: Names and contents of the files of a folder.
TREES = st.dictionaries(st.sampled_from(["a", "b", "sub/a", "sub/b"]), st.binary(max_size=4), max_size=4)

Replacing = Callable[[Path], AbstractContextManager[Path]]


def lay(folder: Path, tree: dict[str, bytes]) -> Path:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@settings(max_examples=40, deadline=None)
@given(value=JSON)
def test_json_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_equal_json_is_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "one", {"a": 1, "b": 2})
    write_json(tmp_path / "two", {"b": 2, "a": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_is_no_number_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "value.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_into_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "deep" / "file", "text")
    assert (tmp_path / "new" / "deep" / "file").read_text() == "text"


def test_a_failure_while_writing_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="interrupted"), replacing_file(path) as scratch:
        scratch.write_text("half")
        raise RuntimeError("interrupted")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_while_writing_leaves_the_old_folder_alone(tmp_path: Path) -> None:
    path = lay(tmp_path / "folder", {"old": b"1"})
    with pytest.raises(RuntimeError, match="interrupted"), replacing_folder(path) as scratch:
        (scratch / "half").touch()
        raise RuntimeError("interrupted")
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = lay(tmp_path / "folder", {"old": b"1", "sub/a": b"2"})
    with replacing_folder(path) as scratch:
        (scratch / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("replacing", [replacing_file, replacing_folder])
def test_below_a_file_nothing_can_be_written(tmp_path: Path, replacing: Replacing) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "inside"
    with pytest.raises(UserError, match=r"inside: cannot write here \(.*file is no folder\): choose another"):
        replacing(path).__enter__()


@pytest.mark.parametrize("replacing", [replacing_file, replacing_folder])
def test_a_folder_that_refuses_even_root_is_named(replacing: Replacing) -> None:
    with pytest.raises(
        UserError, match=r"^/proc/astroreel: cannot write here \(.+\): choose another folder$"
    ):
        replacing(Path("/proc/astroreel")).__enter__()


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    folder = lay(tmp_path / "folder", {"a": b"1"})
    with pytest.raises(UserError, match=r"folder: cannot write here \(Is a directory\)"):
        write_text(folder, "text")
    assert (folder / "a").read_bytes() == b"1"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_does_not_replace_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    with (
        pytest.raises(UserError, match=r"file: cannot write here \(Not a directory\)"),
        replacing_folder(path),
    ):
        pass
    assert path.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file$"), (b"{", "not valid JSON"), (b"\xff", "not valid JSON"), ("folder", "cannot be")],
)
def test_json_that_cannot_be_read_is_named(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "value.json"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"value\.json: {message}"):
        read_json(path)


def test_a_new_folder_is_one_where_nothing_is_yet(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "new", tmp_path / "new" / "deep", tmp_path / "empty"):
        check_new_folder(path)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("name", ["full", "file", "dangling"])
def test_a_folder_that_holds_something_is_no_new_folder(tmp_path: Path, name: str) -> None:
    lay(tmp_path, {"full/a": b"", "file": b""})
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=f"{name}: is there already: name a new folder"):
        check_new_folder(tmp_path / name)


@pytest.mark.parametrize("check", [check_new_folder, check_file])
def test_no_place_below_a_file_is_one_to_write_to(tmp_path: Path, check: Callable[[Path], None]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write here \(.*file is no folder\)"):
        check(tmp_path / "file" / "deep" / "er")


@pytest.mark.parametrize("check", [check_new_folder, check_file])
def test_a_read_only_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write
    with pytest.raises(UserError, match="is read-only"):
        check(tmp_path / "new")


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder: name a file"):
        check_file(tmp_path)


@settings(max_examples=60, deadline=None)
@given(one=TREES, two=TREES)
def test_folders_have_one_digest_exactly_where_they_hold_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], two: dict[str, bytes]
) -> None:
    base = tmp_path_factory.mktemp("digest")
    digests = [folder_digest(lay(base / name, tree)) for name, tree in (("one", one), ("two", two))]
    assert (digests[0] == digests[1]) == (one == two)
