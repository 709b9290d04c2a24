"""Finding a light-curve model by its class name.

A new class is one file with one model under the decorator :func:`register`, in any package that names it as
an entry point of the group :data:`~astroreel.classes.CLASS_GROUP`::

    [project.entry-points."astroreel.lightcurves"]
    m_dwarf_flare = "flares:MDwarfFlare"

Nothing else changes: the class is simulated, learnt and reported as the others are. What was trained for
fewer classes is refused, as it has no answer for the new one.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

from astroreel import lightcurves
from astroreel.classes import CLASS_GROUP
from astroreel.errors import UserError
from astroreel.lightcurves.base import LightCurveModel
from astroreel.lightcurves.magnitudes import MagnitudeDistribution

Model = TypeVar("Model", bound=type[LightCurveModel])

_NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")

_models: dict[str, type[LightCurveModel]] = {}


def register(model: Model) -> Model:
    """Make a model known under its ``name``; a class decorator.

    Raises `UserError` where another model has the name already.
    """
    if _models.setdefault(model.name, model) is not model:
        raise UserError(f"light-curve model {model.name!r} is registered already: give another name")
    return model


def light_curve_model(name: str, magnitudes: MagnitudeDistribution | None = None) -> LightCurveModel:
    """The model of a class; the distribution of magnitudes is HiTS's unless given.

    Raises `UserError` listing the choices for an unknown class.
    """
    _load_models()
    if name not in _models:
        raise UserError(f"no light-curve model of class {name!r}: choose from {', '.join(sorted(_models))}")
    return _models[name](magnitudes or MagnitudeDistribution())


@cache
def _load_models() -> None:
    for module in pkgutil.iter_modules(lightcurves.__path__, f"{lightcurves.__name__}."):
        importlib.import_module(module.name)
    for entry in entry_points(group=CLASS_GROUP):
        if not _NAME.fullmatch(entry.name):
            raise UserError(
                f"entry point {entry.name!r} of {CLASS_GROUP}: a class name has 1 to 24 small letters, "
                "digits and underscores"
            )
        entry.load()
        if entry.name not in _models:
            raise UserError(
                f"entry point {entry.name!r} of {CLASS_GROUP}: {entry.value} registers no model of this name"
            )
