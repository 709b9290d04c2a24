"""``astroreel configure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from astroreel.cli.console import output, say


def configure(
    scale: Annotated[str | None, typer.Option(help="smoke, default or thesis: write that preset.")] = None,
    target: Annotated[str | None, typer.Option(help="auto, hits or surrogate.")] = None,
    source: Annotated[str | None, typer.Option(help="A folder with the HiTS files.")] = None,
) -> None:
    """Write params.yaml: the preset of a scale, and where the target's data come from.

    Without --scale an existing params.yaml keeps all that was set by hand; only the source is looked
    for again.
    """
    from astroreel.parameters import configure as write_parameters

    chosen = write_parameters(Path.cwd(), scale, target, source, say=say)
    where = chosen.source.path or "no real data: a surrogate target, simulated"
    output.print(f"params.yaml: scale {chosen.scale}, target {chosen.source.target} ({where})", markup=False)
