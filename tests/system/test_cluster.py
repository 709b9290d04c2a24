"""A search on two Ray nodes, one of which dies on the way: all trials end, each once."""

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


@pytest.mark.slow
def test_a_search_outlives_one_of_its_two_nodes(tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a-token-of-this-test-alone",
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_health_check_failure_threshold": "3",
        "PYTHONPATH": f"{ROOT}/src:{ROOT}",
    }
    alone = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
    with (
        node(alone, "--head", "--node-ip-address=127.0.0.1", f"--port={port}"),
        node(alone, f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.1") as second,
    ):
        search = subprocess.Popen(
            [sys.executable, "-c", SEARCH, str(tmp_path)],
            env=environment,
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


def test_the_cluster_file_is_one_that_ray_takes() -> None:
    content = YAML(typ="safe").load(ROOT / "registry" / "ray-cluster.yaml")
    schema = json.loads(files("ray.autoscaler").joinpath("ray-schema.json").read_text())
    jsonschema.validate(content, schema)
    starts = [*content["head_start_ray_commands"], *content["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in line for line in starts if " start " in line)
