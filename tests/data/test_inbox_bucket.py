"""A watched folder or bucket: what is new is fetched once, and what can be no sequence is not fetched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from astroreel.arrivals import bucket
from astroreel.arrivals.inbox import Inbox
from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.sequences.file import write_sequence
from tests.conftest import MakeSequence

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["memory", "local", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty place of each kind."""
    if request.param == "memory":
        yield "memory://arriving/here"
        fsspec.filesystem("memory").rm("/arriving", recursive=True)
    elif request.param == "local":
        (tmp_path / "watched").mkdir()
        yield (tmp_path / "watched").as_uri()
    else:
        pytest.importorskip("s3fs")
        team = pytest.importorskip("tests.system.team")
        with team.s3() as found:
            for name, value in found.settings.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("AWS_ENDPOINT_URL", found.settings["MLFLOW_S3_ENDPOINT_URL"])
            yield f"s3://{team.BUCKET}/{tmp_path.name}"
            fsspec.get_filesystem_class("s3").clear_instance_cache()  # it remembers its server


@pytest.fixture
def content(make_sequence: MakeSequence, tmp_path: Path) -> bytes:
    write_sequence(tmp_path / "one.fits", make_sequence(seed=1))
    return (tmp_path / "one.fits").read_bytes()


def put(url: str, name: str, content: bytes) -> None:
    with fsspec.open(f"{url}/{name}", "wb") as stream:
        stream.write(content)


def test_what_is_new_is_fetched_once(url: str, content: bytes, tmp_path: Path) -> None:
    put(url, "deep/one.fits", content)
    inbox = Inbox(tmp_path / "arrivals", watch=url)
    assert inbox.fetch(NOW) == 1
    assert [receipt.outcome for receipt in inbox.receive(NOW)] == ["labelled"]
    assert Inbox(tmp_path / "arrivals", watch=url).fetch(NOW) == 0


def test_a_file_that_is_written_anew_is_fetched_anew(
    url: str, content: bytes, make_sequence: MakeSequence, tmp_path: Path
) -> None:
    inbox = Inbox(tmp_path / "arrivals", watch=url)
    put(url, "one.fits", content)
    assert inbox.fetch(NOW) == 1
    write_sequence(tmp_path / "two.fits", make_sequence(seed=2, label="supernova"))
    put(url, "one.fits", (tmp_path / "two.fits").read_bytes())
    assert inbox.fetch(NOW) == 1
    assert [receipt.outcome for receipt in inbox.receive(NOW)] == ["labelled", "labelled"]


def test_what_can_be_no_sequence_is_noted_and_not_fetched(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astroreel.arrivals.known.LARGEST_FILE", 1000)
    url = (tmp_path / "watched").as_uri()
    (tmp_path / "watched").mkdir()
    put(url, "large.fits", content)
    put(url, "notes.txt", b"hello")
    inbox = Inbox(tmp_path / "arrivals", watch=url)
    monkeypatch.setattr(bucket, "_copy", lambda *_: pytest.fail("was fetched"))
    assert inbox.fetch(NOW) == 2
    reasons = [read_json(file) for file in inbox.folders.quarantine.glob("*/reason.json")]
    assert {reason["file"]: reason["rule"] for reason in reasons} == {
        "large.fits": "size",
        "notes.txt": "suffix",
    }
    assert inbox.fetch(NOW) == 0 and not list(inbox.folders.waiting())


def test_a_file_that_is_larger_than_it_says_is_not_kept(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = (tmp_path / "watched").as_uri()
    (tmp_path / "watched").mkdir()
    put(url, "one.fits", content)
    monkeypatch.setattr(bucket, "_check", lambda *_: None)
    monkeypatch.setattr(bucket, "LARGEST_FILE", 1000)
    monkeypatch.setattr("astroreel.arrivals.known.LARGEST_FILE", 1000)
    inbox = Inbox(tmp_path / "arrivals", watch=url)
    inbox.fetch(NOW)
    assert inbox.status(NOW).quarantined == {"size": 1} and inbox.status(NOW).waiting == 0


@pytest.mark.parametrize("name", ["..%2f..%2fetc.fits", ".hidden.fits", "a b\n\u202ec.fits", "-rf.fits"])
def test_a_name_from_outside_is_made_plain(name: str, content: bytes, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe(f"/odd/{name}", content)
    inbox = Inbox(tmp_path / "arrivals", watch="memory://odd")
    try:
        assert inbox.fetch(NOW) == 1
    finally:
        store.rm("/odd", recursive=True)
    (file,) = inbox.folders.waiting()
    assert file.parent == inbox.folders.inbox and file.name.isascii() and " " not in file.name


def test_a_kill_before_it_is_remembered_fetches_it_again_and_loses_nothing(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = (tmp_path / "watched").as_uri()
    (tmp_path / "watched").mkdir()
    put(url, "one.fits", content)
    inbox = Inbox(tmp_path / "arrivals", watch=url)
    with monkeypatch.context() as killed:
        killed.setattr(Path, "touch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            inbox.fetch(NOW)
    assert inbox.fetch(NOW) == 1
    assert len(list(inbox.folders.waiting())) == 1, "the same name, so not twice"
    assert [receipt.outcome for receipt in inbox.receive(NOW)] == ["labelled"]


def test_a_place_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"inbox\.watch: nosuch://bucket: cannot be read"):
        Inbox(tmp_path / "arrivals", watch="nosuch://bucket").fetch(NOW)
