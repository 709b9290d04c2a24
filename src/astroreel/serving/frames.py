"""Frames as JSON: what ``POST /frame`` takes."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from astroreel.errors import InvalidSequence, UserError
from astroreel.sequences.file import check_camera, check_conditions, check_name
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, STAMP_SIZE, SequenceSet
from astroreel.serving.step import CAMERA

#: Frames in one request.
MOST_FRAMES = 256

_STAMP_BYTES = STAMP_SIZE**2 * 4


class Frame(BaseModel):
    """One frame: the names and units of contract 1, in small letters.

    Attributes
    ----------
    object
        Name of the object.
    pixscale, gain, rdnoise, saturate
        Of the camera [arcsec/pixel, e-/ADU, e-, ADU].
    mjd, band, exptime, seeing, airmass, sky, zp, limmag
        Of the exposure, as a row of EPOCHS.
    stamp
        Base64 of the 21 x 21 pixels, row by row, little-endian float32 [ADU, with sky]; bad pixels NaN.
    state
        Left out: the service keeps the object's state. Else the client does: "" with the object's first
        frame, then the token that came with the last answer.
    """

    model_config = ConfigDict(extra="forbid")

    object: str = Field(max_length=OBJECT_DTYPE["name"].itemsize // 4)
    pixscale: float
    gain: float
    rdnoise: float
    saturate: float
    mjd: float
    band: str = Field(max_length=EPOCH_DTYPE["band"].itemsize // 4)
    exptime: float
    seeing: float
    airmass: float
    sky: float
    zp: float
    limmag: float
    stamp: str
    state: str | None = None


class Frames(BaseModel):
    """The body of a request; all its frames have a ``state``, or none has."""

    model_config = ConfigDict(extra="forbid")

    frames: list[Frame] = Field(min_length=1, max_length=MOST_FRAMES)


def read_frames(body: bytes) -> tuple[SequenceSet, list[str] | None]:
    """The frames in a request, each as an object of one epoch, and their tokens if the client holds states.

    Raises `UserError`, naming frame, rule and value, where one departs from contract 1.
    """
    try:
        frames = Frames.model_validate_json(body).frames
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "body"
        raise UserError(f"{key}: {first['msg']}: got {first['input']!r:.60}") from error
    tokens = [frame.state for frame in frames if frame.state is not None]
    if tokens and len(tokens) != len(frames):
        raise UserError(f"state: {len(tokens)} of {len(frames)} frames have one: give all one, or none")
    return _as_set(frames), tokens or None


def frame_as_json(frames: SequenceSet, index: int) -> dict[str, object]:
    """One of M frames as `read_frames` takes it; what a client sends."""
    header, epoch = frames.objects[frames.owner[index]], frames.epochs[index]
    stamp = np.asarray(frames.stamps[index], "<f4").tobytes()
    return {
        "object": str(header["name"]),
        **{name: float(header[name]) for name in CAMERA},
        **{name: epoch[name].item() for name in EPOCH_DTYPE.names or ()},
        "stamp": base64.b64encode(stamp).decode(),
    }


def _as_set(frames: list[Frame]) -> SequenceSet:
    objects = np.zeros(len(frames), OBJECT_DTYPE)
    objects["name"] = [frame.object for frame in frames]
    for name in CAMERA:
        objects[name] = [getattr(frame, name) for frame in frames]
    epochs = np.zeros(len(frames), EPOCH_DTYPE)
    for name in EPOCH_DTYPE.names or ():
        epochs[name] = [getattr(frame, name) for frame in frames]
    for index, frame in enumerate(frames):
        source = f"frames.{index}"
        check_name("object", frame.object, source)
        check_camera(objects[index], source)
    check_conditions(epochs, "frames")
    stamps = np.stack([_stamp(frame.stamp, f"frames.{index}") for index, frame in enumerate(frames)])
    return SequenceSet(objects, np.arange(len(frames) + 1), stamps, epochs)


def _stamp(text: str, source: str) -> NDArray[np.float32]:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSequence(source, "stamp", f"not base64 ({error})") from error
    if len(content) != _STAMP_BYTES:
        raise InvalidSequence(source, "shape", f"stamp has {len(content)} bytes, expected {_STAMP_BYTES}")
    stamp = np.frombuffer(content, "<f4").reshape(STAMP_SIZE, STAMP_SIZE).astype(np.float32)
    if np.isinf(stamp).any():
        raise InvalidSequence(source, "infinite", "the stamp holds an infinite pixel; mark bad pixels NaN")
    return stamp
