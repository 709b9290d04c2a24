"""The connection to MLflow: a local SQLite file or a server.

A local store is the file and, beside it, the folder ``mlartifacts``; it has one writer, which holds
`publishing` around all that it writes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import requests
from alembic.util import CommandError
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from astroreel.errors import UserError

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = "mlartifacts"
#: The environment variable by which a user names another store than params.yaml does.
ADDRESS = "MLFLOW_TRACKING_URI"

_SQLITE = "sqlite:///"
_REACH_SECONDS = 5.0
_LOCK_SECONDS = 300.0

#: Unless the user says otherwise, MLflow prints no links and bars, and gives a failing server up within
#: a minute instead of four.
_SETTINGS = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def connect(tracking_uri: str = DEFAULT_URI, root: Path | None = None) -> MlflowClient:
    """A client of the store at ``tracking_uri``, which is made if it is a local file and not there yet.

    MLflow's global tracking and registry addresses are set to it as well, so that
    ``mlflow.pyfunc.load_model("models:/...")`` means the same store.

    Parameters
    ----------
    tracking_uri
        ``sqlite:///FILE`` or ``http(s)://HOST:PORT``.
    root
        The folder that a relative FILE starts from (None: the working folder).

    Raises
    ------
    UserError
        Within seconds, where the store cannot be reached or is no MLflow store.
    """
    uri = _absolute(tracking_uri, root or Path.cwd())
    _set_up(uri)
    if database := _database(uri):
        with publishing(uri):
            _check_database(database)
            return _client(uri)
    _check_server(uri)
    return _client(uri)


def experiment_id(client: MlflowClient, name: str) -> str:
    """The id of the experiment called ``name``, made where it is missing."""
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    database = _database(client.tracking_uri)
    # A server knows itself where its artifacts lie.
    location = (database.parent / ARTIFACTS).as_uri() if database else None
    return client.create_experiment(name, artifact_location=location)


@contextmanager
def publishing(uri: str) -> Iterator[None]:
    """Hold the store's lock: of the processes of this machine, one at a time publishes to it.

    May be nested within a process. Raises `UserError` where another holds it for five minutes.
    """
    lock = FileLock(_lock_file(uri), is_singleton=True)
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        raise UserError(f"{lock.lock_file}: held for too long: wait for the other publisher to end") from None
    except OSError as error:
        raise UserError(f"{lock.lock_file}: cannot write here ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Tell what MLflow refuses as a `UserError` of one line that names the store."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError) as error:
        if _database(uri) is None:
            _check_server(uri)  # one that has gone meanwhile is told as such
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{shown(uri)}: MLflow refuses: {reason}") from error


def shown(uri: str) -> str:
    """An address without the user and password that it may hold."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else uri


def _absolute(uri: str, root: Path) -> str:
    if uri.startswith(_SQLITE):
        return _SQLITE + str((root / uri.removeprefix(_SQLITE)).resolve())
    if urlsplit(uri).scheme in ("http", "https") and urlsplit(uri).hostname:
        return uri.rstrip("/")
    raise UserError(f"tracking URI {shown(uri)!r}: expected {_SQLITE}FILE or http(s)://HOST:PORT")


def _database(uri: str) -> Path | None:
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _lock_file(uri: str) -> Path:
    if database := _database(uri):
        if not database.parent.is_dir():
            raise UserError(f"{database}: no such folder: make it or take another tracking URI")
        return database.with_name(f"{database.name}.lock")
    name = hashlib.sha256(shown(uri).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"astroreel-{os.getuid()}-{name}.lock"


def _client(uri: str) -> MlflowClient:
    with mlflow_errors(uri):
        client = MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
        return client


def _check_database(path: Path) -> None:
    # MLflow tries a file that it cannot open for minutes before it gives up.
    try:
        with closing(sqlite3.connect(path, timeout=_REACH_SECONDS, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("SELECT count(*) FROM sqlite_master")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise UserError(
            f"{path}: cannot write this SQLite file ({error}): move it away or free it"
        ) from error


def _check_server(uri: str) -> None:
    try:
        requests.get(f"{uri}/health", timeout=_REACH_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise UserError(
            f"{shown(uri)}: no MLflow server answers ({type(error).__name__}): "
            f"start it or take another tracking URI; what is not published stays in its files"
        ) from error


def _set_up(uri: str) -> None:
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # MLflow writes the address into the environment, where it would read as a user's wish.
    wish = os.environ.get(ADDRESS)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    os.environ.pop(ADDRESS, None)
    if wish is not None:
        os.environ[ADDRESS] = wish
