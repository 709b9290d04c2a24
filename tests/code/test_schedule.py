"""The schedule's parts: lock, journal, trigger, labels, and the version of the labelled set."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from astroreel.errors import UserError
from astroreel.files import file_digest
from astroreel.parameters import Parameters, preset
from astroreel.schedule.config import ScheduleConfig
from astroreel.schedule.home import Home
from astroreel.schedule.journal import Journal, Pass
from astroreel.schedule.labels import Label, digest_of, read_labels, unseen
from astroreel.schedule.learning import Learner, OverBudget, better, half_of
from astroreel.schedule.lock import Busy, locked
from astroreel.schedule.notify import notify
from astroreel.schedule.repository import Repository, git
from astroreel.schedule.trigger import decide, hindrance
from astroreel.sequences.file import write_sequence
from tests.conftest import MakeSequence

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CONFIG = ScheduleConfig(labels=5, labels_a_class=3, age_days=10, cool_down_hours=6, runs_a_day=2)


def done(outcome: str = "challenger", hours: float = 1.0, identity: str = "a") -> Pass:
    """A pass that took a quarter of an hour and began ``hours`` ago."""
    return Pass(identity, (NOW - timedelta(hours=hours)).isoformat(), 900.0, outcome, "why")  # type: ignore[arg-type]


def label(name: str, of: str = "supernova", days: float = 0.0) -> Label:
    since = (NOW - timedelta(days=days)).isoformat()
    return Label(name, of, "f1", 1.0, f"sha-{name}", since, 1, 1)


def some(*labels: Label) -> dict[str, Label]:
    return {f"{one.name}.fits": one for one in labels}


# ---- lock


HOLD = """
import sys, time
from pathlib import Path
from astroreel.schedule.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_held_lock_is_refused_at_once_and_its_holder_named(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with (
        pytest.raises(Busy, match=rf"^already running \(pid {holder.pid} on .*, since 20"),
        locked(tmp_path / "lock"),
    ):
        pass


def test_the_lock_of_a_dead_process_is_taken_over_and_said(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "lock") as dead:
        assert dead is not None
        assert dead.pid == holder.pid
    with locked(tmp_path / "lock") as dead:
        assert dead is None


# ---- journal


def test_the_journal_gives_back_what_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    written = [replace(done(), labels={"supernova": 3}, versions={"hits-rcnn": 2}), done("nothing")]
    assert journal.passes() == []
    for one in written:
        journal.append(one)
    assert journal.passes() == written


def test_a_line_cut_short_by_a_kill_is_no_pass_and_the_next_takes_its_place(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(done(identity="a"))
    with journal.path.open("ab") as stream:
        stream.write(json.dumps(asdict(done(identity="b"))).encode()[:50])
    assert [one.id for one in journal.passes()] == ["a"]
    journal.append(done(identity="c"))
    assert [one.id for one in journal.passes()] == ["a", "c"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(done())
    journal.path.write_text(journal.path.read_text() + "{}\n")
    with pytest.raises(UserError, match="line 2 is no record of a pass"):
        journal.passes()


# ---- trigger


def test_enough_new_labels_begin_a_pass_and_fewer_do_not() -> None:
    labels = some(*(label(f"o{i}", ("supernova", "rr_lyrae")[i % 2]) for i in range(5)))
    assert decide(CONFIG, labels, labels, "", NOW).reason == "5 new labels"
    fewer = dict(list(labels.items())[:4])
    decision = decide(CONFIG, labels, fewer, "", NOW)
    assert (decision.begin, decision.reason) == (False, "4 new labels, 5 begin a pass")


def test_enough_new_labels_of_one_class_begin_a_pass() -> None:
    known = some(label("old", "rr_lyrae"))
    new = some(*(label(f"o{i}") for i in range(3)))
    assert decide(CONFIG, known | new, new, "", NOW).reason == "3 new labels of supernova"


def test_a_new_label_that_has_waited_too_long_begins_a_pass() -> None:
    known, new = some(label("old", "rr_lyrae", 99)), some(label("o", days=10.5))
    assert decide(CONFIG, known | new, new, "", NOW).reason == "a new label is 10.5 days old"
    assert not decide(CONFIG, known | new, some(label("o", days=9.5)), "", NOW).begin


def test_drift_begins_a_pass_where_there_is_something_new_to_learn_and_asks_for_labels_else() -> None:
    known, new = some(label("old", "rr_lyrae")), some(label("o"))
    assert decide(CONFIG, known | new, new, "the sky drifted", NOW).begin
    decision = decide(CONFIG, known, {}, "the sky drifted", NOW)
    assert not decision.begin
    assert "astroreel inbox ask" in decision.reason


def test_labels_of_one_class_alone_begin_nothing() -> None:
    labels = some(*(label(f"o{i}") for i in range(9)))
    assert (
        decide(CONFIG, labels, labels, "", NOW).reason == "every label is supernova: a second class is needed"
    )


@pytest.mark.parametrize(
    ("passes", "told"),
    [
        ([], ""),
        ([done(hours=5)], "cooling down: 4.8 of 6 h"),
        ([done(hours=6.3)], ""),
        ([done("failed", hours=1)], ""),
        ([done("failed", hours=2), done("failed", hours=1)], "2 passes within 24 hours, 2 are allowed"),
        ([done("failed", hours=25), done("refused", hours=23)], ""),
        ([done("nothing", hours=1, identity="")] * 9, ""),
    ],
)
def test_a_pass_waits_for_the_cool_down_and_for_the_budget_of_runs(passes: list[Pass], told: str) -> None:
    assert hindrance(CONFIG, passes, NOW)[: len(told) or None] == told


# ---- labels


def test_a_labelled_file_is_read_once_and_again_when_it_changes(
    tmp_path: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, folder = Home(tmp_path), tmp_path / "labelled"
    for name in ("a", "b"):
        write_sequence(folder / f"{name}.fits", make_sequence(8, name=name, label="supernova", field="f1"))
    first = read_labels(home, folder, NOW)
    assert {one.name for one in first.values()} == {"a", "b"}
    write_sequence(folder / "b.fits", make_sequence(8, name="b", label="rr_lyrae", field="f1"))
    later = read_labels(home, folder, NOW + timedelta(days=1))
    assert later["a.fits"] == first["a.fits"]
    assert (later["b.fits"].label, later["b.fits"].since) == ("rr_lyrae", "2026-05-02T12:00:00+00:00")
    assert digest_of(later) != digest_of(first)
    assert set(unseen(later, {name: one.sha256 for name, one in first.items()})) == {"b.fits"}
    monkeypatch.setattr("astroreel.sequences.file.read_sequence", lambda path: pytest.fail("read again"))
    assert read_labels(home, folder, NOW) == later


# ---- which parent


def test_the_parent_of_the_lower_loss_is_taken_and_the_pretrained_one_without_a_difference() -> None:
    assert better({"pretrained": 0.5, "champion": 0.4}) == "champion"
    assert better({"champion": 0.4, "pretrained": 0.4}) == "pretrained"
    assert better({}) == "pretrained"


def test_fields_fall_into_halves_of_like_size_and_always_into_the_same() -> None:
    halves = np.array([half_of(f"field-{index}") for index in range(2000)])
    assert abs(halves.mean() - 0.5) < 0.05
    assert [half_of("Blind15A_04"), half_of("Blind15A_01")] == [0, 1]


def test_a_comparison_goes_to_another_machine_without_what_was_read() -> None:
    learner = Learner(
        Path("root"), Path("labelled"), parameters(), frozenset({"f1"}), {"pretrained": Path("p")}
    )
    learner.__dict__["_material"] = "read"
    away = pickle.loads(pickle.dumps(replace(learner)._losses))  # noqa: S301 - our own bytes
    assert away.__self__ == learner
    assert "_material" not in away.__self__.__dict__


def test_one_parent_or_fields_of_one_half_leave_nothing_to_compare() -> None:
    parents = {"pretrained": Path("p"), "champion": Path("c")}
    fields = frozenset({"Blind15A_02", "Blind15A_03"})
    for new, among in ((fields, parents), (fields | {"Blind15A_01"}, {"pretrained": Path("p")})):
        assert Learner(Path("root"), Path("labelled"), parameters(), new, among).compare() == {}


def test_fine_tuning_is_given_up_at_its_deadline() -> None:
    learner = Learner(Path("root"), Path("labelled"), parameters(), frozenset(), {}, deadline=0.0)
    with pytest.raises(OverBudget, match=r"^schedule\.minutes: 60 min were over after 3 of 20 iterations"):
        learner._within_budget(3, 20)


def parameters() -> Parameters:
    return Parameters.model_validate({**preset("smoke"), "source": {"target": "surrogate"}})


# ---- the version of the labelled set


class Project:
    """A repository with DVC, parameters, a labelled set of two files, and a person's unfinished work."""

    def __init__(self, root: Path) -> None:
        self.root, self.worktree = root, root / "schedule" / "worktree"
        (root / "arrivals" / "labelled").mkdir(parents=True)
        self.write("a", "1")
        self.write("b", "2")
        (root / ".gitignore").write_text("/arrivals/\n/schedule/\n/labelled/\n")
        for name in ("params.yaml", "dvc.lock", "code.py"):
            (root / name).write_text(f"# {name}\n")
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run(sys.executable, "-m", "dvc", "init", "--quiet")
        self.commit("begin")
        (root / "code.py").write_text("# changed, not committed\n")
        (root / "code.py.new").write_text("# staged\n")
        self.run("git", "add", "code.py.new")

    def write(self, name: str, content: str) -> None:
        (self.root / "arrivals" / "labelled" / f"{name}.fits").write_text(content)

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", message)

    def version(self, branch: str = "labelled-set") -> tuple[str, str]:
        files = {file.name: file_digest(file) for file in (self.root / "arrivals" / "labelled").iterdir()}
        repository = Repository(self.root, self.worktree, branch)
        made = repository.version(self.root / "arrivals", files, f"Labelled set of {len(files)} objects")
        return made.commit, made.md5

    def state(self) -> tuple[str, ...]:
        """All of a person's: branch, index and working tree."""
        return (
            self.run("git", "status", "--porcelain", "--branch"),
            self.run("git", "diff"),
            self.run("git", "diff", "--cached"),
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def test_a_version_is_a_commit_on_its_branch_and_touches_nothing_of_a_persons(project: Project) -> None:
    before = project.state()
    commit, md5 = project.version()
    assert project.state() == before
    assert git(project.root, "rev-parse", "labelled-set") == commit
    assert md5 in git(project.root, "show", f"{commit}:labelled.dvc")
    assert git(project.root, "show", f"{commit}:code.py") == "# code.py"
    assert git(project.root, "log", "-1", "--format=%an %P", commit).split() == [
        *("astroreel", "schedule"),
        git(project.root, "rev-parse", "main"),
    ]


def test_a_version_made_twice_is_made_once_and_a_killed_git_is_no_hindrance(project: Project) -> None:
    first = project.version()
    Path(git(project.worktree, "rev-parse", "--absolute-git-dir"), "index.lock").touch()
    assert project.version() == first
    assert git(project.root, "rev-list", "--count", "main..labelled-set") == "1"


def test_it_is_known_which_version_the_working_tree_holds(project: Project) -> None:
    repository = Repository(project.root, project.worktree, "labelled-set")
    _, first = project.version()
    project.write("b", "changed")
    _, second = project.version()
    assert [repository.holds(md5) for md5 in (first, second)] == [False, True]
    shutil.rmtree(project.worktree)
    assert not repository.holds(second)
    assert project.version()[1] == second
    assert {file.name for file in repository.labelled.iterdir()} == {"a.fits", "b.fits"}


def test_from_each_commit_the_exact_labelled_set_comes_back(project: Project, tmp_path: Path) -> None:
    first, _ = project.version()
    project.write("b", "changed")
    project.write("c", "3")
    second, _ = project.version()
    assert git(project.root, "rev-list", "--count", f"{first}..{second}") == "1"
    for commit, content in ((first, {"a": "1", "b": "2"}), (second, {"a": "1", "b": "changed", "c": "3"})):
        copy = tmp_path / commit
        project.run("git", "worktree", "add", "--quiet", "--detach", str(copy), commit)
        (copy / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {project.root}/.dvc/cache\n")
        command = [sys.executable, "-m", "dvc", "checkout", "--quiet", "labelled.dvc"]
        subprocess.run(command, cwd=copy, check=True)
        files = (copy / "labelled" / "labelled").iterdir()
        assert {file.stem: file.read_text() for file in files} == content


def test_the_branch_follows_the_projects_code(project: Project) -> None:
    project.version()
    project.run("git", "stash", "--quiet")
    (project.root / "code.py").write_text("# better\n")
    project.commit("better")
    commit, _ = project.version()
    assert git(project.root, "show", f"{commit}:code.py") == "# better"
    assert git(project.root, "merge-base", "--is-ancestor", "main", commit) == ""


def test_a_branch_that_is_checked_out_is_a_persons_and_refused(project: Project) -> None:
    before = project.state()
    with pytest.raises(UserError, match=r"^schedule\.branch: main is checked out"):
        project.version("main")
    assert project.state() == before


def test_the_current_branch_is_committed_on_where_that_is_wished_and_other_work_stays(
    project: Project,
) -> None:
    status, changed, staged = project.state()
    commit, _ = project.version("current")
    assert git(project.root, "rev-parse", "main") == commit
    assert project.state() == (status, changed, staged)
    assert (project.root / "labelled.dvc").exists()


def test_a_set_is_pushed_where_a_remote_is_configured(project: Project, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dvc", "remote", "add", "--quiet", "--local", "-d", "store"]
    project.run(*command, str(tmp_path / "store"))
    _, md5 = project.version()
    assert (tmp_path / "store" / "files" / "md5" / md5[:2] / md5[2:]).exists()


def test_a_set_that_changes_while_it_is_versioned_is_left_for_the_next_tick(project: Project) -> None:
    with pytest.raises(UserError, match="changed meanwhile"):
        Repository(project.root, project.worktree, "labelled-set").version(
            project.root / "arrivals", {"a.fits": "0" * 64}, "no"
        )
    assert "labelled-set" not in project.run("git", "branch")


def test_without_a_pipeline_there_is_nothing_to_version(project: Project) -> None:
    (project.root / "dvc.lock").unlink()
    with pytest.raises(UserError, match="run `make repro` first"):
        project.version()


# ---- telling


def test_a_pass_is_told_by_webhook_and_command(tmp_path: Path) -> None:
    heard: list[dict[str, object]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    server, lines = HTTPServer(("127.0.0.1", 0), Hook), list[str]()
    Thread(target=server.serve_forever, daemon=True).start()
    told = replace(done(), versions={"hits-rcnn": 2})
    config = ScheduleConfig(
        webhook=f"http://127.0.0.1:{server.server_port}", command=("tee", str(tmp_path / "mail"))
    )
    notify(told, config, lines.append)
    server.shutdown()
    server.server_close()
    assert lines == [told.told] == ["challenger: hits-rcnn/2: why"]
    assert heard == [json.loads(json.dumps(asdict(told)))]
    assert (tmp_path / "mail").read_text() == told.told + "\n"


def test_what_cannot_be_told_stops_nothing() -> None:
    lines: list[str] = []
    notify(done(), ScheduleConfig(webhook="http://127.0.0.1:9", command=("false",)), lines.append)
    assert [line.split(":")[0] for line in lines[1:]] == ["schedule.webhook", "schedule.command"]


# ---- a loop of ticks


def test_a_loop_ends_with_the_step_at_work(tmp_path: Path) -> None:
    """SIGTERM is an event, asked for between two steps: here it comes while nothing is done."""
    loop = "from tests.code.test_schedule import loop; loop()"
    with subprocess.Popen(
        [sys.executable, "-c", loop], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ticked\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 0


def loop() -> None:
    """``astroreel schedule run`` with a tick that does nothing."""
    from types import SimpleNamespace

    from astroreel.cli import schedule
    from astroreel.schedule import run

    parameters = SimpleNamespace(schedule=ScheduleConfig())
    run.read_parameters = lambda root: parameters  # type: ignore[assignment,return-value]
    run.tick = lambda root, say, stopped: SimpleNamespace(told="ticked")  # type: ignore[assignment,return-value]
    schedule.schedule_run()


def _environment() -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    return os.environ | {"PYTHONPATH": f"{root}:{root / 'src'}", "PYTHONUNBUFFERED": "1"}
