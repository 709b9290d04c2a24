"""A registry as it runs: an MLflow server, a reconciler beside it, and the project whose versions it holds.

The oracle is MLflow's REST interface and the files of the deployment, not the library under test.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import requests

from astroreel import cli
from astroreel.tracking.server import await_health, running
from tests.system.checkout import environment

#: What a machine with two busy cores may take for what takes a second or two.
PATIENCE = 60.0

#: The smoke run's network: trained on simulations, and fine-tuned on two folds. The last two are gated.
MODEL, UNGATED, GATED, OTHER = "surrogate-rcnn", 1, 2, 3

#: A policy that a smoke run's models pass, so that what is tested is promotion and not the models.
LENIENT = """
mode: enforced
level: 0.05
min_objects: 1
min_objects_a_class: 1
mean_recall: 0
class_recall: 0
lead_over_forest: -1
loss_to_champion: 1
calibration_error: 1
latency_ms: 1000000
forgetting: 1
power_at: 0.03
"""


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def eventually(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first true value of ``what()``; fails with the last one where none comes in time."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds:.0f} s"
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Done:
    """What a command said."""

    stdout: str
    stderr: str


@dataclass
class Stack:
    """A server and a reconciler that can be stopped, killed and started again.

    Attributes
    ----------
    project
        The checkout in which the reconciler works and versions are gated.
    server
        Starts the server, which answers when the context is entered.
    port, receiver_port
        Of the server and of the webhook receiver.
    account
        MLflow's user and password, None where there are none.
    settings
        Environment of the project's commands.
    """

    project: Path
    server: Callable[[], AbstractContextManager[Any]]
    port: int
    receiver_port: int
    settings: Mapping[str, str]
    account: tuple[str, str] | None = None
    _server: AbstractContextManager[Any] | None = field(default=None, init=False)
    _reconciler: AbstractContextManager[subprocess.Popen[bytes]] | None = field(default=None, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def receiver(self) -> str:
        return f"http://127.0.0.1:{self.receiver_port}"

    def start_server(self) -> None:
        if self._server is None:
            self._server = self.server()
            self._server.__enter__()

    def stop_server(self) -> None:
        if self._server is not None:
            self._server.__exit__(None, None, None)
            self._server = None

    def start_reconciler(self, *options: str) -> None:
        command = [sys.executable, "-m", "astroreel.cli", "registry", "reconcile", "--watch"]
        command += ["--listen", f"127.0.0.1:{self.receiver_port}", "--webhook", self.receiver, *options]
        around = environment(self.project) | dict(self.settings)
        with (self.project / "reconcile.log").open("ab") as log, chdir(self.project):
            self._reconciler = running(command, around, log)
            self._process = self._reconciler.__enter__()
        await_health(f"{self.receiver}/health", self._process)

    def stop_reconciler(self) -> None:
        if self._reconciler is not None:
            self._reconciler.__exit__(None, None, None)
            self._reconciler = None

    def kill_reconciler(self) -> None:
        """End it as a power cut would, in the middle of whatever it does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.stop_reconciler()

    def close(self) -> None:
        self.stop_reconciler()
        self.stop_server()

    def astroreel(self, *arguments: str, status: int = 0, more: Mapping[str, str] | None = None) -> Done:
        """Run a command line in the project, with ``more`` environment; here, as processes begin slowly."""
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            chdir(self.project),
            patch.dict(os.environ, {**self.settings, **(more or {})}),
            patch.object(sys, "argv", ["astroreel", *arguments]),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
            pytest.raises(SystemExit) as stop,
        ):
            cli.main()
        done = Done(stdout.getvalue(), stderr.getvalue())
        assert stop.value.code == status, f"{arguments}: {stop.value.code}\n{done.stdout}\n{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.astroreel("registry", "status", "--json").stdout))

    def set_alias(self, model: str, version: int, alias: str = "champion") -> None:
        body = {"name": model, "alias": alias, "version": str(version)}
        self.ask("POST", "registered-models/alias", json=body)

    def delete_alias(self, model: str, alias: str = "champion") -> None:
        self.ask("DELETE", "registered-models/alias", json={"name": model, "alias": alias})

    def set_tag(self, model: str, version: int, key: str, value: str) -> None:
        body = {"name": model, "version": str(version), "key": key, "value": value}
        self.ask("POST", "model-versions/set-tag", json=body)

    def alias(self, model: str, alias: str = "champion") -> int | None:
        """The version that an alias names in the registry."""
        found = self.ask("GET", "registered-models/get", params={"name": model})["registered_model"]
        return {a["alias"]: int(a["version"]) for a in found.get("aliases", [])}.get(alias)

    def version(self, model: str, version: int) -> dict[str, Any]:
        query = {"name": model, "version": str(version)}
        return dict(self.ask("GET", "model-versions/get", params=query)["model_version"])

    def tags(self, model: str, version: int) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self.version(model, version).get("tags", [])}

    def webhooks(self) -> list[str]:
        """The addresses that the server tells of what happens."""
        return [webhook["url"] for webhook in self.ask("GET", "webhooks").get("webhooks", [])]

    def ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        answer = requests.request(
            method, f"{self.uri}/api/2.0/mlflow/{path}", auth=self.account, timeout=60, **content
        )
        answer.raise_for_status()
        return dict(answer.json())

    def champion(self, version: int) -> None:
        """Give a gated version the alias and wait until it is deployed."""
        self.set_alias(MODEL, version)
        eventually(lambda: self.deployed(MODEL) == version)

    def pointer(self, model: str) -> dict[str, Any] | None:
        """What the deployment says of a model."""
        path = self.project / "deployed" / f"{model}.json"
        return dict(json.loads(path.read_text())) if path.exists() else None

    def deployed(self, model: str) -> int | None:
        pointer = self.pointer(model)
        return None if pointer is None else int(pointer["version"])

    def ledger(self) -> list[dict[str, Any]]:
        path = self.project / "deployed" / "ledger.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
