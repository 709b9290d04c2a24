"""The sections that there are, in the order in which they are run."""

from __future__ import annotations

from astroreel.study import ablation, arena, controls, gap, normalisation, robustness, samples, slices
from astroreel.study.section import Section

_ALL: tuple[Section, ...] = (
    samples.SECTION,
    ablation.SECTION,
    normalisation.SECTION,
    controls.SECTION,
    arena.SECTION,
    robustness.SECTION,
    slices.SECTION,
    gap.SECTION,
)
SECTIONS = {section.name: section for section in _ALL}
