"""``astroreel doctor``: whether this folder and this machine have what the commands need."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astroreel.cli.console import PARTIAL, output
from astroreel.errors import UserError

if TYPE_CHECKING:
    from astroreel.parameters import Parameters

#: Free space below which a run of the default scale may not end [GB].
LEAST_SPACE = 5.0

_GIGA = 1e9


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False) -> None:
    """Look at disk, device, parameters, data, registry and what is deployed; status 3 where one is wrong."""
    import json

    found = list(_examined(Path.cwd()))
    if as_json:
        names = ("what", "sound", "detail")
        typer.echo(json.dumps([dict(zip(names, one, strict=True)) for one in found], indent=2))
    else:
        for what, sound, detail in found:
            output.print(f"{'ok   ' if sound else 'WRONG'} {what}: {detail}", markup=False)
    if not all(sound for _, sound, _ in found):
        raise typer.Exit(PARTIAL)


def _examined(root: Path) -> Iterator[tuple[str, bool, str]]:
    from astroreel.parameters import read_parameters

    yield _told("disk", lambda: _disk(root))
    yield _told("device", _device)
    yield _told("parameters", lambda: _summary(read_parameters(root)))
    try:
        parameters = read_parameters(root)
    except UserError:
        return
    yield _told("data", lambda: _data(root, parameters))
    yield _told("registry", _registry)
    yield _told("deployed", lambda: _deployed(root))


def _told(what: str, look: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return what, True, look()
    except UserError as error:
        return what, False, " ".join(str(error).split())


def _disk(root: Path) -> str:
    free = shutil.disk_usage(root).free / _GIGA
    if free < LEAST_SPACE:
        raise UserError(f"{free:.1f} GB free, a run of the default scale needs {LEAST_SPACE:g}: make room")
    return f"{free:.0f} GB free"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"processor, {torch.get_num_threads()} threads; no GPU"


def _summary(parameters: Parameters) -> str:
    return f"scale {parameters.scale}, target {parameters.source.target}"


def _data(root: Path, parameters: Parameters) -> str:
    from astroreel.source import verify_source, verify_survey

    source = parameters.source
    if source.target == "surrogate":
        return "a surrogate, simulated by the pipeline"
    if source.target == "hits":
        return f"{verify_source(root, source)}, as params.yaml pins it"
    verify_survey(root, source)
    return f"{source.target}, a survey without labels"


def _registry() -> str:
    from astroreel.cli.registry import open_registry
    from astroreel.tracking.registry import status

    return f"{len(status(open_registry()))} versions"


def _deployed(root: Path) -> str:
    from astroreel.governance.deployment import FOLDER, Deployment
    from astroreel.models.bundle import load_bundle

    deployment = Deployment(root / FOLDER)
    for pointer in deployment.pointers():
        if load_bundle(deployment.bundle_of(pointer)).digest != pointer.digest:
            raise UserError(f"{pointer.uri}: its bundle is another: run `astroreel registry reconcile`")
    return ", ".join(pointer.uri for pointer in deployment.pointers()) or "nothing yet"
