"""HTML pages that need nothing but themselves, from the templates beside this file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from astroreel.evaluation import summary
from astroreel.evaluation.drawing import Drawing
from astroreel.evaluation.names import class_name, model_name, stage_name
from astroreel.files import write_text

TEMPLATES = Path(__file__).parent


def render_page(path: Path, template: str, folder: Path = TEMPLATES, **values: Any) -> None:
    """Write the page that ``template`` makes of ``values``; raises `UserError` where it cannot be written.

    The template lies in ``folder``, what it includes there or beside this file.
    """
    write_text(path, _environment(folder).get_template(template).render(**values))


def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        points=summary.points,
        whole=summary.whole,
        signed=summary.signed,
        model_name=model_name,
        stage_name=stage_name,
        class_name=class_name,
        data_uri=_data_uri,
        duration=_duration,
        words=_words,
        number=_number,
    )
    return environment


def _data_uri(drawing: Drawing) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.svg.encode()).decode()


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _number(value: float | str) -> str:
    """Four significant digits, thousands apart."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
