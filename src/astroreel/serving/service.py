"""The HTTP service: whole sequences, single frames, health and metrics.

Nothing that comes in is run or unpickled; sizes are bounded before anything is read; whatever is wrong
with a request is one line in its answer, ``{"error": ...}``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from astroreel.errors import UserError
from astroreel.governance.deployment import Deployment
from astroreel.sequences.record import SequenceSet
from astroreel.serving.batches import Batches, NotServed, answering, stepper_of
from astroreel.serving.frames import read_frames
from astroreel.serving.held import classify_held
from astroreel.serving.metrics import Metrics, Readings, Timed
from astroreel.serving.models import Models
from astroreel.serving.replies import files_reply, frames_reply, health_reply
from astroreel.serving.served import Loaded
from astroreel.serving.step import Precision, Stepper
from astroreel.serving.stream import Answers
from astroreel.serving.uploads import read_uploads

#: Bytes of a request: a frame is about 2.7 kB of JSON, the longest sequence file 18 MB.
FRAME_BODY, FILES_BODY = 2**20, 32 * 2**20
MOST_FILES = 256
#: Requests with files that are in memory at once; others wait.
_FILE_REQUESTS = 2
_READ_SECONDS = 60
_WATCH_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Service:
    """What answers requests.

    Parameters
    ----------
    deployment
        Where the pointers are.
    names
        Registered models to serve; none: all that are deployed, at any time.
    states
        The folder of the objects' states.
    memory
        Bytes of states in memory, for each model.
    precision
        In which frames are answered; see `Stepper`.
    """

    def __init__(
        self,
        deployment: Deployment,
        names: Sequence[str],
        states: Path,
        memory: int,
        precision: Precision = "float32",
    ) -> None:
        # One thread for frames, the only one that uses the states; another, so that a long file keeps
        # no frame waiting.
        self._frames_thread: Executor = ThreadPoolExecutor(1, "frames")
        self._files_thread: Executor = ThreadPoolExecutor(1, "files")
        self._files_turn = asyncio.Semaphore(_FILE_REQUESTS)
        self.models = Models(deployment, names, states, memory, self._frames_thread, precision)
        self.metrics = Metrics()
        self._show(("model", "version", "digest"), "astroreel_deployed", "Versions that answer.", _deployed)
        self._show(("model",), "astroreel_states", "Objects whose state is kept.", _states)
        self._show(("model",), "astroreel_states_memory_bytes", "Bytes of states in memory.", _held)
        self._show(("model",), "astroreel_degraded", "1: what is deployed cannot be loaded.", _degraded)

    def _show(
        self, labels: tuple[str, ...], name: str, help: str, read: Callable[[Batches], Readings]
    ) -> None:
        """A gauge with what ``read`` finds in each model."""

        def readings() -> Readings:
            return (row for batches in self.models.batches.values() for row in read(batches))

        self.metrics.gauge(name, help, labels, readings)

    def application(self) -> Starlette:
        """The service as an ASGI application."""
        routes = [
            Route("/classify", self.classify, methods=["POST"], max_body_size=FILES_BODY),
            Route("/frame", self.frame, methods=["POST"], max_body_size=FRAME_BODY),
            Route("/health", self.health),
            Route("/metrics", self.show_metrics),
        ]
        paths = frozenset(route.path for route in routes)
        return Starlette(
            routes=routes,
            middleware=[Middleware(Timed, metrics=self.metrics, paths=paths)],
            exception_handlers={
                HTTPException: _refused,
                UserError: _unkept,
                NotServed: _not_served,
                ClientDisconnect: _gone,
                Exception: _failed,
            },
            lifespan=self._watching,
        )

    @asynccontextmanager
    async def _watching(self, app: Starlette) -> AsyncIterator[None]:
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            self._frames_thread.shutdown()
            self._files_thread.shutdown()
            self.models.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                await asyncio.to_thread(self.refresh)
            except UserError as error:
                _log.error("%s", error)

    def refresh(self) -> None:
        """Load what is deployed now; raises `UserError` where states cannot be kept."""
        for name in self.models.refresh():
            self.metrics.switches.labels(name).inc()

    async def frame(self, request: Request) -> Response:
        """``POST /frame``: a micro-batch of frames; see `astroreel.serving.frames.Frames`."""
        batches = self._model(request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            # A page in somebody's browser cannot send this type to another host unasked.
            raise HTTPException(415, "Content-Type: expected application/json")
        body = await _body(request)
        try:
            frames, tokens = read_frames(body)
        except UserError as error:
            raise HTTPException(422, str(error)) from error
        if tokens is None:
            loaded, answers = await batches.classify(frames)
            held = None
        else:
            loaded = answering(batches.model)
            answers, held = await self._classify_held(stepper_of(loaded), frames, tokens)
        self._count(loaded, answers)
        status = 409 if len(answers.refusals) == len(frames) else 200
        return JSONResponse(frames_reply(loaded, frames, answers, held), status_code=status)

    async def _classify_held(
        self, stepper: Stepper, frames: SequenceSet, tokens: list[str]
    ) -> tuple[Answers, list[str]]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._frames_thread, classify_held, stepper, frames, tokens)
        except UserError as error:
            raise HTTPException(409, str(error)) from error

    async def classify(self, request: Request) -> Response:
        """``POST /classify``: sequence files, one as the body or several as a form."""
        loaded = answering(self._model(request).model)
        every_epoch = request.query_params.get("every_epoch", "false") == "true"
        loop = asyncio.get_running_loop()
        async with self._files_turn:
            files = await _files(request)
            content = await loop.run_in_executor(
                self._files_thread, _classify_files, loaded, files, every_epoch
            )
        return JSONResponse(content)

    async def health(self, request: Request) -> Response:
        """``GET /health``: what answers, and what is wrong; 503 where a model cannot answer."""
        models = [batches.model for batches in self.models.batches.values()]
        content, up = health_reply(models, self.models.problem)
        return JSONResponse(content, status_code=200 if up else 503)

    async def show_metrics(self, request: Request) -> Response:
        """``GET /metrics``."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    def _model(self, request: Request) -> Batches:
        name = request.query_params.get("model", "")
        batches = self.models.named(name)
        if batches is not None:
            return batches
        known = ", ".join(self.models.batches) or "none"
        if not self.models.batches:
            raise NotServed("nothing is deployed")
        raise HTTPException(404, f"model {name!r} is not served: give ?model= one of {known}")

    def _count(self, loaded: Loaded, answers: Answers) -> None:
        refused, model = len(answers.refusals), loaded.pointer.model
        self.metrics.frames.labels(model, "refused").inc(refused)
        self.metrics.frames.labels(model, "answered").inc(len(answers.answers) - refused)


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(_READ_SECONDS):
            return await request.body()
    except TimeoutError as error:
        raise HTTPException(408, f"the body did not come within {_READ_SECONDS} s") from error


async def _files(request: Request) -> list[tuple[str, bytes]]:
    """Name and content of each file of a request."""
    # Read whole first, for a form is parsed without a limit of time; its size is limited.
    body = await _body(request)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return [("body", body)]
    async with request.form(max_files=MOST_FILES, max_fields=0) as form:
        uploads = [upload for _, upload in form.multi_items() if isinstance(upload, UploadFile)]
        files = [(upload.filename or "file", await upload.read()) for upload in uploads]
    if not files:
        raise HTTPException(400, "the form holds no file")
    return files


def _classify_files(loaded: Loaded, files: list[tuple[str, bytes]], every_epoch: bool) -> dict[str, object]:
    objects, refused = read_uploads(files)
    if not len(objects):
        raise HTTPException(422, str(refused[0]))
    return files_reply(loaded, objects, refused, every_epoch)


def _deployed(batches: Batches) -> Readings:
    if batches.model.loaded is not None:
        pointer = batches.model.loaded.pointer
        yield (pointer.model, str(pointer.version), pointer.digest), 1.0


def _states(batches: Batches) -> Readings:
    yield (batches.model.name,), float(batches.store.objects)


def _held(batches: Batches) -> Readings:
    yield (batches.model.name,), float(batches.store.held)


def _degraded(batches: Batches) -> Readings:
    yield (batches.model.name,), float(bool(batches.model.problem))


def _line(status: int, message: str) -> Response:
    return JSONResponse({"error": " ".join(message.split())}, status_code=status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _line(error.status_code, error.detail)


async def _unkept(request: Request, error: Exception) -> Response:
    _log.error("%s", error)
    return _line(503, str(error))


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotServed)
    return _line(error.status, str(error))


async def _gone(request: Request, error: Exception) -> Response:
    return _line(400, "the client went away")  # for the metrics; nobody reads it


async def _failed(request: Request, error: Exception) -> Response:
    _log.error("%s", error, exc_info=error)
    return _line(500, f"{type(error).__name__}: the service's log says more")
