"""``astroreel convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from astroreel.cli.console import bar, output, say
from astroreel.files import check_new_folder

app = typer.Typer(no_args_is_help=True, help="Convert other formats to sequence files.")


@app.command("hits")
def convert_hits(
    source: Annotated[Path, typer.Argument(help="Folder that holds real_obs/.")],
    out: Annotated[Path, typer.Option(help="A new folder to write sequence files to.")],
    resample: Annotated[
        bool, typer.Option(help="Resample all stamps as those of the supernovae were by their authors.")
    ] = True,
) -> None:
    """The HiTS 2015 files to sequence files."""
    from astroreel.sequences.hits import convert_hits as convert

    check_new_folder(out)
    with bar("convert") as progress:
        report = convert(source, out, progress, resample=resample)
    for label, count in sorted(report.kept.items()):
        output.print(f"{label}: {count}", markup=False)
    for name, reason in sorted(report.left_out.items()):
        say(f"left out: {name}: {reason}")
