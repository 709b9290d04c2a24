"""What the service answers, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel import __version__
from astroreel.classes import CLASSES
from astroreel.errors import InvalidSequence
from astroreel.sequences.record import SequenceSet
from astroreel.serving.served import Loaded, ServedModel
from astroreel.serving.stream import Answers


def version(loaded: Loaded) -> dict[str, object]:
    """What gives an answer."""
    pointer = loaded.pointer
    return {"model": pointer.model, "version": pointer.version, "digest": pointer.digest}


def files_reply(
    loaded: Loaded, objects: SequenceSet, refused: list[InvalidSequence], every_epoch: bool
) -> dict[str, object]:
    """The classes of whole sequences, after their last epoch or after every one."""
    probability = loaded.classifier.predict(objects)
    rows = [probability[start:stop] for start, stop in pairwise(objects.offsets)]
    answers = [
        {"object": name, "n_epochs": len(row), **_classes(row[-1])}
        for name, row in zip(objects.objects["name"].tolist(), rows, strict=True)
    ]
    if every_epoch:
        answers = [
            {**answer, "epochs": list(map(_classes, row))} for answer, row in zip(answers, rows, strict=True)
        ]
    refusals = [{"file": error.source, "error": str(error)} for error in refused]
    return {**version(loaded), "objects": answers, "refused": refusals}


def frames_reply(
    loaded: Loaded, frames: SequenceSet, answers: Answers, tokens: list[str] | None
) -> dict[str, object]:
    """What is said to each frame, with the next token where the client holds the states."""
    rows: list[dict[str, object]] = []
    for index, name in enumerate(frames.objects["name"].tolist()):
        if index in answers.refusals:
            rows.append({"object": name, "error": answers.refusals[index]})
            continue
        answer = answers.answers[index]
        row = {"object": name, "n_epochs": int(answer["n_epochs"]), "digest": answer["bundle"].decode()}
        state = {"state": tokens[index]} if tokens else {}
        rows.append({**row, **_classes(answer["probability"]), **state})
    return {**version(loaded), "answers": rows}


def health_reply(models: Iterable[ServedModel], problem: str) -> tuple[dict[str, object], bool]:
    """What answers and what is wrong, and whether every model answers."""
    rows = {model.name: _health(model) for model in models}
    up = bool(rows) and all(row["version"] is not None for row in rows.values())
    problems = [problem, *(row["problem"] for row in rows.values())]
    status = "down" if not up else "degraded" if any(problems) else "ok"
    return {"status": status, "astroreel": __version__, "problem": problem, "models": rows}, up


def _classes(probability: NDArray[np.float64]) -> dict[str, object]:
    return {
        "predicted": CLASSES[int(probability.argmax())],
        "probability": dict(zip(CLASSES, probability.tolist(), strict=True)),
    }


def _health(model: ServedModel) -> dict[str, Any]:
    pointer = model.loaded.pointer if model.loaded else None
    return {
        "version": pointer.version if pointer else None,
        "digest": pointer.digest if pointer else None,
        "since": pointer.since if pointer else None,
        "frames": model.loaded is not None and model.loaded.stepper is not None,
        "problem": model.problem or ("" if pointer else "nothing is deployed"),
    }
