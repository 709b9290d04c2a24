"""``astroreel serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from astroreel.cli.console import output

Precision = Literal["float32", "bfloat16"]


def serve(
    model: Annotated[list[str] | None, typer.Option(help="A registered model; none: all deployed.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8080,
    states: Annotated[Path, typer.Option(help="Folder of the objects' states.")] = Path("states"),
    memory: Annotated[int, typer.Option(min=1, help="MB of states in memory, each model.")] = 256,
    precision: Annotated[Precision, typer.Option(help="In which single frames are answered.")] = "float32",
) -> None:
    """Serve the deployed models over HTTP, until Ctrl-C."""
    from astroreel.governance.deployment import FOLDER, Deployment
    from astroreel.serving.run import listen, run
    from astroreel.serving.service import Service

    listener = listen(host, port)
    service = Service(Deployment(Path(FOLDER)), model or [], states, memory * 2**20, precision)
    service.refresh()
    address, bound = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    output.print(f"serving on http://{shown}:{bound}", markup=False)
    run(service, listener)
