"""The command line (contract 2): a user's mistake is one line on stderr and status 2, and changes nothing."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from astroreel import cli, source
from astroreel.classes import CLASSES
from astroreel.cli import registry
from astroreel.governance.deployment import Pointer
from astroreel.models.forest import Forest, ForestClassifier
from astroreel.parameters import configure, read_parameters
from astroreel.sequences.file import read_folder, write_sequence
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import OBJECT_DTYPE, Sequence
from astroreel.sequences.store import load_store
from astroreel.tracking.registry import VersionRow
from astroreel.tracking.store import connect

ROOT = Path(__file__).resolve().parents[2]

HEADLINE = "surrogate.mean_recall_22"

MakeSequence = Callable[..., Sequence]


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def astroreel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs a command line in an empty folder, in this process."""
    folder = tmp_path / "house" / "project"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(source, "PUBLIC_REPOSITORY", (tmp_path / "unreachable").as_uri())

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["astroreel", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Done(stop.value.code, captured.out, captured.err)

    yield run


def is_one_line(done: Done) -> bool:
    return (
        done.stderr.count("\n") == 1
        and done.stderr.startswith("astroreel: ")
        and "Traceback" not in done.stderr
    )


def everything(folder: Path = Path()) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def make_bundle(path: Path) -> Path:
    """A forest of one tree with one leaf, which is surest of an RR Lyrae."""
    leaf = np.zeros(1, np.int64)
    probability = np.array([[0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1]])
    forest = Forest(leaf, leaf, leaf, leaf, np.zeros(1), probability)
    ForestClassifier(forest, Preparation()).save(path)
    return path


@pytest.fixture
def reels(astroreel: Run, make_sequence: MakeSequence) -> Path:
    """A folder with three sequence files and, beside it, the bundle of a classifier."""
    for seed in range(3):
        write_sequence(Path("reels") / f"object-{seed}.fits", make_sequence(6 + seed, seed))
    make_bundle(Path("model"))
    return Path("reels")


def rows(path: str = "out.csv") -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# Mistakes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--nope", "No such option: --nope"),
        ("nope", "No such command 'nope'; see `astroreel --help`$"),
        ("configure --scale large", "--scale is 'large': choose from smoke, default, thesis"),
        (
            "configure --target lsss",
            "target 'lsss': choose from auto, hits, surrogate, lsst, ztf, or a survey",
        ),
        ("configure --source nowhere", "nowhere: no real_obs/real_stamps in this folder"),
        ("configure --target hits", "cannot be fetched"),
        ("configure surplus", "surplus"),
        ("simulate", "Missing option '--out'; see `astroreel --help`$"),
        ("simulate --out x --n 0", "'--n': .*greater than or equal to 1"),
        ("simulate --out x --n many", "'--n': .*integer"),
        ("simulate --out x --seed -1", "'--seed': .*greater than or equal to 0"),
        ("simulate --out x --format zip", "'--format': .*'zip' is not one of 'store', 'fits'"),
        ("simulate --out x --class nova", "unknown class 'nova': choose from supernova, rr_lyrae, cepheid"),
        ("simulate --out x --survey nope", "unknown survey 'nope': choose from hits, lsst, ztf"),
        ("simulate --out .", r"\.: is there already: name a new folder"),
        ("simulate --out file", "file: is there already: name a new folder"),
        ("simulate --out file/x", r"file/x: cannot write here \(.*file is no folder\)"),
        ("convert hits nowhere --out x", "nowhere/real_obs/Blind15A_info: .*this is no HiTS source folder"),
        ("convert hits . --out file", "file: is there already"),
        ("classify", "Missing (argument|option)"),
        ("classify reels --out o.csv", "Missing option '--model'"),
        ("classify reels --model nowhere --out o.csv", "nowhere: no such folder: give a bundle's folder"),
        ("classify reels --model empty --out o.csv", "empty/manifest.json: missing file"),
        ("classify nowhere --model model --out o.csv", "nowhere: no such file or folder"),
        ("classify empty --model model --out o.csv", r"empty: no sequence files \(\*\.fits\) in this folder"),
        ("classify reels --model model --out empty", "empty: is a folder: name a file"),
        ("classify reels --model model --out file/o.csv", "file/o.csv: cannot write here"),
        ("classify reels --model models:/hits-rcnn/1 --out o.csv", "params.yaml: no such file"),
        ("registry status", "params.yaml: no such file: `astroreel configure` writes it"),
        ("registry publish", "params.yaml: no such file: `astroreel configure` writes it"),
        ("registry nope", "No such command 'nope'"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_done(
    astroreel: Run, reels: Path, line: str, message: str
) -> None:
    Path("empty").mkdir()
    Path("file").write_text("kept")
    before = everything()
    done = astroreel(*line.split())
    assert done.status == 2
    assert is_one_line(done), done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert everything() == before


@pytest.mark.parametrize("line", ["", "registry", "convert"])
def test_a_command_left_open_shows_what_there_is(astroreel: Run, line: str) -> None:
    done = astroreel(*line.split())
    assert (done.status, done.stderr) == (2, "")
    assert "Usage: astroreel" in done.stdout


def test_the_version_is_printed(astroreel: Run) -> None:
    assert astroreel("--version").stdout == "astroreel 0.1.0\n"


def test_a_disk_that_is_full_is_one_line(astroreel: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "params.yaml")

    monkeypatch.setattr(Path, "write_text", full)
    done = astroreel("configure", "--scale", "smoke", "--target", "surrogate")
    assert (done.status, done.stderr) == (2, "astroreel: params.yaml: No space left on device\n")
    assert everything() == {}


def test_an_interrupt_ends_quietly_with_the_usual_status_and_nothing_written(
    astroreel: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "clone_public", interrupted)
    assert astroreel("configure") == Done(130, "", "")
    assert everything() == {}


# Configure


def test_configure_says_what_it_chose(astroreel: Run) -> None:
    done = astroreel("configure", "--scale", "smoke", "--target", "surrogate")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout == (
        "params.yaml: scale smoke, target surrogate (no real data: a surrogate target, simulated)\n"
    )
    assert read_parameters(Path()).scale == "smoke"


def test_configure_without_data_and_network_falls_back_to_a_surrogate_loudly(astroreel: Run) -> None:
    done = astroreel("configure")
    assert done.status == 0
    assert "unreachable: cannot be fetched" in done.stderr
    assert "SURROGATE" in done.stderr
    assert read_parameters(Path()).source.target == "surrogate"


# Simulate


def test_both_formats_hold_the_same_sequences_and_a_seed_means_one_set_of_bytes(astroreel: Run) -> None:
    for name, form in (("one", "store"), ("two", "store"), ("files", "fits")):
        done = astroreel("simulate", "--out", name, "--n", 8, "--seed", 3, "--format", form)
        assert (done.status, done.stdout) == (0, f"{name}: 8 sequences\n")
        assert re.fullmatch(
            rf"{name}: up to [\d.]+ [kM]B to write, [\d.]+ [GT]B free on the disk\n", done.stderr
        )
    assert list(everything(Path("one")).values()) == list(everything(Path("two")).values())
    store, files = load_store(Path("one")), read_folder(Path("files"))
    assert set(store.labels) == set(CLASSES)
    for name in OBJECT_DTYPE.names or ():
        np.testing.assert_array_equal(files.objects[name], store.objects[name])
    np.testing.assert_array_equal(files.stamps, store.stamps)
    np.testing.assert_array_equal(files.epochs, store.epochs)


def test_another_seed_means_other_sequences_and_a_class_may_be_named(astroreel: Run) -> None:
    sets = []
    for seed in (1, 2):
        out = Path(f"set-{seed}")
        assert (
            astroreel("simulate", "--out", out, "--n", 2, "--seed", seed, "--class", "asteroid").status == 0
        )
        sets.append(load_store(out))
        assert set(sets[-1].labels) == {"asteroid"}
    assert not np.array_equal(sets[0].stamps, sets[1].stamps)


def test_an_unfinished_set_is_gone_on_with_by_the_same_command_and_refused_to_another(astroreel: Run) -> None:
    command = ("simulate", "--out", "set", "--n", 8, "--seed", 3)
    assert astroreel(*command).status == 0
    whole = everything(Path("set"))
    done = astroreel(*command)
    assert (done.status, done.stdout) == (2, "")
    assert "set: is there already" in done.stderr
    manifest = json.loads(Path("set/manifest.json").read_text())
    manifest.pop("files")
    Path("set/manifest.json").write_text(json.dumps(manifest))
    done = astroreel("simulate", "--out", "set", "--n", 9, "--seed", 3)
    assert is_one_line(done) and done.status == 2
    assert "another simulation, which differs in objects" in done.stderr
    assert astroreel(*command).status == 0
    assert everything(Path("set")) == whole


def test_a_simulation_too_large_for_the_disk_is_refused_before_it_starts(astroreel: Run) -> None:
    done = astroreel("simulate", "--out", "set", "--n", 10**12)
    assert is_one_line(done) and done.status == 2
    assert "free on the disk: make room, or simulate fewer objects" in done.stderr
    assert not Path("set").exists()


# Classify


def test_classify_gives_probabilities_of_every_object(astroreel: Run, reels: Path) -> None:
    done = astroreel("classify", reels, "--model", "model", "--out", "new/folder/out.csv")
    assert (done.status, done.stderr) == (0, "")
    found = rows("new/folder/out.csv")
    assert list(found[0]) == ["object", "n_epochs", "predicted", *(f"p_{name}" for name in CLASSES)]
    assert [(row["object"], row["n_epochs"], row["predicted"]) for row in found] == [
        (f"object-{seed}", str(6 + seed), "rr_lyrae") for seed in range(3)
    ]
    for row in found:
        assert sum(float(row[f"p_{name}"]) for name in CLASSES) == pytest.approx(1, abs=4e-6)


def test_every_epoch_is_a_row(astroreel: Run, reels: Path) -> None:
    assert astroreel("classify", reels, "--model", "model", "--out", "out.csv", "--every-epoch").status == 0
    counted = [(row["object"], int(row["n_epochs"])) for row in rows()]
    assert counted == [(f"object-{seed}", n + 1) for seed in range(3) for n in range(6 + seed)]


def test_damaged_files_are_named_and_the_rest_classified(astroreel: Run, reels: Path) -> None:
    (reels / "torn.fits").write_bytes((reels / "object-0.fits").read_bytes()[:4000])
    (reels / "text.fits").write_text("no FITS file")
    done = astroreel("classify", reels, "--model", "model", "--out", "out.csv")
    assert done.status == 3
    refused = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in refused] == [
        ["refused", "reels/text.fits"],
        ["refused", "reels/torn.fits"],
    ]
    assert done.stdout == "out.csv: 3 objects, 2 refused\n"
    assert len(rows()) == 3


def test_an_object_in_two_files_is_noted(astroreel: Run, reels: Path) -> None:
    shutil.copy(reels / "object-1.fits", reels / "twin.fits")
    done = astroreel("classify", reels, "--model", "model", "--out", "out.csv")
    assert (done.status, done.stderr) == (
        0,
        "note: object object-1 is in two files: reels/object-1.fits and reels/twin.fits\n",
    )
    assert len(rows()) == 4


def test_files_none_of_which_can_be_read_leave_no_table(astroreel: Run, reels: Path) -> None:
    for file in reels.iterdir():
        file.write_text("no FITS file")
    before = everything()
    done = astroreel("classify", reels, "--model", "model", "--out", "new/out.csv")
    assert done.status == 2
    assert is_one_line(done)
    assert "none of 3 files can be read, nothing is written: reels/object-0.fits: " in done.stderr
    assert everything() == before


def test_a_failed_classification_leaves_the_old_table(astroreel: Run, reels: Path) -> None:
    Path("out.csv").write_text("old")
    assert astroreel("classify", "nowhere", "--model", "model", "--out", "out.csv").status == 2
    assert Path("out.csv").read_text() == "old"


def _remove(model: Path) -> None:
    (model / "weights.safetensors").unlink()


def _change(model: Path) -> None:
    (model / "calibration.json").write_text('{"temperature": 2.0}')


def _add(model: Path) -> None:
    (model / "code.py").write_text("")


def _tear(model: Path) -> None:
    (model / "manifest.json").write_bytes((model / "manifest.json").read_bytes()[:40])


def _forge(model: Path) -> None:
    """A manifest that fits the files, which are none of a forest's."""
    from astroreel.models.bundle import save_bundle

    shutil.rmtree(model)
    save_bundle(model, kind="forest", weights={}, architecture={}, preparation=Preparation())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove, "model/weights.safetensors: missing file"),
        (_change, "model/calibration.json: changed file"),
        (_add, "model/code.py: unknown file"),
        (_tear, "model/manifest.json: not valid JSON"),
        (_forge, "architecture.json: made for other features"),
    ],
)
def test_a_bundle_that_is_not_as_it_was_saved_is_refused(
    astroreel: Run, reels: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(Path("model"))
    done = astroreel("classify", reels, "--model", "model", "--out", "out.csv")
    assert done.status == 2
    assert is_one_line(done)
    assert message in done.stderr
    assert not Path("out.csv").exists()


# Registered models


@pytest.fixture
def project(astroreel: Run) -> Path:
    configure(Path(), "smoke", "surrogate", None, print)
    return Path()


@pytest.fixture(scope="module")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    connect("sqlite:///mlflow.db", folder)
    return folder / "mlflow.db"


@pytest.mark.parametrize(
    "line", ["classify reels --model models:/hits-rcnn/1 --out o.csv", "registry status"]
)
def test_asking_where_there_is_no_registry_makes_none(
    astroreel: Run, project: Path, reels: Path, line: str
) -> None:
    before = everything()
    done = astroreel(*line.split())
    assert (done.status, done.stderr) == (
        2,
        "astroreel: mlflow.db: no registry yet: `make repro` or `astroreel registry publish` makes it\n",
    )
    assert everything() == before


def test_publishing_where_nothing_was_made_makes_no_registry(astroreel: Run, project: Path) -> None:
    done = astroreel("registry", "publish")
    assert done.status == 2
    assert is_one_line(done)
    assert "there is nothing to publish; run `make repro`" in done.stderr
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("models:/hits-rcnn/1", "models:/hits-rcnn/1: no such version: nothing is registered yet"),
        (
            "models:/hits-rcnn@challenger",
            "models:/hits-rcnn@challenger: no such version: nothing is registered",
        ),
        ("models:/hits-rcnn@champion", "models:/hits-rcnn@champion: not deployed (deployed is nothing yet)"),
        ("models:/hits-rcnn", "expected models:/NAME/VERSION or models:/NAME@ALIAS"),
    ],
)
def test_an_unknown_version_is_one_line(
    astroreel: Run, project: Path, reels: Path, empty_registry: Path, model: str, message: str
) -> None:
    shutil.copy(empty_registry, project)
    done = astroreel("classify", reels, "--model", model, "--out", "o.csv")
    assert done.status == 2
    assert is_one_line(done)
    assert message in done.stderr
    assert not Path("o.csv").exists()


def test_the_status_of_an_empty_registry_is_empty(
    astroreel: Run, project: Path, empty_registry: Path
) -> None:
    shutil.copy(empty_registry, project)
    assert json.loads(astroreel("registry", "status", "--json").stdout) == {"versions": [], "deployed": {}}


DEPLOYED = [
    Pointer("surrogate-rcnn", 2, "models:/surrogate-rcnn/2", "ab" * 32, "2026-11-22T13:00:00.123+00:00")
]
VERSIONS = [
    VersionRow(
        name,
        version,
        ("challenger", "champion") if version == 2 else (),
        "fine-tuned",
        "surrogate",
        "default",
        "ab" * 32,
        f"{HEADLINE}=0.7123",
        HEADLINE,
        0.7123,
        "inconclusive",
    )
    for name in ("surrogate-forest", "surrogate-rcnn")
    for version in (1, 2)
]


def test_versions_away_from_a_terminal_are_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    registry._print_versions(VERSIONS, DEPLOYED)
    heading, *lines = (" ".join(line.split()) for line in capsys.readouterr().out.splitlines())
    assert heading == "version training aliases verdict headline deployed scale digest"
    assert lines[0].split() == [
        "models:/surrogate-forest/1",
        "fine-tuned",
        "-",
        "inconclusive",
        f"{HEADLINE}=0.7123",
        "-",
        "default",
        "abababab",
    ]
    assert [line.split()[5] for line in lines] == ["-", "-", "-", "yes"]
    assert len(lines) == 4


def test_versions_on_a_terminal_of_80_columns_are_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Console(force_terminal=True, no_color=True, width=80, soft_wrap=True, highlight=False)
    monkeypatch.setattr(registry, "output", terminal)
    registry._print_versions(VERSIONS, DEPLOYED)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == [
        "models:/surrogate-forest/1",
        "fine-tuned",
        "-",
        "inconclusive",
        "0.7123",
    ]
    assert lines[-2:] == [
        f"headline: {HEADLINE}",
        "deployed: models:/surrogate-rcnn/2 since 2026-11-22T13:00",
    ]


# As a process of its own


def run_process(folder: Path, *command: object) -> Done:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    line = [sys.executable, *map(str, command)]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_installed_command_keeps_the_contract(tmp_path: Path) -> None:
    done = run_process(tmp_path, "-m", "astroreel.cli", "configure", "--scale", "large")
    assert done == Done(2, "", "astroreel: --scale is 'large': choose from smoke, default, thesis\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The code of the pipeline in a project on a HiTS folder of its own."""
    folder = tmp_path / "house" / "project"
    for code in ("pipelines", "src"):
        shutil.copytree(ROOT / code, folder / code, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    for name in ("real_stamps", "Blind15A_info"):
        (tmp_path / "house" / "hits" / "real_obs" / name).mkdir(parents=True)
    configure(folder, "smoke", None, "../hits", print)
    return folder


def _change_the_source(folder: Path) -> None:
    (folder.parent / "hits" / "real_obs" / "more").touch()


def _remove_the_source(folder: Path) -> None:
    shutil.rmtree(folder.parent / "hits")


def _break_the_parameters(folder: Path) -> None:
    (folder / "params.yaml").write_text("scale: [")


def _block_the_runs(folder: Path) -> None:
    (folder / "runs").touch()


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (_change_the_source, "the data changed; run `astroreel configure` to take it as it is now"),
        (_remove_the_source, "source.path names no HiTS folder: run `astroreel configure`"),
        (_break_the_parameters, "params.yaml, line 1: not valid YAML"),
        (_block_the_runs, "project/runs/ingest: cannot write here"),
    ],
)
def test_a_stage_tells_trouble_in_one_line_and_leaves_no_data(
    checkout: Path, trouble: Callable[[Path], None], message: str
) -> None:
    trouble(checkout)
    done = run_process(checkout, "pipelines/ingest.py")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("ingest: ") and done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr
    assert not (checkout / "data").exists()


def test_arrivals_are_taken_in_and_counted(astroreel: Run, project: Path, reels: Path) -> None:
    (reels / "damaged.fits").write_text("no FITS at all")
    n = len(list(reels.glob("*.fits"))) - 1
    done = astroreel("inbox", "add", reels)
    assert done.status == 3
    assert done.stdout.split() == ["labelled:", f"{n},", "quarantined:", "1"]
    assert "quarantined: damaged.fits: unreadable: not a readable FITS file" in done.stderr
    status = json.loads(astroreel("inbox", "status", "--json").stdout)
    assert sum(status["labelled"].values()) == n
    assert status["quarantined"] == {"unreadable": 1}
    assert "  unreadable: 1" in astroreel("inbox", "status").stdout.splitlines()
    assert len(list(reels.glob("*.fits"))) == n + 1, "what a user has stays his"


def test_the_doctor_names_what_is_wrong_and_what_is_not(astroreel: Run, project: Path) -> None:
    done = astroreel("doctor")
    assert done.status == 3
    lines = {line[6:].partition(":")[0]: line[:5].strip() for line in done.stdout.splitlines()}
    assert lines == {
        "disk": "ok",
        "device": "ok",
        "parameters": "ok",
        "data": "ok",
        "registry": "WRONG",
        "deployed": "ok",
    }
    assert "mlflow.db: no registry yet" in done.stdout
    (project / "params.yaml").write_text("scale: 7")
    found = json.loads(astroreel("doctor", "--json").stdout)
    assert [(one["what"], one["sound"]) for one in found][-1] == ("parameters", False)
