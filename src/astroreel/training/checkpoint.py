"""A training's state on disk: one safetensors file, so that it is replaced at once or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from astroreel.errors import UserError
from astroreel.files import replacing_file

_NOTES = "notes"


@dataclass
class RunState:
    """What is needed to go on: tensors, and numbers and words that JSON holds."""

    tensors: dict[str, Tensor]
    notes: dict[str, Any]


def save_checkpoint(path: Path, state: RunState) -> None:
    """Write a state to the file ``path``, replacing an earlier one."""
    with replacing_file(path) as scratch:
        tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in state.tensors.items()}
        save_file(tensors, scratch, metadata={_NOTES: json.dumps(state.notes)})


def load_checkpoint(path: Path) -> RunState | None:
    """The state in the file ``path``, or None where there is none.

    Raises `UserError` where it is damaged.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            return RunState(tensors, json.loads(stream.metadata()[_NOTES]))
    except Exception as error:  # safetensors raises its own kinds for a torn file
        raise UserError(f"{path}: damaged checkpoint ({error}): delete it to start anew") from error
