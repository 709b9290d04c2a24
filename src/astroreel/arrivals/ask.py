"""Questions to a person: the unlabelled objects whose labels would teach most, on a page to label from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from astroreel.arrivals.choose import choose, log_odds
from astroreel.arrivals.inbox import Inbox
from astroreel.arrivals.known import Known, read_arrival
from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.page import render_page
from astroreel.evaluation.reel import FRAMES, in_noise, light_curve, strip
from astroreel.models.classifier import Classifier
from astroreel.sequences.record import SequenceSet

#: Objects whose stamps are in memory at once.
_CHUNK = 256
#: Rows of stamps on the page.
_ROWS = 3


@dataclass(frozen=True)
class Question:
    """An object that a person should label.

    Attributes
    ----------
    known
        Where it lies, and what its header says.
    probabilities
        (K,) what the model says of it after its last epoch.
    """

    known: Known
    probabilities: NDArray[np.float64]


def ask(
    inbox: Inbox,
    classifier: Classifier,
    max_epochs: int,
    n: int,
    rng: np.random.Generator,
    at_random: bool = False,
    reserved: bool = False,
) -> list[Question]:
    """Which unlabelled objects to label next.

    Parameters
    ----------
    classifier
        Whose doubts are asked about.
    max_epochs
        How many epochs of an object it sees.
    n
        How many objects, or all where there are fewer.
    rng
        Draws them.
    at_random
        Draw them with equal chances.
    reserved
        Ask for labels of the hold-out, of objects in reserved fields. These are always drawn with equal
        chances: a hold-out of objects that a model finds hard would not tell how it does on the others.

    Raises
    ------
    UserError
        Where nothing unlabelled is there.
    """
    found = inbox.open_questions(reserved)
    if not found:
        fields = "reserved fields" if reserved else "fields that may be learned from"
        raise UserError(f"{inbox.folders.unlabelled}: no unlabelled object in {fields}")
    if at_random or reserved:
        found = [found[i] for i in rng.choice(len(found), min(n, len(found)), replace=False)]
        return [Question(*one) for one in zip(found, _answers(found, classifier, max_epochs), strict=True)]
    probabilities = _answers(found, classifier, max_epochs)
    labels = inbox.labels()
    counts = [labels[name] for name in CLASSES]
    chosen = choose(probabilities, log_odds(probabilities), n, rng, counts)
    return [Question(found[i], probabilities[i]) for i in chosen]


def write_page(path: Path, questions: Sequence[Question], token: str = "") -> None:
    """Write one self-contained page to label from; with a ``token`` it sends each answer where it came from.

    Raises `UserError` where it cannot be written.
    """
    cards = [
        {
            "survey": question.known.survey,
            "object": question.known.name,
            "field": question.known.field,
            "epochs": question.known.epochs,
            "drawing": portrait(_read([question.known])),
            "said": sorted(zip(question.probabilities.tolist(), CLASSES, strict=True), reverse=True),
        }
        for question in questions
    ]
    render_page(path, "label.html", cards=cards, classes=CLASSES, token=token)


def portrait(reel: SequenceSet) -> Drawing:
    """An object's light curve, and its stamps in order of time."""
    stamps = in_noise(reel)
    count = min(len(stamps), FRAMES * _ROWS)
    shown = np.linspace(0, len(stamps) - 1, count).round().astype(np.int64)
    rows = [strip(stamps, shown[first : first + FRAMES]) for first in range(0, count, FRAMES)]
    blank = np.full((1, rows[0].shape[1]), np.nan)
    image = np.concatenate([part for row in rows for part in (row, blank)])
    with canvas(1.75 + 0.55 * len(rows)) as figure:
        above, below = figure.subplots(2, gridspec_kw={"height_ratios": [2.4, 0.9 * len(rows)]})
        light_curve(above, reel, shown, "real")
        below.imshow(image, cmap="gray", vmin=-1.2, vmax=float(np.nanmax(image)))
        below.set(xticks=[], yticks=[])
        below.spines[:].set_visible(False)
        below.grid(False)
        name = str(reel.objects["name"][0])
        caption = f"Light curve of {name} by optimal photometry, and its stamps in order of time."
        return Drawing("portrait", name, caption, to_svg(figure))


def _answers(objects: Sequence[Known], classifier: Classifier, max_epochs: int) -> NDArray[np.float64]:
    """What the classifier says of each object after its last epoch, (N, K)."""

    def chunks() -> Iterator[NDArray[np.float64]]:
        for first in range(0, len(objects), _CHUNK):
            sequences = _read(objects[first : first + _CHUNK]).window(0, max_epochs)
            yield classifier.predict(sequences)[sequences.offsets[1:] - 1]

    return np.concatenate(list(chunks()))


def _read(objects: Sequence[Known]) -> SequenceSet:
    return SequenceSet.from_sequences(read_arrival(one.file) for one in objects)
