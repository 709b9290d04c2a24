"""The page to label from, served on this machine: each answer goes into the inbox as it is given.

Only the page itself may answer: it holds a token that no other site can read, and requests under another name
than this machine's are refused.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from astroreel.arrivals.answers import Answer, parse_answer, take
from astroreel.arrivals.inbox import Inbox
from astroreel.errors import UserError

HOST = "127.0.0.1"

_BODY = 2**14
_REFUSED, _FORBIDDEN = 422, 403


class Desk:
    """What serves a page and takes its answers.

    Parameters
    ----------
    inbox
        Where answers go.
    page
        The page's file, written with ``token``.
    token
        What the page sends with each answer.
    who
        The person who answers.
    """

    def __init__(self, inbox: Inbox, page: Path, token: str, who: str) -> None:
        self.inbox, self.page, self.token, self.who = inbox, page, token, who
        self._turn = asyncio.Lock()

    def application(self) -> Starlette:
        """The desk as an ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._show),
                Route("/answer", self._answer, methods=["POST"], max_body_size=_BODY),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        )

    def run(self, listener: socket.socket) -> None:
        """Answer requests until SIGTERM or SIGINT."""
        config = uvicorn.Config(self.application(), log_level="warning", server_header=False)
        uvicorn.Server(config).run(sockets=[listener])

    async def _show(self, request: Request) -> FileResponse:
        return FileResponse(self.page, headers={"Cache-Control": "no-store"})

    async def _answer(self, request: Request) -> JSONResponse:
        if not secrets.compare_digest(request.headers.get("X-Token", "").encode(), self.token.encode()):
            return JSONResponse({"error": "not from this page: open it anew"}, _FORBIDDEN)
        try:
            answer = parse_answer(await request.json())
            async with self._turn:
                outcome = await run_in_threadpool(self._take, answer)
        except (UserError, ValueError) as error:
            return JSONResponse({"error": str(error)}, _REFUSED)
        return JSONResponse({"outcome": outcome})

    def _take(self, answer: Answer) -> str:
        """Take one answer in; raises `UserError` where the inbox refuses it."""
        receipts = take(self.inbox, [answer], self.who, datetime.now(UTC))
        mine = [receipt for receipt in receipts if receipt.name == answer.object]
        if mine and mine[-1].rule:
            raise UserError(f"{mine[-1].rule}: {mine[-1].detail}")
        return mine[-1].outcome if mine else "known already"
