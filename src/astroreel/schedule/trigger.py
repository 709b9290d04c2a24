"""Whether a pass begins now, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from astroreel.schedule.config import ScheduleConfig
from astroreel.schedule.journal import ENDED, Pass
from astroreel.schedule.labels import Labels, counts


@dataclass(frozen=True)
class Decision:
    """Whether a pass begins, and the reason in one line."""

    begin: bool
    reason: str


def hindrance(config: ScheduleConfig, passes: Sequence[Pass], now: datetime) -> str:
    """Why no pass may begin now, whatever there is to do: "" where it may."""
    tried = [one for one in passes if one.id and one.began > now - timedelta(days=1)]
    if len(tried) >= config.runs_a_day:
        return f"{len(tried)} passes within 24 hours, {config.runs_a_day} are allowed"
    ended = [one for one in passes if one.outcome in ENDED]
    if ended:
        rested = now - ended[-1].began - timedelta(seconds=ended[-1].seconds)
        if rested < timedelta(hours=config.cool_down_hours):
            return f"cooling down: {_hours(rested)} of {config.cool_down_hours:g} h since the last pass"
    return ""


def decide(config: ScheduleConfig, labels: Labels, new: Labels, drift: str, now: datetime) -> Decision:
    """Whether the new labels among all, or a drift that is told in one line, begin a pass."""
    if not new:
        return Decision(False, f"no new label{_beside(drift)}")
    if len(counts(labels.values())) < 2:
        return Decision(
            False, f"every label is {next(iter(labels.values())).label}: a second class is needed"
        )
    by_class = counts(new.values())
    most = max(by_class, key=lambda label: by_class[label])
    age = max(now - datetime.fromisoformat(label.since) for label in new.values())
    if len(new) >= config.labels:
        return Decision(True, f"{len(new)} new labels")
    if by_class[most] >= config.labels_a_class:
        return Decision(True, f"{by_class[most]} new labels of {most}")
    if age > timedelta(days=config.age_days):
        return Decision(True, f"a new label is {age.total_seconds() / 86_400:.1f} days old")
    if drift:
        return Decision(True, f"{drift}, and {len(new)} new labels")
    return Decision(False, f"{len(new)} new labels, {config.labels} begin a pass")


def _beside(drift: str) -> str:
    return f"; {drift}: `astroreel inbox ask` says what to label" if drift else ""


def _hours(time: timedelta) -> str:
    return f"{time.total_seconds() / 3600:.1f}"
