"""The description of a version in the registry: what it is, from what, how good, how to use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from astroreel.classes import CLASSES
from astroreel.models.bundle import Bundle

_SURROGATE = (
    "**Target: surrogate.** It was measured on a simulated stand-in for a survey, not on real data; "
    "its figures say nothing of a survey, and it is a model for none."
)

_LIMITS = {
    "hits": (
        "HiTS has no labelled Cepheids, galaxies or asteroids: for them no real figure exists.",
        "The scatter of the simulated images was fitted to HiTS's constant stars of all fields, "
        "tested ones included.",
    )
}


class Figure(NamedTuple):
    """A value, the ends of its 95 % interval and the number of objects it was measured on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class FineTuning:
    """How a fine-tuned version came to be.

    Attributes
    ----------
    parent
        The bundle it was fine-tuned from.
    shots
        Sequences of each class it was fine-tuned on.
    draw, fold
        Which of the procedure's models it is.
    """

    parent: Path
    shots: int
    draw: int
    fold: int


def version_card(
    name: str,
    bundle: Bundle,
    tags: Mapping[str, str],
    figures: Mapping[str, Figure],
    tuning: FineTuning | None,
) -> str:
    """Markdown for a version's page; ``tags`` are the version's (:mod:`astroreel.tracking.registry`)."""
    return "\n\n".join(_sections(name, bundle, tags, figures, tuning)) + "\n"


def _sections(
    name: str,
    bundle: Bundle,
    tags: Mapping[str, str],
    figures: Mapping[str, Figure],
    tuning: FineTuning | None,
) -> Iterator[str]:
    target = tags["target"]
    if target == "surrogate":
        yield _SURROGATE
    yield (
        f"Classifier of image sequences, {_training(target, tuning)}, for the target domain `{target}`, "
        f"at scale `{tags['scale']}`."
    )
    yield "\n".join(_facts(bundle, tags))
    if figures:
        yield _table("after 22 epochs | value (95 % interval)", map(_figure, figures, figures.values()))
    if figures and tuning:
        yield (
            "The figures are of the procedure: means over all draws and folds. "
            f"This version is the model of draw {tuning.draw}, fold {tuning.fold}."
        )
    data = {key.removeprefix("data."): tags[key] for key in sorted(tags) if key.startswith("data.")}
    if data:
        yield _table("data | md5", (f"`{path}` | `{digest}`" for path, digest in data.items()))
    if target in _LIMITS:
        yield "\n".join(["Limits:", "", *(f"- {limit}" for limit in _LIMITS[target])])
    uri = f"models:/{name}/VERSION"
    yield f"```\nastroreel classify PATH --model {uri} --out FILE.csv\n```"
    yield f'```python\nmlflow.pyfunc.load_model("{uri}").predict(sequences)\n```'


def _training(target: str, tuning: FineTuning | None) -> str:
    if tuning is None:
        return "trained on simulations"
    origin = "surrogate" if target == "surrogate" else "real"
    return f"trained on simulations and fine-tuned on {tuning.shots} {origin} sequences a class"


def _facts(bundle: Bundle, tags: Mapping[str, str]) -> Iterator[str]:
    yield f"- classes: {', '.join(CLASSES)}"
    if bundle.kind == "rcnn":
        yield f"- network: `{bundle.architecture['name']}`"
    yield f"- bundle: `{bundle.digest}`"
    yield f"- code: commit `{tags.get('git.commit', 'unknown')}`, dirty: {tags.get('git.dirty', 'unknown')}"
    if "parent" in tags:
        yield f"- fine-tuned from: `{tags['parent']}`"


def _figure(key: str, figure: Figure) -> str:
    domain, measure = key.split(".")
    title = measure.removesuffix("_22").replace("_", " ")
    return f"{title}, {domain} | {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}), n = {figure.n}"


def _table(head: str, rows: Iterator[str]) -> str:
    return "\n".join([f"| {head} |", "|---|---|", *(f"| {row} |" for row in rows)])
