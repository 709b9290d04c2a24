"""The service on a port of this machine, until it is told to stop."""

from __future__ import annotations

import socket

import torch
import uvicorn

from astroreel.errors import UserError
from astroreel.serving.service import Service

#: Connections at once; further ones are told 503.
_CONNECTIONS = 512
_SECONDS_TO_FINISH = 10


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is one that is free. Raises `UserError` where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on, which holds answers back for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(
            f"{host}:{port}: cannot listen here ({error.strerror}): choose another --port"
        ) from error
    return listener


def run(service: Service, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or SIGINT; those under way are finished."""
    # Batches are small: one thread is as fast, and the other core answers HTTP.
    torch.set_num_threads(1)
    config = uvicorn.Config(
        service.application(),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    uvicorn.Server(config).run(sockets=[listener])
