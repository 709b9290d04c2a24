"""What the tests of whole runs share: one smoke run and two registries that hold its versions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from astroreel.tracking.server import HOST, keys, local_server
from tests.system.checkout import copy_checkout, make_checkout, run
from tests.system.stack import GATED, LENIENT, MODEL, OTHER, Stack, unused_port
from tests.system.team import Bucket, postgres, s3, team_stack


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout without real data in which `make repro` has run once; for copying, not for changing."""
    folder = tmp_path_factory.mktemp("reproduced") / "astroreel"
    make_checkout(folder)
    run(folder, "make", "repro", "SCALE=smoke", "TARGET=surrogate", f"VENV={sys.prefix}")
    return folder


@pytest.fixture(scope="session")
def local(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One person's registry on SQLite, as `make server` brings it up."""
    project = _project(reproduced, tmp_path_factory.mktemp("local"))
    port = unused_port()
    settings = {"MLFLOW_TRACKING_URI": f"http://{HOST}:{port}"} | keys(project)

    def server() -> AbstractContextManager[Any]:
        return local_server(project, project / "mlflow.db", port)

    yield from _up(Stack(project, server, port, unused_port(), settings))


@pytest.fixture(scope="session")
def database() -> Iterator[dict[str, str]]:
    """How libpq finds a PostgreSQL."""
    with postgres() as found:
        yield found


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    with s3() as found:
        yield found


@pytest.fixture(scope="session")
def team(
    reproduced: Path, database: dict[str, str], bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A team's registry as registry/compose.yaml has it: PostgreSQL, S3 and basic-auth."""
    project = _project(reproduced, tmp_path_factory.mktemp("team"))
    yield from _up(team_stack(project, database | bucket.settings))


@pytest.fixture(params=["local", "team"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Either registry: what holds of one holds of the other."""
    found: Stack = request.getfixturevalue(request.param)
    return found


def _project(reproduced: Path, folder: Path) -> Path:
    project = copy_checkout(reproduced, folder / "project")
    (project / "registry" / "policy.yaml").write_text(LENIENT)
    return project


def _up(stack: Stack) -> Iterator[Stack]:
    """Bring a registry up with the smoke run's versions in it, the fine-tuned networks gated."""
    try:
        stack.start_server()
        stack.astroreel("registry", "publish")
        stack.astroreel("registry", "gate", f"models:/{MODEL}/{GATED}")
        _name_the_other_fold(stack.project / "params.yaml")
        stack.astroreel("registry", "publish")
        stack.astroreel("registry", "gate", f"models:/{MODEL}/{OTHER}")
        stack.start_reconciler()
        yield stack
    finally:
        stack.close()


def _name_the_other_fold(parameters: Path) -> None:
    """The version of the other fold, which is gated on the objects that it did not learn from."""
    text = parameters.read_text()
    assert "fold: 0" in text
    parameters.write_text(text.replace("fold: 0", "fold: 1"))
