"""What a hold-out proves: class-balanced means with bounds that hold at small levels and small n.

Objects of one field share its nights and its sky, so a mean's variance is taken between whole fields, with
Student's t. A handful of objects that all agree would have no variance at all; each class therefore gets two
more objects, one at either end of the range, and no variance below that of independent objects so counted
(for recalls: Agresti and Caffo 2000, Am. Stat. 54, 280; for paired differences: Bonett and Price 2012,
J. Educ. Behav. Stat. 37, 479). In closed form, because resampling does not reach the levels that are left
after many looks at one hold-out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Span = tuple[float, float]

#: The ranges of hits and of differences of hits.
HITS: Span = (0.0, 1.0)
DIFFERENCES: Span = (-1.0, 1.0)

_SIMULATIONS = 4000


@dataclass(frozen=True)
class Bounds:
    """A measured value and its one-sided bounds: the truth lies beyond either with the level's chance."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Arrangement:
    """How N objects lie in classes and fields.

    Attributes
    ----------
    classes
        (N, C), true where an object is of a class; only classes that occur.
    fields
        (N, F), true where an object lies in a field.
    freedom
        Degrees of freedom of a variance between the fields: fewer than there are, where few hold most of
        what counts (Bell and McCaffrey 2002, Survey Methodology 28, 169; for independent objects).
    """

    classes: NDArray[np.bool_]
    fields: NDArray[np.bool_]
    freedom: float

    @classmethod
    def of(cls, labels: NDArray[np.generic], fields: NDArray[np.generic]) -> Arrangement:
        """From the class and the field of each object, (N,) each."""
        in_class, in_field = labels[:, None] == np.unique(labels), fields[:, None] == np.unique(fields)
        share = in_class.astype(float) @ (1 / in_class.sum(axis=0) ** 2) @ in_field
        return cls(in_class, in_field, float(share.sum() ** 2 / np.sum(share**2)) - 1)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of objects of each class, (C,)."""
        return self.classes.sum(axis=0)

    def select(self, members: NDArray[np.bool_]) -> Arrangement:
        """The objects of one class by themselves.

        Fields are taken to vary alike in all classes, so the degrees of freedom stay.
        """
        return Arrangement(np.ones((int(members.sum()), 1), bool), self.fields[members], self.freedom)


def level_of_look(level: float, look: int) -> float:
    """What the ``look``-th look (from 1) at a hold-out is given; over all looks this adds up to ``level``."""
    return level / (look * (look + 1))


def level_left(level: float, passed: Sequence[bool]) -> float:
    """The level of a look, given which of the looks before it ended in a pass.

    A look that ended in a pass hands its level on to the next, since only a pass that was none can err: the
    chance that a version which breaks a rule is ever passed stays below ``level``, however the looks depend
    on each other. Source: online fallback, Tian and Ramdas 2021, Stat. Methods Med. Res. 30, 976.
    """
    left = 0.0
    for look, was_passed in enumerate([*passed, False], start=1):
        own = left + level_of_look(level, look)
        left = own if was_passed else 0.0
    return own


def balanced_mean(values: NDArray[Any], arrangement: Arrangement, span: Span, level: float) -> list[Bounds]:
    """Bounds of the mean over the classes of the mean of each class's objects.

    Parameters
    ----------
    values
        (B, N), B sets of values of the N objects: hits, or differences of two models' hits.
    span
        The range of the values.
    level
        One-sided level of either bound.
    """
    values = values.astype(float)
    centre, error = _centre_and_error(values, arrangement, span)
    plain = (values @ arrangement.classes / arrangement.counts).mean(axis=-1)
    reach = _student(level, arrangement.freedom) * error
    # What is added to a class draws a mean to the middle: in no bound's favour.
    low, high = np.clip([np.minimum(centre, plain) - reach, np.maximum(centre, plain) + reach], *span)
    return [Bounds(*map(float, row)) for row in zip(plain, low, high, strict=True)]


def _centre_and_error(values: Floats, arrangement: Arrangement, span: Span) -> tuple[Floats, Floats]:
    """The mean with two more objects a class, and its standard error, (B,) each."""
    classes, fields = arrangement.classes.astype(float), arrangement.fields.astype(float)
    size = arrangement.counts + 2
    means = (values @ classes + sum(span)) / size
    residuals = values - means @ classes.T
    sums = (residuals / (classes @ (size * size.size))) @ fields
    count = sums.shape[1]
    between_fields = (
        count / max(count - 1, 1) * np.sum((sums - sums.mean(axis=1, keepdims=True)) ** 2, axis=1)
    )
    squares = residuals**2 @ classes + sum((end - means) ** 2 for end in span)
    between_objects = np.sum(squares / size**2, axis=1) / size.size**2
    return means.mean(axis=1), np.sqrt(np.maximum(between_fields, between_objects))


def _student(level: float, freedom: float) -> float:
    """How many standard errors a bound is away; of one field nothing follows for others."""
    return float(stats.t.isf(level, freedom)) if freedom > 0 else np.inf


def power(
    differences: NDArray[np.generic],
    arrangement: Arrangement,
    truth: float,
    threshold: float,
    level: float,
    rng: np.random.Generator,
) -> float:
    """Chance that the lower bound of the mean difference clears ``threshold`` where ``truth`` is true.

    By simulation: the two models disagree on each class as often as they did in ``differences`` (N,), at
    least as often as ``truth`` needs, and objects are independent of each other.
    """
    counts = arrangement.counts
    disagree = (np.abs(differences.astype(float)) @ arrangement.classes + 1) / (counts + 2)
    disagree = arrangement.classes @ np.maximum(disagree, abs(truth))
    draws = rng.random((_SIMULATIONS, len(differences)))
    simulated = (draws < (disagree + truth) / 2).astype(float) - (draws > 1 - (disagree - truth) / 2)
    centre, error = _centre_and_error(simulated, arrangement, DIFFERENCES)
    plain = (simulated @ arrangement.classes / counts).mean(axis=-1)
    reach = _student(level, arrangement.freedom) * error
    return float(np.mean(np.minimum(centre, plain) - reach >= threshold))


def jackknife(
    statistic: Callable[[NDArray[np.bool_]], float], arrangement: Arrangement, level: float
) -> Bounds:
    """Bounds of a statistic of a set of objects, by leaving out one field after the other.

    ``statistic`` takes a mask (N,) of the objects to use. Source: Efron and Stein 1981, Ann. Stat. 9, 586.
    """
    everything = np.ones(len(arrangement.fields), bool)
    value = statistic(everything)
    if arrangement.fields.shape[1] < 2:
        return Bounds(value, -np.inf, np.inf)
    parts = np.array([statistic(~field) for field in arrangement.fields.T])
    count = len(parts)
    error = float(np.sqrt((count - 1) / count * np.sum((parts - parts.mean()) ** 2)))
    reach = _student(level, arrangement.freedom) * error
    return Bounds(value, value - reach, value + reach)
