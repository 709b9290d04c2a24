"""The space that a search explores: networks, their sizes, and the learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.training.config import SearchConfig

#: What a light network may read beside the stamps.
_INPUTS = ("conditions", "conditions+light_curve+features")

#: What is searched of each network, as it is by default.
_DEFAULTS: Mapping[str, Mapping[str, int | str]] = {
    "thesis": {"filters": 64},
    "compact": {"filters": 16, "units": 96, "inputs": _INPUTS[1]},
    "photometric": {"masks": 32, "units": 192, "inputs": _INPUTS[1]},
    "attention": {"masks": 24, "width": 96, "inputs": _INPUTS[1]},
}


def suggest(trial: optuna.Trial, config: SearchConfig) -> None:
    """The search space: a learning rate, a network, its sizes, and what it reads beside the stamps."""
    trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True)
    name = trial.suggest_categorical("network", config.networks)
    if "inputs" in _DEFAULTS[name]:
        trial.suggest_categorical(f"{name}.inputs", _INPUTS)
    match name:
        case "thesis":
            trial.suggest_categorical("thesis.filters", (16, 32, 64))
        case "compact":
            trial.suggest_categorical("compact.filters", (8, 16, 24))
            trial.suggest_categorical("compact.units", (64, 96, 128))
        case "photometric":
            trial.suggest_categorical("photometric.masks", (16, 24, 32))
            trial.suggest_categorical("photometric.units", (128, 192, 256))
        case "attention":
            trial.suggest_categorical("attention.masks", (16, 24, 32))
            trial.suggest_categorical("attention.width", (64, 96, 128))


def first_values(config: SearchConfig) -> dict[str, Any]:
    """What the first trial tries: where an earlier search ended, if ``config.start`` names one.

    Otherwise the first network as it is by default, at the training's own rate; at the thesis's scale this
    is Table 3.3 itself.

    Raises `UserError` where ``config.start`` is no best.json of a search over these networks.
    """
    if config.start is not None:
        return _found_before(Path(config.start), config.networks)
    name = config.networks[0]
    chosen = {f"{name}.{size}": value for size, value in _DEFAULTS[name].items()}
    return {"network": name, "learning_rate": config.training.learning_rate, **chosen}


def _found_before(path: Path, networks: tuple[str, ...]) -> dict[str, Any]:
    found = read_json(path)
    try:
        network, rate = found["network"], float(found["learning_rate"])
        sizes = {f"{network['name']}.{size}": _plain(network[size]) for size in _DEFAULTS[network["name"]]}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"search.start: {path} is no best.json of a search: leave it empty") from None
    if network["name"] not in networks:
        raise UserError(
            f"search.start: {path} holds a {network['name']} network: add it to search.networks, "
            f"which are {', '.join(networks)}"
        )
    return {"network": network["name"], "learning_rate": rate, **sizes}


def _plain(value: int | list[str]) -> int | str:
    """As a trial holds it: a list of inputs as one word."""
    return "+".join(value) if isinstance(value, list) else value


def chosen_network(values: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture that a trial's values mean."""
    name = values["network"]
    architecture = {"name": name}
    architecture |= {k.partition(".")[2]: v for k, v in values.items() if k.startswith(f"{name}.")}
    if "inputs" in architecture:
        architecture["inputs"] = tuple(architecture["inputs"].split("+"))
    if name == "thesis":  # the dense layer and the LSTM keep the proportions of Table 3.3
        architecture |= {"dense": 16 * architecture["filters"], "units": 8 * architecture["filters"]}
    return architecture
