"""What a local server needs before it starts, and that nothing of it is left when it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from astroreel.errors import UserError
from astroreel.tracking.server import ENCRYPTION_KEY, WEBHOOK_SECRET, await_health, check_free, keys, running

#: A server's parent that ignores its own end, and a child of it that says its number and sleeps.
FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child == 0:
    time.sleep(600)
open(sys.argv[1], "w").write(str(child))
os.rename(sys.argv[1], sys.argv[1] + ".whole")
time.sleep(600)
"""


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    first = keys(tmp_path)
    (file,) = (tmp_path / ".secrets").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert keys(tmp_path) == first
    assert len(first[WEBHOOK_SECRET]) >= 32
    Fernet(first[ENCRYPTION_KEY])


def test_two_projects_have_keys_of_their_own(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one, two = map(keys, folders)
    assert not set(one.values()) & set(two.values())


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    keys(tmp_path)
    (tmp_path / ".secrets" / "server.env").write_text(f"{WEBHOOK_SECRET}=abc\n")
    with pytest.raises(UserError, match=rf"server\.env: no {ENCRYPTION_KEY}: remove the file"):
        keys(tmp_path)


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"^port {port}: .*in use.*: name another with --port$"):
            check_free(port)


def test_a_server_that_ends_before_it_answers_is_told() -> None:
    with (
        running([sys.executable, "-c", "raise SystemExit(3)"], os.environ) as process,
        pytest.raises(UserError, match="the server ended with status 3"),
    ):
        await_health("http://127.0.0.1:9/health", process)


def test_nothing_is_left_of_a_process_that_does_not_want_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astroreel.tracking.server._DOWN_SECONDS", 0.5)
    told = tmp_path / "child"
    with running([sys.executable, "-c", FAMILY, str(told)], os.environ) as process:
        while not (whole := told.with_name("child.whole")).exists():
            assert process.poll() is None
    assert process.returncode == -signal.SIGKILL
    alive = subprocess.run(
        ["ps", "-o", "stat=", "-p", whole.read_text()], capture_output=True, text=True, check=False
    )
    state = alive.stdout.strip()
    assert state == "" or state.startswith("Z")
