"""Frames of many clients, answered together.

While one batch is being answered the next gathers, so nobody waits for a batch to fill: alone, a frame
goes at once; under load, as many go together as have come.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass

from astroreel.sequences.record import SequenceSet
from astroreel.serving.served import Loaded, ServedModel
from astroreel.serving.step import Stepper
from astroreel.serving.store import StateStore
from astroreel.serving.stream import Answers, Stream

#: Frames that go through a network together; more make it no faster.
FRAMES_TOGETHER = 64

#: What answered, and the answers.
Answered = tuple[Loaded, Answers]


class NotServed(Exception):
    """Nothing that could answer is deployed.

    Parameters
    ----------
    message
        What is not, and what can be done.
    status
        Of the HTTP answer: 503 where it may be some time later, else one of 400 to 499.
    """

    def __init__(self, message: str, status: int = 503) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class _Request:
    frames: SequenceSet
    answered: asyncio.Future[Answered]


class Batches:
    """The stream of one served model, for any number of clients of one event loop.

    Parameters
    ----------
    model
        Its loaded version is asked for once a batch, so that a batch has one model.
    store
        Where its states are.
    executor
        One thread, which alone uses the store.
    """

    def __init__(self, model: ServedModel, store: StateStore, executor: Executor) -> None:
        self.model = model
        self.store = store
        self._executor = executor
        self._waiting: deque[_Request] = deque()
        self._work: asyncio.Task[None] | None = None

    async def classify(self, frames: SequenceSet) -> Answered:
        """What answered, and the answers; raises `NotServed`, and `UserError` as `Stream.classify`."""
        request = _Request(frames, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._answer_all())
        return await request.answered

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._next()
            try:
                loaded, answers = await loop.run_in_executor(self._executor, self._answer, batch)
            except Exception as error:  # told to each of those who ask
                for request in batch:
                    _settle(request.answered, error)
                continue
            start = 0
            for request in batch:
                stop = start + len(request.frames)
                _settle(request.answered, (loaded, answers.part(start, stop)))
                start = stop

    def _next(self) -> list[_Request]:
        batch = [self._waiting.popleft()]
        count = len(batch[0].frames)
        while self._waiting and count + len(self._waiting[0].frames) <= FRAMES_TOGETHER:
            batch.append(self._waiting.popleft())
            count += len(batch[-1].frames)
        return batch

    def _answer(self, batch: list[_Request]) -> Answered:
        frames = SequenceSet.concatenate(request.frames for request in batch)
        loaded = answering(self.model)
        return loaded, Stream(stepper_of(loaded), self.store).classify(frames)


def answering(model: ServedModel) -> Loaded:
    """What is loaded of a model; raises `NotServed` where nothing is."""
    loaded = model.loaded
    if loaded is None:
        raise NotServed(f"{model.name}: nothing is deployed")
    return loaded


def stepper_of(loaded: Loaded) -> Stepper:
    """What answers single frames; raises `NotServed` where nothing does."""
    if loaded.stepper is None:
        model = loaded.pointer.model
        raise NotServed(f"{model}: a forest needs whole sequences: send them to /classify", status=400)
    return loaded.stepper


def _settle(answered: asyncio.Future[Answered], what: Answered | Exception) -> None:
    if answered.done():  # the client has gone
        return
    if isinstance(what, Exception):
        answered.set_exception(what)
    else:
        answered.set_result(what)
