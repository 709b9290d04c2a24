"""A webhook wakes the reconciler where it is signed, young and new, and does nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from astroreel.errors import UserError
from astroreel.governance import receiver
from astroreel.governance.receiver import MAX_AGE, MAX_BODY, Deliveries, serve
from astroreel.governance.watch import watch

KEY, NOW = "sesame", 1_800_000_000
BODY = b'{"entity":"model_version_alias","action":"created"}'


def signed(body: bytes = BODY, delivery: str = "d1", when: float = NOW, key: str = KEY) -> dict[str, str]:
    stamp = str(int(when))
    digest = hmac.new(key.encode(), f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "x-mlflow-delivery-id": delivery,
        "x-mlflow-timestamp": stamp,
        "x-mlflow-signature": "v1," + base64.b64encode(digest).decode(),
    }


@pytest.fixture
def deliveries() -> Deliveries:
    return Deliveries(KEY, clock=lambda: NOW)


def test_a_signed_young_new_delivery_counts(deliveries: Deliveries) -> None:
    assert deliveries.judge(signed(), BODY) == 202


def test_the_signature_is_that_of_mlflow(deliveries: Deliveries) -> None:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    signature = _generate_hmac_signature(KEY, "d1", str(NOW), BODY.decode())
    assert deliveries.judge({**signed(), "x-mlflow-signature": signature}, BODY) == 202


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed(key="other"), BODY),
        (signed(), BODY + b" "),
        ({**signed(), "x-mlflow-delivery-id": "d2"}, BODY),
        ({**signed(), "x-mlflow-timestamp": str(NOW + 1)}, BODY),
        ({**signed(), "x-mlflow-signature": ""}, BODY),
        ({**signed(), "x-mlflow-signature": "v1,ä"}, BODY),
        ({}, BODY),
        (signed(delivery=""), BODY),
        (signed(when=NOW - MAX_AGE - 1), BODY),
        (signed(when=NOW + MAX_AGE + 1), BODY),
    ],
    ids=["key", "body", "id", "time", "none", "letters", "bare", "nameless", "old", "future"],
)
def test_what_is_not_signed_or_not_young_is_refused(
    deliveries: Deliveries, headers: dict[str, str], body: bytes
) -> None:
    assert deliveries.judge(headers, body) == 401


def test_a_replay_is_refused_as_long_as_its_timestamp_would_be_taken() -> None:
    now = [float(NOW)]
    deliveries = Deliveries(KEY, clock=lambda: now[0])
    stamped = signed(when=NOW + MAX_AGE)
    assert deliveries.judge(stamped, BODY) == 202
    answers = set()
    for _ in range(40):
        now[0] += MAX_AGE / 10
        answers.add(deliveries.judge(stamped, BODY))
    assert answers == {401, 409}


def test_a_refused_delivery_may_come_again_rightly_signed(deliveries: Deliveries) -> None:
    assert deliveries.judge(signed(key="other"), BODY) == 401
    assert deliveries.judge(signed(), BODY) == 202


@pytest.fixture
def listening() -> Iterator[tuple[int, Event]]:
    wake = Event()
    server = serve("0", KEY, wake.set)
    yield server.server_address[1], wake
    server.shutdown()
    server.server_close()


def post(port: int, body: bytes, headers: dict[str, str], method: str = "POST") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, "/", body, headers)
    return connection.getresponse().status


def test_a_delivery_over_http_wakes(listening: tuple[int, Event], monkeypatch: pytest.MonkeyPatch) -> None:
    port, wake = listening
    import time

    headers = signed(when=time.time())
    assert post(port, BODY, signed(key="other", when=time.time())) == 401
    assert not wake.is_set()
    assert post(port, BODY, headers) == 202
    assert wake.is_set()
    wake.clear()
    assert post(port, BODY, headers) == 409
    assert not wake.is_set()


def test_a_body_too_long_is_refused_unread(listening: tuple[int, Event]) -> None:
    port, _ = listening
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode())
        assert b" 413 " in connection.recv(1000)


@pytest.mark.parametrize("length", ["", "Content-Length: x\r\n", "Content-Length: -1\r\n"])
def test_a_body_of_unknown_length_is_refused(listening: tuple[int, Event], length: str) -> None:
    with socket.create_connection(("127.0.0.1", listening[0]), timeout=10) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\n{length}\r\n".encode())
        assert b" 411 " in connection.recv(1000)


def test_who_sends_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver._Handler, "timeout", 0.2)
    server = serve("0", KEY, lambda: None)
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        assert connection.recv(1000) == b""
    server.shutdown()
    server.server_close()


def test_it_says_that_it_is_there_and_nothing_else(listening: tuple[int, Event]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", listening[0], timeout=10)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    assert post(listening[0], b"", {}, "GET") == 404
    assert post(listening[0], b"", {}, "PUT") == 501


@pytest.mark.parametrize(
    ("address", "key", "message"),
    [
        ("here", KEY, "expected HOST:PORT"),
        ("127.0.0.1:99999", KEY, "expected HOST:PORT"),
        ("0", "", "ASTROREEL_WEBHOOK_SECRET is not set"),
        ("192.0.2.1:0", KEY, "choose another address"),
    ],
)
def test_what_cannot_be_listened_on_is_one_line(address: str, key: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        serve(address, key, lambda: None)


def test_without_a_host_it_listens_on_the_loopback_address(listening: tuple[int, Event]) -> None:
    server = serve("0", KEY, lambda: None)
    assert server.server_address[0] == "127.0.0.1"
    server.server_close()


class Stop(Exception):
    """Ends a watch."""


class Waits(Event):
    """An event that is never set, and remembers how long it was waited for."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.waited = most, []  # type: ignore[var-annotated]

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        if len(self.waited) == self.most:
            raise Stop
        return False


def test_a_server_that_is_down_is_said_once_and_tried_again_ever_later() -> None:
    answers: list[Any] = [["one"], UserError("down"), UserError("down"), UserError("down"), [], ["two"]]
    said: list[str] = []
    waits = Waits(6)

    def attempt() -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, UserError):
            raise answer
        return answer

    with pytest.raises(Stop):
        watch(attempt, 3.0, waits, said.append)
    assert said == ["one", "down; trying again", "the registry answers again", "two"]
    assert waits.waited == [3.0, 6.0, 10.0, 10.0, 3.0, 3.0]


def test_a_wake_during_a_pass_is_not_lost() -> None:
    wake, passes = Event(), []

    def attempt() -> list[str]:
        passes.append(len(passes))
        if len(passes) == 3:
            raise Stop
        wake.set()
        return []

    with pytest.raises(Stop):
        watch(attempt, 3600.0, wake, print)
    assert len(passes) == 3
