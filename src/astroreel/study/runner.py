"""Running the study: its cost first, then section by section, each written down as it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from astroreel.errors import UserError
from astroreel.files import read_json, write_json
from astroreel.parallel import worker_count
from astroreel.study.bench import Bench
from astroreel.study.config import Budget
from astroreel.study.section import Section

#: What a study leaves, below the project's folder.
REPORT = Path("reports") / "study.json"

#: Told how many units of a section are done, of how many, and the seconds that the others will take.
SectionTell = Callable[[str, int, int, float], None]


def run_study(
    root: Path,
    sections: Mapping[str, Section],
    names: Sequence[str],
    budget: Budget,
    say: Callable[[str], None],
    tell: SectionTell,
) -> Path:
    """Run sections (none named: all) in the checkout ``root`` and write reports/study.json after each.

    What was measured before stays; a unit that is done is not done again as long as what it depends on is the
    same. Returns the report's path.

    Raises
    ------
    UserError
        Where a section is unknown, or the pipeline has not run.
    """
    for name in names:
        if name not in sections:
            raise UserError(f"--section is {name!r}: choose from {', '.join(sections)}")
    chosen = [section for name, section in sections.items() if not names or name in names]
    bench = Bench(root, budget)
    _plan(bench, chosen, say, tell)
    report = root / REPORT
    for section in chosen:
        say(f"{section.name}: {section.describe}")
        origin = {"target": bench.parameters.source.target, "made_from": bench.inputs}
        origin |= {"describe": section.describe, "made_by": _command(section.name, budget)}
        tree = origin | section.run(bench)
        known = read_json(report) if report.exists() else {}
        write_json(report, {**known, section.name: tree})
    return report


def duration(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _plan(bench: Bench, chosen: Sequence[Section], say: Callable[[str], None], tell: SectionTell) -> None:
    """Say what is left to do and what it will cost."""
    total, all_measured = 0.0, True
    for section in chosen:
        plan = section.plan(bench)
        bench.expect(section.name, plan, _telling(tell, section.name))
        units = bench.units(section.name)
        left = units.left(plan)
        seconds, measured = units.seconds(left) / worker_count(bench.config.workers), units.is_measured(left)
        if left:
            say(f"{section.name}: {len(left)} of {len(plan)} units to do, {_cost(seconds, measured)}")
        else:
            say(f"{section.name}: nothing to compute" + (f", {len(plan)} units are done" if plan else ""))
        total, all_measured = total + seconds, all_measured and measured
    say(f"in all {_cost(total, all_measured)}; interrupted, the same command goes on")


def _cost(seconds: float, measured: bool) -> str:
    return f"about {duration(seconds)} ({'as measured' if measured else 'a first guess, not yet measured'})"


def _telling(tell: SectionTell, name: str) -> Callable[[int, int, float], None]:
    return lambda done, total, seconds: tell(name, done, total, seconds)


def _command(name: str, budget: Budget) -> str:
    return f"astroreel study --section {name} --budget {budget}"
