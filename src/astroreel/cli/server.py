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
    """Serve the runs and versions in MLflow's UI, and deploy what is promoted there, until Ctrl-C."""
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
    with local_server(root, database, port) as mlflow, running(reconcile, environment) as reconciler:
        output.print(f"runs:   http://{HOST}:{port}/{_RUNS}", markup=False)
        output.print(f"models: http://{HOST}:{port}/#/models", markup=False)
        output.print("Give a gated version the alias champion there to deploy it. Ctrl-C stops the server.")
        while mlflow.poll() is None and reconciler.poll() is None:
            time.sleep(0.5)
        ended = "MLflow" if reconciler.poll() is None else "the reconciler"
    raise UserError(f"{ended} ended: see the lines above and {log_of(database)}")


def _database(root: Path) -> Path:
    from astroreel.parameters import FILE, read_parameters

    uri = read_parameters(root).registry.tracking_uri
    file = uri.removeprefix("sqlite:///")
    if file == uri:
        raise UserError(f"{FILE}: registry.tracking_uri is no SQLite file: that server runs already")
    return (root / file).resolve()
