"""A local MLflow server over a project's SQLite file, for one person; a team's is in ``registry/``.

Its keys are made once, in the project's folder ``.secrets``, which nobody else may read; its log lies beside
the file.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import requests

from astroreel.errors import UserError
from astroreel.tracking.store import ARTIFACTS

HOST = "127.0.0.1"

#: Signs what the server tells the reconciler's receiver; shared by the two.
WEBHOOK_SECRET = "ASTROREEL_WEBHOOK_SECRET"
#: Encrypts that secret in the server's database.
ENCRYPTION_KEY = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"

_KEYS = Path(".secrets", "server.env")
_UP_SECONDS = 180.0
_DOWN_SECONDS = 10.0

#: The receiver is on this machine and speaks plain HTTP, which MLflow allows only where it is told to. And
#: MLflow would remember for a minute that there was no webhook yet.
_SETTINGS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "1",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@contextmanager
def local_server(root: Path, database: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Serve a SQLite store on the loopback address until the block ends.

    Parameters
    ----------
    root
        The project's folder, which holds ``.secrets``.
    database
        MLflow's SQLite file, made where it is missing; artifacts lie beside it.
    port
        TCP port; the address is ``http://127.0.0.1:PORT``.

    Raises
    ------
    UserError
        Where the port is taken or the server ends before it answers.
    """
    check_free(port)
    environment = os.environ | _SETTINGS | keys(root)
    log = log_of(database)
    with log.open("wb") as stream, running(_command(database, port), environment, stream) as process:
        try:
            await_health(f"http://{HOST}:{port}/health", process)
        except UserError as error:
            raise UserError(f"{error}: see {log}") from None
        yield process


def log_of(database: Path) -> Path:
    """Where the server of a SQLite file writes what it does, from each start anew."""
    return database.with_name(f"{database.name}.log")


def keys(root: Path) -> dict[str, str]:
    """The keys in ``.secrets/server.env`` as environment variables; made at the first call, mode 600."""
    path = root / _KEYS
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        made = {
            WEBHOOK_SECRET: secrets.token_urlsafe(32),
            ENCRYPTION_KEY: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.writelines(f"{name}={value}\n" for name, value in made.items())
    lines = path.read_text(encoding="utf-8").split()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    if missing := {WEBHOOK_SECRET, ENCRYPTION_KEY} - found.keys():
        raise UserError(f"{_KEYS}: no {', '.join(sorted(missing))}: remove the file, and new keys are made")
    return found


def check_free(port: int) -> None:
    """Raise `UserError` where a port of the loopback address is taken."""
    with socket.socket() as probe:
        # As the servers do it: the port of one that has just ended may be taken again at once.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port}: cannot be used ({error.strerror}): name another with --port"
            ) from error


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, and with it those that it starts, until the block ends.

    They are a session of their own, so that Ctrl-C ends them through this process and in its order.
    """
    process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        _stop(process)


def await_health(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers at ``url``; raises `UserError` where it ends or takes too long."""
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        if (status := process.poll()) is not None:
            raise UserError(f"{url}: the server ended with status {status}")
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise UserError(f"{url}: no answer within {_UP_SECONDS:.0f} s")


def _command(database: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{database}"),
        *("--default-artifact-root", (database.parent / ARTIFACTS).as_uri()),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", f"{HOST}:{port},localhost:{port}"),
    ]


def _stop(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(_DOWN_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
