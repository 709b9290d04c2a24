"""Frames of clients that hold their objects' states themselves: nothing is kept here."""

from __future__ import annotations

import numpy as np

from astroreel.errors import UserError
from astroreel.sequences.record import SequenceSet
from astroreel.serving.step import Stepper
from astroreel.serving.stream import Answers
from astroreel.serving.token import seal, unseal


def classify_held(stepper: Stepper, frames: SequenceSet, tokens: list[str]) -> tuple[Answers, list[str]]:
    """Answer frames of one epoch each from the states in their tokens ("" before the first frame).

    Returns the answers and the next tokens, "" for a refused frame. Raises `UserError` where a token is
    damaged or of another bundle: only the object's frames from the first can make one for this bundle.
    """
    states = stepper.start(len(frames))
    going = np.array([bool(token) for token in tokens])
    if going.any():
        states[going] = stepper.read([_state(token, stepper) for token in tokens if token])
    answers = Answers.none_yet(len(frames))
    mjd = frames.epochs["mjd"]
    for index in np.flatnonzero(mjd <= states["last"]).tolist():
        name, last = frames.objects["name"][index], states["last"][index]
        answers.refusals[index] = f"{name}: late: MJD {mjd[index]:.6f}, after {last:.6f}"
    fresh = np.flatnonzero(mjd > states["last"])
    held = [""] * len(frames)
    if len(fresh):
        after, answers.answers[fresh] = stepper.step(states[fresh], frames.select(fresh))
        for index, state in zip(fresh.tolist(), after, strict=True):
            held[index] = seal(state.tobytes())
    return answers, held


def _state(token: str, stepper: Stepper) -> bytes:
    state = unseal(token)
    if not stepper.owns(state):
        raise UserError(
            f"state: of another model than the deployed {stepper.digest[:12]}: "
            'send the object\'s frames again from the first, with state ""'
        )
    return state
