"""Finding a light-curve model by its class name.

A new class is one file in this folder with one model under the decorator :func:`register`; a class
from another package calls :func:`register` itself or names its module as an entry point of the group
``astroreel.lightcurves``.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

from astroreel import lightcurves
from astroreel.errors import UserError
from astroreel.lightcurves.base import LightCurveModel
from astroreel.lightcurves.magnitudes import MagnitudeDistribution

Model = TypeVar("Model", bound=type[LightCurveModel])

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
    for entry in entry_points(group="astroreel.lightcurves"):
        entry.load()
