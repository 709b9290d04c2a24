"""The inbox: the good goes in once, the bad into quarantine with its reason, and nothing is lost."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from astroreel.arrivals.inbox import Inbox
from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.sequences.file import read_folder, write_sequence
from astroreel.sequences.record import Sequence
from tests.conftest import MakeSequence
from tests.data.bad_files import KINDS, write_bad_files

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def drop(make_sequence: MakeSequence, tmp_path: Path) -> Callable[..., Inbox]:
    """A function that drops one sequence into the inbox and has it received."""
    inbox = Inbox(tmp_path)
    inbox.folders.inbox.mkdir(parents=True)
    count = iter(range(1000))

    def dropped(seed: int = 0, epochs: int = 10, **header: object) -> str:
        sequence = make_sequence(epochs, seed, **header)
        write_sequence(inbox.folders.inbox / f"{next(count)}.fits", sequence)
        (receipt,) = inbox.receive(NOW)
        return receipt.rule or receipt.outcome

    dropped.inbox = inbox  # type: ignore[attr-defined]
    return dropped


def test_a_good_file_enters_the_labelled_set_as_it_was(drop) -> None:
    assert drop(seed=3, label="supernova") == "labelled"
    (sequence,) = read_folder(drop.inbox.folders.labelled)
    assert (sequence.name, sequence.label) == ("object-3", "supernova")
    assert drop.inbox.status(NOW).labelled == {"supernova": 1}


def test_a_damaged_file_in_the_labelled_set_is_not_taken_for_a_fault_of_what_arrives(drop) -> None:
    drop(seed=3)
    (kept,) = drop.inbox.folders.labelled.iterdir()
    kept.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"{kept.name}: unreadable"):
        drop(seed=4)
    assert drop.inbox.folders.quarantine.exists() is False and len(list(drop.inbox.folders.waiting())) == 1


def test_a_file_without_a_label_waits_for_one_and_then_gets_it(drop) -> None:
    assert drop(label="") == "unlabelled"
    assert drop.inbox.status(NOW).unlabelled == 1
    assert drop(label="supernova") == "labelled"
    assert drop.inbox.status(NOW).unlabelled == 0


@pytest.mark.parametrize("header", [{}, {"name": "another"}, {"label": ""}, {"field": "elsewhere"}])
def test_the_same_observations_again_are_a_duplicate(drop, header: dict[str, object]) -> None:
    drop()
    assert drop(**header) == "duplicate"
    assert len(read_folder(drop.inbox.folders.labelled)) == 1


def test_the_same_place_is_the_same_object(drop) -> None:
    drop(seed=1, ra=150.0, dec=2.0)
    assert drop(seed=2, ra=150.0 + 0.3 / 3600, dec=2.0, label="supernova") == "contradiction"
    assert drop(seed=3, ra=150.0 + 3.0 / 3600, dec=2.0, label="supernova") == "labelled"


def test_more_epochs_of_an_object_take_the_place_of_fewer(drop) -> None:
    assert drop(epochs=10) == "labelled"
    assert drop(epochs=8) == "duplicate"
    assert drop(epochs=15) == "labelled"
    (sequence,) = read_folder(drop.inbox.folders.labelled)
    assert len(sequence) == 15


def test_a_relabelling_supersedes_and_the_old_file_is_kept(drop) -> None:
    drop(label="rr_lyrae", label_confidence=0.6)
    assert drop(label="supernova", label_confidence=0.5) == "contradiction"
    assert drop(label="supernova", label_confidence=0.9) == "relabelled"
    assert drop.inbox.status(NOW).labelled == {"supernova": 1}
    (old,) = read_folder(drop.inbox.folders.replaced)
    assert old.label == "rr_lyrae"
    (trace,) = drop.inbox.folders.replaced.glob("*.json")
    found = read_json(trace)
    assert (found["object"], found["when"]) == (old.name, "2026-01-01T00:00:00+00:00")
    assert (found["was"]["label"], found["was"]["confidence"]) == ("rr_lyrae", 0.6)
    assert (found["is"]["label"], found["is"]["confidence"]) == ("supernova", 0.9)


def test_the_status_counts_by_class_age_and_reason(drop) -> None:
    assert drop(seed=1, label="supernova") == "labelled"
    assert drop(seed=1, label="supernova") == "duplicate"
    assert drop(seed=2, label="") == "unlabelled"
    assert drop(seed=3, label="rr_lyrae", label_confidence=0.5) == "labelled"
    assert drop(seed=3, label="cepheid", label_confidence=1.0) == "relabelled"
    (drop.inbox.folders.inbox / "late.fits").write_bytes(b"")
    status = drop.inbox.status(NOW + timedelta(days=10))
    assert status.labelled == {"cepheid": 1, "supernova": 1} and status.reserved == {}
    assert status.quarantined == {"duplicate": 1}
    assert (status.unlabelled, status.replaced, status.waiting) == (1, 1, 1)
    assert status.ages == {"day": 0, "week": 0, "month": 2, "older": 0}
    assert status.newest_age_days == status.oldest_age_days == pytest.approx(10)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("future", lambda s: s.epochs["mjd"].__iadd__(10_000.0)),
        ("cadence", lambda s: s.epochs["exptime"].__iadd__(90_000.0)),
        ("finite", lambda s: s.stamps[:, :12].fill(np.nan)),
        ("saturated", lambda s: s.stamps[:, 10, 10].fill(50_000.0)),
        ("sky", lambda s: s.stamps.__imul__(5.0)),
        ("noise", lambda s: s.stamps.__isub__(0.9 * (s.stamps - s.epochs["sky"][:, None, None]))),
    ],
)
def test_what_makes_no_sense_is_quarantined_with_its_reason(
    make_sequence: MakeSequence, tmp_path: Path, rule: str, change: Callable[[Sequence], object]
) -> None:
    sequence = make_sequence()
    sequence = replace(sequence, stamps=sequence.stamps.copy(), epochs=sequence.epochs.copy())
    change(sequence)
    inbox = Inbox(tmp_path)
    inbox.folders.inbox.mkdir()
    write_sequence(inbox.folders.inbox / "odd.fits", sequence)
    (receipt,) = inbox.receive(NOW)
    assert (receipt.outcome, receipt.rule) == ("quarantined", rule)
    (reason,) = inbox.folders.quarantine.glob("*/reason.json")
    assert read_json(reason)["rule"] == rule and read_json(reason)["file"] == "odd.fits"
    assert (reason.parent / "file").exists()


def check_all_quarantined(tmp_path: Path, good: Sequence, n: int) -> None:
    inbox = Inbox(tmp_path / "arrivals")
    kinds = write_bad_files(inbox.folders.inbox, good, n, seed=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    receipts = inbox.receive(NOW)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = [kind for kind, receipt in zip(kinds, receipts, strict=True) if receipt.outcome != "quarantined"]
    assert taken == []
    assert not list(inbox.folders.labelled.glob("*")) and not list(inbox.folders.inbox.glob("*"))
    reasons = [read_json(path) for path in inbox.folders.quarantine.glob("*/reason.json")]
    assert len(reasons) == n and all(reason["rule"] and reason["detail"] for reason in reasons)
    assert after - before < 300_000, "kilobytes: a few times the largest file"


def test_bad_files_of_all_kinds_are_quarantined(make_sequence: MakeSequence, tmp_path: Path) -> None:
    check_all_quarantined(tmp_path, make_sequence(), 8 * len(KINDS))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_five_thousand_bad_files_are_quarantined(make_sequence: MakeSequence, tmp_path: Path) -> None:
    check_all_quarantined(tmp_path, make_sequence(), 5000)


def test_links_and_other_files_are_quarantined_as_they_are(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    (inbox.folders.inbox / "deep").mkdir(parents=True)
    (inbox.folders.inbox / "deep" / "link.fits").symlink_to("/etc/passwd")
    (inbox.folders.inbox / "notes.txt").write_text("hello")
    assert Counter(receipt.rule for receipt in inbox.receive(NOW)) == {"no_file": 1, "suffix": 1}
    assert list(inbox.folders.waiting()) == []
    assert Path("/etc/passwd").exists()


def test_adding_copies_and_names_what_is_not_there(make_sequence: MakeSequence, tmp_path: Path) -> None:
    write_sequence(tmp_path / "mine" / "a.fits", make_sequence(seed=1))
    write_sequence(tmp_path / "mine" / "b" / "a.fits", make_sequence(seed=2))
    inbox = Inbox(tmp_path / "arrivals")
    assert inbox.add([tmp_path / "mine"]) == 2
    assert Counter(receipt.outcome for receipt in inbox.receive(NOW)) == {"labelled": 2}
    assert (tmp_path / "mine" / "a.fits").exists()
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        inbox.add([tmp_path / "nowhere"])


RECEIVE = "import sys; from pathlib import Path; from astroreel.arrivals.inbox import Inbox; "
RECEIVE += "print('ready', flush=True); Inbox(Path(sys.argv[1])).receive()"


def test_killed_and_started_again_it_ends_as_if_it_had_not_been(
    make_sequence: MakeSequence, tmp_path: Path
) -> None:
    names = []
    for seed in range(40):
        label = "supernova" if seed % 2 else "rr_lyrae"
        sequence = make_sequence(seed=seed % 30, label=label, label_confidence=seed / 40)
        write_sequence(tmp_path / "inbox" / f"{seed:02d}.fits", sequence)
        names.append(sequence.name)
    rng = np.random.default_rng(1)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", RECEIVE, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(timeout=rng.uniform(0.02, 0.2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    inbox = Inbox(tmp_path)
    inbox.receive()
    kept = read_folder(inbox.folders.labelled)
    assert sorted(kept.objects["name"]) == sorted(set(names))
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in (".fits", "")]
    files = [path for path in files if path.name != ".lock"]
    assert len(files) == 40, "each file is somewhere, once"
