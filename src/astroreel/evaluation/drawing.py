"""The look that all figures share, and its SVG: the same bytes each time, light and dark.

Text stays text and takes the reader's own font; ink and paper are CSS variables that follow the
reader's colour scheme, so one file serves a page, a README and an experiment tracker.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK = "#1f2328"
MUTED = "#59636e"
RULE = "#d1d9e0"
PAPER = "#ffffff"
#: White on a coloured ground, in either scheme.
ON_COLOUR = "#fffffe"

#: Okabe and Ito's colours, told apart by all common kinds of colour vision.
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE, ORANGE, SKY = "#cc79a7", "#e69f00", "#56b4e9"

#: Of the classes, in their order.
CLASS_COLOURS = (VERMILION, BLUE, SKY, GREEN, MUTED, PURPLE, ORANGE)

#: Width of a figure [inch]: at this width a phone shows 10-point text as 10-pixel text.
WIDTH = 4.0

_DARK = {INK: "#e6edf3", MUTED: "#9198a1", RULE: "#3d444d", PAPER: "#0d1117"}
_NAMES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"}
_STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "astroreel",
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Attributes
    ----------
    name
        Stem of its file's name.
    title, caption
        What it is, and how to read it.
    svg
        The picture.
    """

    name: str
    title: str
    caption: str
    svg: str


@contextmanager
def canvas(height: float) -> Iterator[Figure]:
    """A figure of the shared width and of ``height`` [inch], in the shared style."""
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(WIDTH, height), layout="constrained")


def to_svg(figure: Figure) -> str:
    """The figure as SVG text; call it within its :func:`canvas`."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    body = stream.getvalue()
    body = body[body.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]+", "font-family: system-ui, sans-serif", body)
    for colour, name in _NAMES.items():
        body = body.replace(colour, f"var({name})")
    opening = body.index(">") + 1
    return body[:opening] + _scheme() + body[opening:]


def _scheme() -> str:
    light = "".join(f"{name}:{colour};" for colour, name in _NAMES.items())
    dark = "".join(f"{name}:{_DARK[colour]};" for colour, name in _NAMES.items())
    return f"<style>:root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
