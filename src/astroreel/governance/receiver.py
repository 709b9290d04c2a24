"""The webhook receiver: an MLflow server's word that an alias moved wakes the reconciler.

A delivery is a hint and nothing more: what it says is not looked at. It counts where it is signed with the
shared key over its raw bytes (``v1,`` and the base64 of an HMAC-SHA256 of "ID.TIMESTAMP.BODY"), is young, and
did not come before.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from astroreel.errors import UserError

#: Greatest body [bytes], greatest age of a delivery [s] and time to send one [s].
MAX_BODY, MAX_AGE, MAX_SECONDS = 65_536, 300, 5.0

_ADDRESS = re.compile(r"(?:(?P<host>[^:\s]+):)?(?P<port>\d{1,5})")
_LOOPBACK = "127.0.0.1"


class Deliveries:
    """Which deliveries count.

    Parameters
    ----------
    key
        Shared with the server.
    clock
        Seconds since 1970.
    """

    def __init__(self, key: str, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = key.encode(), clock
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def judge(self, headers: Mapping[str, str], body: bytes) -> HTTPStatus:
        """202 where a delivery counts, 401 where it is old or not signed with the key, 409 where it is known.

        ``headers`` by their names in lower case.
        """
        delivery, stamp = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
        signed = f"{delivery}.{stamp}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        given = headers.get("x-mlflow-signature", "")
        if not hmac.compare_digest(given.encode(), expected.encode()) or not delivery:
            return HTTPStatus.UNAUTHORIZED
        now = self._clock()
        if not stamp.isascii() or not stamp.isdigit() or abs(now - int(stamp)) > MAX_AGE:
            return HTTPStatus.UNAUTHORIZED
        with self._lock:
            # Beyond twice the age a replay is refused for its timestamp.
            self._seen = {one: when for one, when in self._seen.items() if now - when <= 2 * MAX_AGE}
            if delivery in self._seen:
                return HTTPStatus.CONFLICT
            self._seen[delivery] = now
        return HTTPStatus.ACCEPTED


def serve(address: str, key: str, wake: Callable[[], None]) -> ThreadingHTTPServer:
    """Listen in a thread of its own and call ``wake`` at each delivery that counts.

    Parameters
    ----------
    address
        HOST:PORT, or PORT on the loopback address.
    key
        Shared with the server.

    Raises
    ------
    UserError
        Where the address is none or taken, or the key is empty.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65_535:
        raise UserError(f"--listen {address}: expected HOST:PORT, or PORT on {_LOOPBACK}")
    if not key:
        raise UserError("ASTROREEL_WEBHOOK_SECRET is not set: it is the key that webhooks are signed with")
    handler = type("Handler", (_Handler,), {"deliveries": Deliveries(key), "wake": staticmethod(wake)})
    try:
        server = ThreadingHTTPServer((match["host"] or _LOOPBACK, int(match["port"])), handler)
    except OSError as error:
        raise UserError(f"--listen {address}: {error.strerror}: choose another address") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    deliveries: Deliveries
    wake: Callable[[], None]
    timeout = MAX_SECONDS

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK if self.path == "/health" else HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            return self._answer(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > MAX_BODY:
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(int(length))
        status = self.deliveries.judge({name.lower(): value for name, value in self.headers.items()}, body)
        if status is HTTPStatus.ACCEPTED:
            self.wake()
        self._answer(status)

    def _answer(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the ledger tells what follows from a delivery."""
