"""The alert stream: each new frame is classified from its object's state, and no history is read again.

A state belongs to the bundle that made it. So that a newly promoted model need not start from nothing, the
last frames of each object are kept beside its state, and the first time that the object is seen by another
bundle they are read again, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, STAMP_SIZE, SequenceSet
from astroreel.serving.step import ANSWER_DTYPE, CAMERA, HEAD_DTYPE, Stepper, single_frames
from astroreel.serving.store import Entry, StateStore

#: Frames of an object that are kept (thesis 3.2.1: N_d = 22).
HISTORY = 22

_FRAME_DTYPE = np.dtype(
    [
        *((name, "f8") for name in CAMERA),
        ("epoch", EPOCH_DTYPE),
        ("stamp", "f4", (STAMP_SIZE, STAMP_SIZE)),
        ("answer", ANSWER_DTYPE),
    ]
)
_FRAME_BYTES = _FRAME_DTYPE.itemsize - ANSWER_DTYPE.itemsize


@dataclass(frozen=True)
class Answers:
    """What a stream says to M frames.

    Attributes
    ----------
    answers
        (M,) of :data:`ANSWER_DTYPE`.
    refusals
        Why a frame is refused, by its index.
    """

    answers: NDArray[np.void]
    refusals: dict[int, str]

    @classmethod
    def none_yet(cls, n: int) -> Answers:
        """``n`` frames that nothing is said to."""
        answers = np.zeros(n, ANSWER_DTYPE)
        answers["probability"] = np.nan
        return cls(answers, {})

    def part(self, start: int, stop: int) -> Answers:
        """What is said to frames ``start`` to ``stop``."""
        refusals = {index - start: reason for index, reason in self.refusals.items() if start <= index < stop}
        return Answers(self.answers[start:stop], refusals)


@dataclass(frozen=True)
class Stream:
    """A network over the objects of a store, one frame after another.

    Frames of an object come in the order of time. One that repeats a kept frame to the last bit gets the
    answer that it got, so that whoever got none may ask again; any other that is not later than the last
    is refused. One thread at a time may use a stream. Another model takes over by another stream on the
    same store.

    Attributes
    ----------
    stepper
        The network.
    store
        The objects' states and last :data:`HISTORY` frames. Where an object had more, a new model's answers
        rest on the kept ones alone, and ``n_epochs`` says so.
    """

    stepper: Stepper
    store: StateStore

    def classify(self, frames: SequenceSet) -> Answers:
        """Answer every frame; once this returns, their states outlive a killed process.

        ``frames`` may hold any number of objects, one more than once, with any number of epochs, all as
        contract 1 allows. Raises `UserError`, having changed nothing, where states cannot be kept.
        """
        frames = single_frames(frames)
        answers = Answers.none_yet(len(frames))
        with self.store.transaction():
            for turn in _turns(frames.objects["name"]):
                part = frames if len(turn) == len(frames) else frames.select(turn)
                self._classify_turn(part, turn, answers)
        return answers

    def _classify_turn(self, frames: SequenceSet, turn: NDArray[np.int64], answers: Answers) -> None:
        """Answer at most one frame an object."""
        names = frames.objects["name"].tolist()
        states = self._states(names)
        late = frames.epochs["mjd"] <= states["last"]
        for index in np.flatnonzero(late).tolist():
            self._answer_late(frames, states, index, int(turn[index]), answers)
        if late.all():
            return
        if late.any():
            fresh = np.flatnonzero(~late)
            frames, states, turn = frames.select(fresh), states[fresh], turn[fresh]
            names = [names[index] for index in fresh.tolist()]
        after, given = self.stepper.step(states, frames)
        answers.answers[turn] = given
        self.store.save(_entries(names, after, _packed(frames, given)))

    def _states(self, names: list[str]) -> NDArray[np.void]:
        """Each object's state under this bundle; one of another bundle is made anew from its frames."""
        stored = self.store.states(names)
        own = [self.stepper.owns(state) for state in stored]
        if all(own):
            return self.stepper.read(stored)
        states = self.stepper.start(len(names))
        states[own] = self.stepper.read([state for state, known in zip(stored, own, strict=True) if known])
        foreign = [index for index, state in enumerate(stored) if state and not own[index]]
        if foreign:
            states[foreign] = self._replayed([names[index] for index in foreign])
            heads = b"".join(stored[index][: HEAD_DTYPE.itemsize] for index in foreign)
            states["seen"][foreign] = np.frombuffer(heads, HEAD_DTYPE)["seen"]
        return states

    def _replayed(self, names: list[str]) -> NDArray[np.void]:
        """The states after each object's kept frames."""
        kept = [np.frombuffer(b"".join(self.store.frames(name)), _FRAME_DTYPE) for name in names]
        lengths = np.array([len(frames) for frames in kept])
        starts = np.cumsum(lengths) - lengths
        frames = _unpacked(np.repeat(names, lengths), np.concatenate(kept))
        states = self.stepper.start(len(names))
        for position in range(lengths.max()):
            going = np.flatnonzero(lengths > position)
            states[going], _ = self.stepper.step(states[going], frames.select(starts[going] + position))
        return states

    def _answer_late(
        self, frames: SequenceSet, states: NDArray[np.void], index: int, place: int, answers: Answers
    ) -> None:
        name, mjd = str(frames.objects["name"][index]), float(frames.epochs["mjd"][index])
        kept = self.store.frame(name, mjd)
        asked = _packed(frames.select([index]), np.zeros(1, ANSWER_DTYPE)).tobytes()
        if kept[:_FRAME_BYTES] == asked[:_FRAME_BYTES]:
            answers.answers[place] = np.frombuffer(kept, _FRAME_DTYPE)["answer"][0]
            return
        reason = "another frame of this time was read" if kept else "frames come in the order of time"
        last = float(states["last"][index])
        answers.refusals[place] = f"{name}: late: MJD {mjd:.6f}, after {last:.6f}: {reason}"


def _turns(names: NDArray[np.str_]) -> Iterator[NDArray[np.int64]]:
    """Indices of frames, in turns in which no object comes twice: all first frames, then all second ones."""
    _, owner, counts = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(owner, kind="stable")
    occurrence = np.empty(len(names), np.int64)
    occurrence[order] = np.arange(len(names)) - np.repeat(np.cumsum(counts) - counts, counts)
    return (np.flatnonzero(occurrence == turn) for turn in range(max(counts, default=0)))


def _entries(names: list[str], states: NDArray[np.void], frames: NDArray[np.void]) -> Iterator[Entry]:
    slots = ((states["seen"] - 1) % HISTORY).tolist()
    times = states["last"].tolist()
    for name, state, slot, mjd, frame in zip(names, states, slots, times, frames, strict=True):
        yield Entry(name, state.tobytes(), slot, mjd, frame.tobytes())


def _packed(frames: SequenceSet, answers: NDArray[np.void]) -> NDArray[np.void]:
    """Frames of one epoch each, and their answers, as they are kept."""
    packed = np.zeros(len(frames), _FRAME_DTYPE)
    for name in CAMERA:
        packed[name] = frames.objects[name]
    packed["epoch"], packed["stamp"], packed["answer"] = frames.epochs, frames.stamps[:], answers
    return packed


def _unpacked(names: NDArray[np.str_], packed: NDArray[np.void]) -> SequenceSet:
    """Kept frames as objects of one epoch each, with as much of their header as a network reads."""
    objects = np.zeros(len(packed), OBJECT_DTYPE)
    objects["name"] = names
    for name in CAMERA:
        objects[name] = packed[name]
    return SequenceSet(
        objects=objects,
        offsets=np.arange(len(packed) + 1),
        stamps=np.ascontiguousarray(packed["stamp"]),
        epochs=packed["epoch"],
    )
