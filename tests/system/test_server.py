"""One person's registry: what `make server` brings up, what a webhook is worth, and life without it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.system.checkout import copy_checkout, environment, run
from tests.system.stack import GATED, LENIENT, MODEL, OTHER, PATIENCE, Stack, eventually, unused_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


# `astroreel server`


@pytest.fixture(scope="module")
def project(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_checkout(reproduced, tmp_path_factory.mktemp("server") / "project")
    (folder / "registry" / "policy.yaml").write_text(LENIENT)
    return folder


def port_with_the_next() -> int:
    return next(port for port in iter(unused_port, None) if is_free(port + 1))


def is_free(port: int) -> bool:
    try:
        requests.get(f"http://127.0.0.1:{port}/health", timeout=1)
    except requests.ConnectionError:
        return True
    return False


def test_one_command_serves_the_registry_and_promotion_and_ctrl_c_ends_all(project: Path) -> None:
    port = port_with_the_next()
    process = subprocess.Popen(
        [sys.executable, "-m", "astroreel.cli", "server", "--port", str(port)],
        cwd=project,
        env=environment(project) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [next(process.stdout) for _ in range(4)]
        assert f"http://127.0.0.1:{port}/#/models" in "".join(lines)
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=30).ok
        eventually(lambda: not is_free(port + 1))
        keys = project / ".secrets" / "server.env"
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600
        assert stat.S_IMODE(keys.parent.stat().st_mode) == 0o700
        before = keys.read_text()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=PATIENCE)[0]
    finally:
        process.kill()
    assert process.returncode == 0
    assert rest.endswith("stopped\n")
    assert is_free(port) and is_free(port + 1)
    assert keys.read_text() == before


# Webhooks


def delivery(secret: str, body: bytes, stamp: int | None = None, name: str = "") -> dict[str, str]:
    """The headers by which MLflow signs a delivery."""
    name, stamp = name or str(uuid.uuid4()), stamp or int(time.time())
    signed = f"{name}.{stamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return {
        "X-MLflow-Delivery-Id": name,
        "X-MLflow-Timestamp": str(stamp),
        "X-MLflow-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }


@pytest.fixture
def woken(local: Stack) -> Iterator[Stack]:
    """A reconciler that looks once an hour, and else when it is woken."""
    local.champion(GATED)
    local.stop_reconciler()
    local.start_reconciler("--every", "3600")
    eventually(lambda: local.webhooks() == [local.receiver])
    yield local
    local.stop_reconciler()
    local.start_reconciler()


def test_mlflows_own_webhook_wakes_the_reconciler(woken: Stack) -> None:
    woken.champion(OTHER)
    woken.champion(GATED)


BODY = b'{"entity": "model_version_alias", "action": "created", "data": {}}'


def test_a_delivery_counts_once_and_only_if_it_is_signed_as_it_stands(woken: Stack) -> None:
    secret = woken.settings["ASTROREEL_WEBHOOK_SECRET"]

    def post(headers: dict[str, str], body: bytes = BODY) -> int:
        return requests.post(woken.receiver, data=body, headers=headers, timeout=30).status_code

    signed = delivery(secret, BODY)
    assert post(signed) == 202
    assert post(signed) == 409
    assert post(delivery(secret, BODY), BODY + b" ") == 401
    assert post(delivery("another key", BODY)) == 401
    assert post(delivery(secret, BODY, stamp=int(time.time()) - 3600)) == 401
    assert post({}) == 401
    assert post(delivery(secret, b" " * 100_000), b" " * 100_000) == 413
    assert woken.deployed(MODEL) == GATED


# A server that is down


def test_without_the_server_every_command_says_so_in_one_line(down: Stack) -> None:
    version = f"models:/{MODEL}/{OTHER}"
    for line in (
        ["registry", "status"],
        ["registry", "publish"],
        ["registry", "gate", version],
        ["registry", "promote", version],
        ["registry", "rollback", MODEL],
        ["registry", "reconcile"],
        ["registry", "lineage", version],
        ["classify", "data/target", "--model", version, "--out", "never.csv"],
    ):
        done = down.astroreel(*line, status=2)
        assert done.stderr.count("\n") == 1, done.stderr
        assert f"{down.uri}: no MLflow server answers" in done.stderr


@pytest.fixture(scope="module")
def down(local: Stack) -> Iterator[Stack]:
    local.champion(GATED)
    local.stop_server()
    yield local
    local.start_server()


def test_without_the_server_the_champion_still_classifies(down: Stack, tmp_path: Path) -> None:
    out = str(tmp_path / "out.csv")
    down.astroreel("classify", "data/target", "--model", f"models:/{MODEL}@champion", "--out", out)
    assert Path(out).stat().st_size > 0


def test_training_goes_on_without_the_server_and_is_published_later(down: Stack) -> None:
    run(down.project, "dvc", "repro", "--force", "--single-item", "forest", more=down.settings)
    down.start_server()
    done = down.astroreel("registry", "publish")
    assert done.stdout.startswith("runs: 1 new")
    assert down.astroreel("registry", "publish").stdout.startswith("runs: 0 new")
