"""Drift: whether the unlabelled stream still looks like what the champion learned from.

The reference is the target's labelled objects as they were when the champion learned: those that it learned
from, and the others of the same fields' nights, which the split parted from them by chance. What the champion
says is compared with what it says of objects that it did not learn from, since it is surer of the others. A
survey without labels has simulated objects for reference, drawn as the training set was.

Objects of a field share its nights and its sky, so that only fields are independent: each counts once, by the
mean of its objects, and each test takes its level from permutations of whole fields between reference and
stream, which holds whatever the objects of a field have in common (Good 2005, Permutation, Parametric and
Bootstrap Tests of Hypotheses). The statistic is Kolmogorov and Smirnov's, and for the classes the total
variation of their shares. The rate of false discoveries is controlled over all tests (Benjamini & Hochberg
1995): where nothing has drifted, the chance of an alarm is the level.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from astroreel.arrivals.folders import Folders
from astroreel.arrivals.known import read_arrival
from astroreel.models.load import load_classifier
from astroreel.parameters import Parameters
from astroreel.photometry.optimal import photometry
from astroreel.sequences.file import read_sequence
from astroreel.sequences.prepare import Preparation, background_noise, zero_point_factor
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.rim import RIM
from astroreel.sequences.split import Split, good_seeing
from astroreel.sequences.store import load_store

Floats = NDArray[np.float64]
Group = Literal["inputs", "predictions"]

#: Fewer fields than this in the stream say nothing.
LEAST_FIELDS = 5

_PERMUTATIONS = 9_999
#: Objects that the stream is, at most: those that arrived last.
_NEWEST = 1_000
#: Simulated objects that stand for the training set where there is no labelled one.
_SIMULATED = 1_000
#: Quantiles of the pooled values at which distributions are compared.
_GRID = np.linspace(0.02, 0.98, 49)
#: Sums of the same numbers in another order differ by less.
_ROUNDING = 1e-12
_MAD = 1.4826


@dataclass(frozen=True)
class DriftTest:
    """One comparison of stream and reference.

    Attributes
    ----------
    name, group
        What is compared: ``inputs`` or ``predictions``.
    statistic
        The distance of the two distributions, 0 to 1.
    p, adjusted
        Chance of such a distance where nothing has drifted, alone and among all tests.
    """

    name: str
    group: Group
    statistic: float
    p: float
    adjusted: float


@dataclass(frozen=True)
class Drift:
    """What all comparisons say.

    Attributes
    ----------
    objects, fields
        Of the stream.
    reference_objects, reference_fields
        Of the reference.
    level
        Chance of an alarm where nothing has drifted.
    tests
        What was compared, the clearest first.
    """

    objects: int
    fields: int
    reference_objects: int
    reference_fields: int
    level: float
    tests: tuple[DriftTest, ...]

    @property
    def drifted(self) -> bool:
        """Whether any comparison is beyond the level."""
        return any(test.adjusted <= self.level for test in self.tests)

    @property
    def reason(self) -> str:
        """Which ones are, in one line."""
        found = [test for test in self.tests if test.adjusted <= self.level]
        if not found:
            return f"no drift of {self.objects} objects in {self.fields} fields at level {self.level:g}"
        told = ", ".join(f"{test.name} (p {test.adjusted:.2g})" for test in found)
        return f"{self.objects} objects in {self.fields} fields differ from the reference: {told}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"drifted": self.drifted, "reason": self.reason}


@dataclass(frozen=True)
class Measured:
    """What is compared of N objects.

    Attributes
    ----------
    fields
        (N,) the field of each.
    values
        (N,) arrays by name; NaN where unknown.
    """

    fields: NDArray[np.str_]
    values: dict[str, Floats]


def drift(
    root: Path, parameters: Parameters, bundle: Path, learned: Collection[str], level: float = 0.01
) -> Drift | None:
    """Compare the unlabelled arrivals of the project in ``root`` with what its champion learned from.

    Parameters
    ----------
    bundle
        The folder of the champion's bundle.
    learned
        Names of the labelled objects that it learned from.
    level
        Chance of an alarm where nothing has drifted, each time that a new stream is compared.

    Returns
    -------
    Drift or None
        None where the stream has fewer than `LEAST_FIELDS` fields.

    Raises
    ------
    UserError
        Where the bundle or a file is missing or damaged.
    """
    folders, config = Folders(root / "arrivals"), parameters.split
    newest = sorted(folders.sequences(folders.unlabelled), key=lambda file: -file.stat().st_mtime)[:_NEWEST]
    stream = _usable(good_seeing(SequenceSet.from_sequences(map(read_arrival, newest)), config))
    if len(np.unique(stream.objects["field"])) < LEAST_FIELDS:
        return None
    reference = _usable(good_seeing(_reference(root, folders, learned), config))
    unseen = reference.select(~np.isin(reference.objects["name"], list(learned)))
    classifier, preparation = load_classifier(bundle), parameters.preparation

    def answers(sequences: SequenceSet) -> Floats:
        window = sequences.window(0, preparation.max_epochs)
        return classifier.predict(window)[window.offsets[1:] - 1]

    of_inputs = [inputs(one, preparation) for one in (reference, stream)]
    said = [(one.objects["field"], answers(one)) for one in (unseen, stream)]
    return compare(of_inputs[0], of_inputs[1], said[0], said[1], level, np.random.default_rng(config.seed))


def inputs(sequences: SequenceSet, preparation: Preparation) -> Measured:
    """Conditions, stamps and light curves of objects, one number each: medians over their epochs.

    The light curve's own brightness is left to the predictions: it is the classes', and their mixture's.
    """
    owner, epochs = sequences.owner, sequences.epochs
    noise = background_noise(sequences)
    border = np.asarray(sequences.stamps)[:, RIM]
    level = np.nanmedian(border, axis=1)
    scatter = _MAD * np.nanmedian(np.abs(border - level[:, None]), axis=1)
    curves = photometry(sequences, preparation)
    frames = {
        "seeing": epochs["seeing"] / sequences.objects["pixscale"][owner],
        "airmass": epochs["airmass"],
        "sky noise": np.log10(noise * zero_point_factor(sequences, preparation)),
        "depth": epochs["limmag"] - preparation.reference_zp,
        "sky left": (level - epochs["sky"]) / noise,
        "stamp noise": np.log10(scatter / noise),
        "bad pixels": np.isnan(border).mean(axis=1),
        "flux error": np.log10(curves.error),
    }
    values = {name: _median(value, sequences) for name, value in frames.items()}
    values["epochs"] = sequences.lengths.astype(np.float64)
    first, last = epochs["mjd"][sequences.offsets[:-1]], epochs["mjd"][sequences.offsets[1:] - 1]
    values["cadence"] = (last - first) / np.maximum(sequences.lengths - 1, 1)
    return Measured(sequences.objects["field"], values)


def compare(
    reference: Measured,
    stream: Measured,
    said_reference: tuple[NDArray[np.str_], Floats],
    said_stream: tuple[NDArray[np.str_], Floats],
    level: float,
    rng: np.random.Generator,
) -> Drift:
    """Compare measured inputs, and answers: fields (N,) with class probabilities (N, K)."""
    tests: list[tuple[str, Group, float, float]] = []
    for name in reference.values:
        value = _distributions(reference.values[name], stream.values[name])
        tests.append((name, "inputs", *_permuted(reference.fields, stream.fields, *value, rng)))
    fields, (first, second) = (said_reference[0], said_stream[0]), (said_reference[1], said_stream[1])
    confidence = _distributions(first.max(axis=1), second.max(axis=1))
    tests.append(("confidence", "predictions", *_permuted(*fields, *confidence, rng)))
    # Half the sum of the differences of shares is their total variation.
    tests.append(("class shares", "predictions", *_permuted(*fields, first, second, rng, total=True)))
    adjusted = false_discovery_control([p for *_, p in tests])
    found = [DriftTest(*one, float(p)) for one, p in zip(tests, adjusted, strict=True)]
    return Drift(
        objects=len(stream.fields),
        fields=len(np.unique(stream.fields)),
        reference_objects=len(reference.fields),
        reference_fields=len(np.unique(reference.fields)),
        level=level,
        tests=tuple(sorted(found, key=lambda test: (test.adjusted, test.p))),
    )


def _permuted(
    fields: NDArray[np.str_],
    stream_fields: NDArray[np.str_],
    rows: Floats,
    stream_rows: Floats,
    rng: np.random.Generator,
    total: bool = False,
) -> tuple[float, float]:
    """Distance of the fields' mean rows (N, G) and (M, G), and its p under permutations of whole fields.

    The distance is the largest difference of the G means or, in ``total``, half their sum.
    """
    # A field in both is two: what the stream saw of it was seen at another time.
    kept = _thinned(fields, stream_fields, rng)
    blocks = [_by_field(fields[kept], rows[kept]), _by_field(stream_fields, stream_rows)]
    means, n = np.concatenate(blocks), len(blocks[1])
    drawn = np.zeros((_PERMUTATIONS + 1, len(means)))
    drawn[0, -n:] = 1.0  # as it is
    order = rng.permuted(np.tile(np.arange(len(means)), (_PERMUTATIONS, 1)), axis=1)[:, :n]
    np.put_along_axis(drawn[1:], order, 1.0, axis=1)
    inside = drawn @ means
    gaps = np.abs(inside / n - (means.sum(axis=0) - inside) / (len(means) - n))
    distance = 0.5 * gaps.sum(axis=1) if total else gaps.max(axis=1)
    return float(distance[0]), float((distance >= distance[0] - _ROUNDING).mean())


def _thinned(
    fields: NDArray[np.str_], stream_fields: NDArray[np.str_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices of objects that leave every field as many as some field of the stream has, drawn at random.

    The mean of a field of few objects scatters more: without this a stream of small fields seems to differ.
    """
    _, field_of = np.unique(fields, return_inverse=True)
    _, sizes = np.unique(stream_fields, return_counts=True)
    most = rng.choice(sizes, field_of.max() + 1)
    order = rng.permutation(len(fields))
    order = order[np.argsort(field_of[order], kind="stable")]
    counts = np.bincount(field_of)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[rank < most[field_of[order]]]


def _by_field(fields: NDArray[np.str_], rows: Floats) -> Floats:
    """Mean of the rows of each field, (F, G)."""
    _, field_of = np.unique(fields, return_inverse=True)
    sums = np.zeros((field_of.max() + 1, rows.shape[1]))
    np.add.at(sums, field_of, rows)
    return sums / np.bincount(field_of)[:, None]


def _distributions(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Whether each value is at most each point of a grid, (N, G) and (M, G): means are the distributions."""
    both = np.nan_to_num(np.concatenate([first, second]), nan=np.inf)
    grid = np.unique(np.quantile(both, _GRID, method="inverted_cdf"))
    below = (both[:, None] <= grid).astype(np.float64)
    return below[: len(first)], below[len(first) :]


def _median(values: Floats, sequences: SequenceSet) -> Floats:
    """Median over each object's epochs, (N,), of values (M,)."""
    table = np.full((len(sequences), int(sequences.lengths.max())), np.nan)
    table[sequences.owner, sequences.position] = values
    return np.nanmedian(table, axis=1)


def _usable(sequences: SequenceSet) -> SequenceSet:
    return sequences.select(sequences.lengths > 0)


def _reference(root: Path, folders: Folders, learned: Collection[str]) -> SequenceSet:
    """The target's labelled objects, and the arrivals among those that were learned from."""
    split = Split.read(root / "data" / "split.json")
    if not split.objects:
        simulated = load_store(root / "data" / "simulated" / "test")
        count = min(len(simulated), _SIMULATED)
        return simulated.select(np.linspace(0, len(simulated) - 1, count).astype(np.int64))
    files = [root / "data" / "target" / f"{name}.fits" for name in split.objects]
    arrived = {Folders.file_name(name) for name in learned} - {file.name for file in files}
    files += [
        file for file in folders.sequences(folders.labelled) if file.name.removesuffix(".gz") in arrived
    ]
    return SequenceSet.from_sequences(map(read_sequence, files))
