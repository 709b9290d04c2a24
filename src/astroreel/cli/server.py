"""``astroreel server``: the registry of one person, with all that a promotion in its UI needs."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from astroreel.cli.console import output
from astroreel.errors import UserError

_RUNS = "#/experiments/1/runs?workflowType=machine_learning"
_ENDING = (signal.SIGINT, signal.SIGTERM)


def server(
    port: Annotated[int, typer.Option(min=1024, max=65534, help="Of MLflow; webhooks take the next.")] = 5000,
) -> None:
    """Serve runs, those that go on too, and versions in MLflow's UI; deploy what is promoted there."""
    for kind in _ENDING:
        signal.signal(kind, _end_once)
    with suppress(KeyboardInterrupt):
        _serve(Path.cwd(), port)


def _end_once(*_: object) -> None:
    # A second Ctrl-C must not break off the stopping of what was started.
    for kind in _ENDING:
        signal.signal(kind, signal.SIG_IGN)
    raise KeyboardInterrupt


def _serve(root: Path, port: int) -> None:
    database = _database(root)
    output.print("starting MLflow ...")
    from astroreel.tracking.server import HOST, check_free, keys, local_server, log_of, running

    check_free(port + 1)
    receiver = f"{HOST}:{port + 1}"
    environment = os.environ | keys(root) | {"MLFLOW_TRACKING_URI": f"http://{HOST}:{port}"}
    reconcile = [*(sys.executable, "-m", "astroreel.cli", "registry", "reconcile", "--watch")]
    reconcile += ["--listen", receiver, "--webhook", f"http://{receiver}"]
    follow = [sys.executable, "-m", "astroreel.cli", "registry", "publish", "--follow"]
    with (
        local_server(root, database, port) as mlflow,
        running(reconcile, environment) as reconciler,
        running(follow, environment) as follower,
    ):
        output.print(f"runs:   http://{HOST}:{port}/{_RUNS}", markup=False)
        output.print(f"models: http://{HOST}:{port}/#/models", markup=False)
        output.print("Give a gated version the alias champion there to deploy it. Ctrl-C stops the server.")
        parts = {"MLflow": mlflow, "the reconciler": reconciler, "the follower of runs": follower}
        while all(part.poll() is None for part in parts.values()):
            time.sleep(0.5)
        ended = next(name for name, part in parts.items() if part.poll() is not None)
    raise UserError(f"{ended} ended: see the lines above and {log_of(database)}")


def _database(root: Path) -> Path:
    from astroreel.parameters import FILE, read_parameters

    uri = read_parameters(root).registry.tracking_uri
    file = uri.removeprefix("sqlite:///")
    if file == uri:
        raise UserError(f"{FILE}: registry.tracking_uri is no SQLite file: that server runs already")
    return (root / file).resolve()
