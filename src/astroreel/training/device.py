"""Where a network runs."""

from __future__ import annotations

import torch

from astroreel.errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is a GPU where there is one, else the processor.

    Raises `UserError` for a name that PyTorch does not know or a device that is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r}: not to be had here ({reason}): choose auto or cpu") from error
    return device
