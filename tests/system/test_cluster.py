"""On real Ray nodes: a search of which one dies on the way, and the parents of a pass, compared."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]

SEARCH = """
import sys
from pathlib import Path
from astroreel.training.config import SearchConfig, TrainingConfig
from astroreel.training.reporter import SpoolReporter
from astroreel.training.search import run_search
from tests.code.blobs import blobs

training = TrainingConfig(iterations=60, batch_size=8, optimiser="adamw", validate_every=20, device="cpu")
config = SearchConfig(backend="ray", address="auto", networks=("compact",), trials=4, training=training)
folder = Path(sys.argv[1])
with SpoolReporter(folder / "run", "search") as reporter:
    result = run_search(config, blobs(32, seed=1), blobs(16, seed=2), reporter, folder / "study")
print("trials", sorted(trial.number for trial in result.trials))
"""

COMPARISON = """
import json
import sys
from dataclasses import replace
from pathlib import Path
from astroreel.parameters import read_parameters
from astroreel.schedule.learning import Learner
from astroreel.sequences.file import read_folder

root = Path(sys.argv[1])
here = read_parameters(root)
there = here.model_copy(update={"schedule": here.schedule.model_copy(update={"address": "auto"})})
labelled = root / "data" / "target"
learner = Learner(
    root=root,
    labelled=labelled,
    parameters=here,
    new=frozenset(read_folder(labelled).objects["field"].tolist()),
    parents={
        "pretrained": root / "models" / "pretrained",
        "champion": root / "models" / "finetuned" / "draw-0-fold-0" / "rcnn",
    },
)
print(json.dumps([replace(learner, parameters=one).compare() for one in (here, there)]))
"""


@contextmanager
def node(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Ray node of one processor, with all that it starts in a process group of its own."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", *arguments]
    more = {"object-store-memory": "100000000", "include-dashboard": "false", "disable-usage-stats": None}
    command += [f"--{name}={value}" if value else f"--{name}" for name, value in more.items()]
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        end(process, signal.SIGTERM)


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a node and whatever it started."""
    try:
        os.killpg(process.pid, how)
        process.wait(20)
    except ProcessLookupError:
        return
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(what: str, there: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def trials_begun(folder: Path) -> int:
    return len(list(folder.glob("run/children/*")))


@dataclass(frozen=True)
class Cluster:
    """A head node at a port, and what a process needs in its environment to begin a node, or to use them."""

    port: int
    begins: dict[str, str]
    uses: dict[str, str]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    port = free_port()
    begins = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a-token-of-this-test-alone",
        "RAY_health_check_failure_threshold": "3",
        "PYTHONPATH": f"{ROOT}/src:{ROOT}",
    }
    with node(begins, "--head", "--node-ip-address=127.0.0.1", f"--port={port}"):
        yield Cluster(port, begins, begins | {"RAY_ADDRESS": f"127.0.0.1:{port}"})


@pytest.mark.slow
def test_a_search_outlives_one_of_its_two_nodes(cluster: Cluster, tmp_path: Path) -> None:
    address = (f"--address=127.0.0.1:{cluster.port}", "--node-ip-address=127.0.0.1")
    with node(cluster.begins, *address) as second:
        search = subprocess.Popen(
            [sys.executable, "-c", SEARCH, str(tmp_path)],
            env=cluster.uses,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for("two trials", lambda: trials_begun(tmp_path) >= 2 or search.poll() is not None, 90)
        end(second, signal.SIGKILL)
        said, _ = search.communicate(timeout=150)
    assert search.returncode == 0, said
    assert "trials [0, 1, 2, 3]" in said
    runs = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("run/children/*/run.json"))]
    assert [run["status"] for run in runs] == ["FINISHED"] * 4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_parents_of_a_pass_are_compared_there_as_here(cluster: Cluster, reproduced: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", COMPARISON, str(reproduced)],
        env=cluster.uses,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    here, there = json.loads(said.stdout.splitlines()[-1])
    assert set(here) == {"pretrained", "champion"}
    assert here["pretrained"] != here["champion"]
    assert there == pytest.approx(here, rel=1e-3)


def test_the_cluster_file_is_one_that_ray_takes() -> None:
    content = YAML(typ="safe").load(ROOT / "registry" / "ray-cluster.yaml")
    schema = json.loads(files("ray.autoscaler").joinpath("ray-schema.json").read_text())
    jsonschema.validate(content, schema)
    starts = [*content["head_start_ray_commands"], *content["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in line for line in starts if " start " in line)
