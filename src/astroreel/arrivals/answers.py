"""What a person says of unlabelled objects, taken into the inbox like any other labelled file."""

from __future__ import annotations

from collections.abc import Sequence as Many
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from astroreel.arrivals.folders import Folders, free, plain
from astroreel.arrivals.inbox import Inbox, Receipt
from astroreel.arrivals.known import read_arrival
from astroreel.classes import class_index
from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.sequences.file import write_sequence
from astroreel.sequences.record import Sequence

T = TypeVar("T", bound=BaseModel)

_SOURCE_LENGTH = 40


class Answer(BaseModel):
    """One label.

    Attributes
    ----------
    survey, object
        Which object, as its header names it.
    label
        Its class.
    confidence
        How sure, 0 to 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    survey: str
    object: str
    label: str
    confidence: float = Field(1.0, ge=0, le=1)

    @field_validator("label")
    @classmethod
    def _is_a_class(cls, label: str) -> str:
        try:
            class_index(label)
        except UserError as error:
            raise ValueError(str(error)) from error
        return label


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answers: list[Answer]


def read_answers(path: Path) -> list[Answer]:
    """The answers that a page saved; raises `UserError` where the file holds anything else."""
    return list(_checked(_File, read_json(path), str(path)).answers)


def parse_answer(content: object) -> Answer:
    """One answer as a page sends it; raises `UserError` where it is none."""
    return _checked(Answer, content, "answer")


def take(inbox: Inbox, answers: Many[Answer], who: str, now: datetime) -> list[Receipt]:
    """Label objects that were taken in before, and take in all that waits.

    An answer that says what is known already changes nothing.

    Parameters
    ----------
    who
        Stands in the files as the source of the label, with the time.

    Raises
    ------
    UserError
        Where an object is not known; then nothing is done.
    """
    with inbox.locked():
        files = [_labelled(inbox, answer, who, now) for answer in answers]
        for sequence in filter(None, files):
            place = free(inbox.folders.inbox / Folders.file_name(sequence.name))
            write_sequence(place, sequence)
        return inbox.receive(now)


def _labelled(inbox: Inbox, answer: Answer, who: str, now: datetime) -> Sequence | None:
    known = inbox.find(answer.survey, answer.object)
    if known is None:
        raise UserError(f"{answer.object} of {answer.survey}: no such object: nothing was taken in")
    if known.label == answer.label and known.confidence >= answer.confidence:
        return None
    sequence = read_arrival(known.file)
    header = sequence.header.copy()
    header["label"], header["label_confidence"] = answer.label, answer.confidence
    header["label_source"] = f"{plain(who)[:_SOURCE_LENGTH]} {now.isoformat(timespec='seconds')}"
    return Sequence(header, sequence.stamps, sequence.epochs)


def _checked(kind: type[T], content: object, name: str) -> T:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{name}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
