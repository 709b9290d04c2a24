"""A training run on disk: weights, optimiser and history in one file without a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from astroreel.errors import UserError
from astroreel.files import replacing_file

_STATE = "state"


def save_checkpoint(path: Path, groups: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write named groups of tensors, and a ``state`` that JSON can hold, whole or not at all."""
    tensors = {
        f"{group}/{name}": tensor.detach().contiguous().clone()
        for group, members in groups.items()
        for name, tensor in members.items()
    }
    with replacing_file(path) as scratch:
        save_file(tensors, scratch, metadata={_STATE: json.dumps(state)})


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], Any]:
    """Read what `save_checkpoint` wrote; raises `UserError` where the file is something else."""
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()[_STATE])
            for key in file.keys():  # noqa: SIM118 - not a mapping
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a checkpoint ({error}): delete it to train from the start") from error
    return groups, state


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser, one tensor for each parameter's number and quantity."""
    state = optimiser.state_dict()["state"]
    return {f"{number}/{name}": value for number, entry in state.items() for name, value in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Fill in what `optimiser_tensors` took out."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
