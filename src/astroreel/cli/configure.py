"""``astroreel configure``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astroreel.cli.console import output, say

if TYPE_CHECKING:
    from astroreel.source import Source


def configure(
    scale: Annotated[str | None, typer.Option(help="smoke, default or thesis: write that preset.")] = None,
    target: Annotated[str | None, typer.Option(help="auto, hits, surrogate, or a survey.")] = None,
    source: Annotated[str | None, typer.Option(help="A folder with the HiTS files.")] = None,
) -> None:
    """Write params.yaml: the preset of a scale, and where the target's data come from.

    Without --scale an existing params.yaml keeps its scale and all that was set by hand; only the source
    is looked for again. A target other than hits and surrogate is a survey without labels yet, by its
    name or its file: it is simulated only.
    """
    from astroreel.parameters import FILE
    from astroreel.parameters import configure as write_parameters

    kept = "" if scale or not FILE.exists() else " (as before; SCALE=NAME or --scale NAME takes another)"
    chosen = write_parameters(Path.cwd(), scale, target, source, say=say)
    where = chosen.source.path or _without_data(chosen.source)
    line = f"{FILE}: scale {chosen.scale}{kept}, target {chosen.source.target} ({where})"
    output.print(line, markup=False)


def _without_data(source: Source) -> str:
    if source.labelled:
        return "no real data: a surrogate target, simulated"
    return "no real labels yet: simulated in its forecast conditions only"
