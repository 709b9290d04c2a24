"""What the inbox holds, in counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from astroreel.arrivals.folders import Folders
from astroreel.arrivals.known import Known
from astroreel.files import read_json

_DAY = 86_400.0
#: Ages that labels are counted by, and the longest of each [d].
_AGES = {"day": 1.0, "week": 7.0, "month": 30.0, "older": float("inf")}


@dataclass(frozen=True)
class Status:
    """What there is.

    Attributes
    ----------
    labelled, reserved
        Objects by class: those that may be learned from, and those kept for the hold-out.
    quarantined
        Files by the rule that they broke.
    unlabelled, replaced, waiting
        How many.
    ages
        Labelled objects, reserved ones among them, by the time since they were taken in.
    newest_age_days, oldest_age_days
        Of their youngest and their oldest; None where there is none.
    """

    labelled: dict[str, int]
    reserved: dict[str, int]
    quarantined: dict[str, int]
    unlabelled: int
    replaced: int
    waiting: int
    ages: dict[str, int]
    newest_age_days: float | None
    oldest_age_days: float | None


def status(folders: Folders, labelled: Sequence[Known], reserved: Sequence[Known], now: datetime) -> Status:
    """Count what is in the folders; an age is told by the time of its file."""
    reasons = Counter(read_json(file)["rule"] for file in folders.quarantine.glob("*/reason.json"))
    ages = [(now.timestamp() - one.file.stat().st_mtime) / _DAY for one in (*labelled, *reserved)]
    return Status(
        labelled=_by_class(labelled),
        reserved=_by_class(reserved),
        quarantined=dict(sorted(reasons.items())),
        unlabelled=len(folders.sequences(folders.unlabelled)),
        replaced=len(folders.sequences(folders.replaced)),
        waiting=sum(1 for _ in folders.waiting()),
        ages=_by_age(ages),
        newest_age_days=min(ages, default=None),
        oldest_age_days=max(ages, default=None),
    )


def _by_class(objects: Sequence[Known]) -> dict[str, int]:
    return dict(sorted(Counter(one.label for one in objects).items()))


def _by_age(ages: Sequence[float]) -> dict[str, int]:
    counts = Counter(next(name for name, longest in _AGES.items() if age < longest) for age in ages)
    return {name: counts[name] for name in _AGES}
