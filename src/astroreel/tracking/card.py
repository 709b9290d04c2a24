"""The model card: the description of a version, made from a template, its lineage and its figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.models.bundle import Bundle

#: The template, in a project's folder.
TEMPLATE = Path("registry", "card.md")


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
        Sequences of each class it was fine-tuned on; None: all that were labelled.
    draw, fold
        Which of the procedure's models it is; None with ``shots``.
    """

    parent: Path
    shots: int | None = None
    draw: int | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Subject:
    """The version that a card is about.

    Attributes
    ----------
    name, version
        As in ``models:/NAME/VERSION``.
    bundle
        Its content.
    tags
        The version's (:mod:`astroreel.tracking.registry`).
    figures
        By ``DOMAIN.MEASURE``.
    tuning
        How it was fine-tuned; None: it was not.
    """

    name: str
    version: str
    bundle: Bundle
    tags: Mapping[str, str]
    figures: Mapping[str, Figure]
    tuning: FineTuning | None


def version_card(template: Path, subject: Subject) -> str:
    """Markdown for a version's page.

    Raises `UserError` where the template is missing or wrong.
    """
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True)
    tags = subject.tags
    try:
        return environment.from_string(template.read_text(encoding="utf-8")).render(
            name=subject.name,
            version=subject.version,
            kind=subject.bundle.kind,
            network=subject.bundle.architecture.get("name", ""),
            digest=subject.bundle.digest,
            classes=CLASSES,
            tags=defaultdict(str, tags),
            data={key.removeprefix("data."): tags[key] for key in sorted(tags) if key.startswith("data.")},
            figures={_title(key): figure for key, figure in subject.figures.items()},
            tuning=subject.tuning,
            training=_training(tags["target"], subject.tuning),
            surrogate=tags["target"] == "surrogate",
            real=any(key.startswith("real.") for key in subject.figures),
        )
    except OSError as error:
        raise UserError(f"{template}: cannot be read ({error.strerror}): take it back from git") from error
    except TemplateError as error:
        raise UserError(
            f"{template}: no template of a model card ({error}): take it back from git"
        ) from error


def _training(target: str, tuning: FineTuning | None) -> str:
    if tuning is None:
        return "trained on simulations"
    origin = "surrogate" if target == "surrogate" else "real"
    if tuning.shots is None:
        return f"trained on simulations and fine-tuned on all labelled {origin} sequences"
    return f"trained on simulations and fine-tuned on {tuning.shots} {origin} sequences a class"


def _title(key: str) -> str:
    """``real.recall_22.supernova`` in words: "recall, real, supernova"."""
    domain, measure, *part = key.split(".")
    return ", ".join([measure.removesuffix("_22").replace("_", " "), domain, *part])
