"""What a rehearsed season showed: reports/rehearsal.json and a page that needs nothing but itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import class_indices
from astroreel.evaluation.bootstrap import Measurement, difference, measure
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import ClassMeans
from astroreel.evaluation.page import render_page
from astroreel.evaluation.protocol import mean_recalls
from astroreel.files import write_json
from astroreel.schedule.rehearsal_arms import CHOSEN, FOREST, RANDOM, Floats, held_out
from astroreel.schedule.rehearsal_batches import Batch
from astroreel.schedule.rehearsal_figures import bought, scheduled
from astroreel.study.bench import Bench
from astroreel.study.probe import resampling_of

#: What a rehearsal leaves, below the project's folder.
JSON, PAGE = Path("reports", "rehearsal.json"), Path("reports", "rehearsal.html")

NEWEST, CHAMPION = "scheduled_newest", "scheduled_champion"


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal measured, on N objects of the hold-out.

    Attributes
    ----------
    batches
        What came of each.
    sizes
        Labels of the arms: none, and after each batch.
    newest, champion
        Class probabilities (N, 7) of the newest and the deployed network after each batch; None for none.
    arms
        Those of each arm by its name, (seeds, sizes, N, 7).
    """

    batches: list[Batch]
    sizes: list[int]
    newest: list[Floats | None]
    champion: list[Floats | None]
    arms: dict[str, Floats]


#: Mean recall by the number of labels.
Curve = list[tuple[int, Estimate]]


@dataclass(frozen=True)
class Findings:
    """Mean recalls on the hold-out.

    Attributes
    ----------
    curves
        Of each arm by its name.
    at_once
        Of all labels learned at once.
    differences
        Between two arms, paired by objects, by what is compared.
    """

    curves: dict[str, Curve]
    at_once: Estimate
    differences: dict[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """Plain values, every estimate a leaf of contract 3."""
        recalls = {
            arm: {str(labels): one.to_json() for labels, one in curve} for arm, curve in self.curves.items()
        }
        return {
            "mean_recall": recalls | {"all_at_once": self.at_once.to_json()},
            "difference": {name: one.to_json() for name, one in self.differences.items()},
        }


def report(root: Path, bench: Bench, rehearsed: Rehearsed) -> Path:
    """Write the figures and the page below ``root``; returns the page."""
    found = findings(bench, rehearsed)
    objects = held_out(bench)
    facts = {
        "target": bench.parameters.source.target,
        "scale": bench.parameters.scale,
        "season": bench.parameters.rehearse.model_dump(),
        "holdout": {"objects": len(objects), "fields": len(set(objects.sequences.objects["field"].tolist()))},
    }
    write_json(root / JSON, facts | found.to_json() | {"batches": [_told(one) for one in rehearsed.batches]})
    render_page(
        root / PAGE,
        "rehearsal.html",
        Path(__file__).parent,
        **facts,
        found=found,
        batches=rehearsed.batches,
        final=rehearsed.batches[-1].account,
        figures=[scheduled(found.curves, found.at_once, _promotions(rehearsed)), bought(found.curves)],
        recalls=[
            {name: dict(found.curves[name]).get(one.account.labelled) for name in (NEWEST, CHAMPION)}
            for one in rehearsed.batches
        ],
    )
    return root / PAGE


def findings(bench: Bench, rehearsed: Rehearsed) -> Findings:
    """Measure all arms with the same resamples, by fields."""
    objects = held_out(bench)
    resampling, labels = resampling_of(bench, objects), class_indices(objects.sequences.labels)

    def measured(said: Floats) -> Measurement:
        """Hits of class probabilities (seeds, sizes, N, 7)."""
        hits: NDArray[np.bool_] = said.argmax(axis=-1) == labels
        return measure(np.moveaxis(hits, 1, 2), labels, resampling)

    hits = {name: measured(said) for name, said in rehearsed.arms.items()}
    curves = {name: list(zip(rehearsed.sizes, mean_recalls(one), strict=True)) for name, one in hits.items()}
    seen = [batch.account.labelled for batch in rehearsed.batches]
    last = {}
    for name, steps in ((NEWEST, rehearsed.newest), (CHAMPION, rehearsed.champion)):
        known = [(n, said) for n, said in zip(seen, steps, strict=True) if said is not None]
        if known:
            one = measured(np.stack([said for _, said in known])[None])
            # Of batches without a new label the last stands.
            curves[name] = list(dict(zip((n for n, _ in known), mean_recalls(one), strict=True)).items())
            last[name] = measured(known[-1][1][None, None])
    at_once, forest = (measured(rehearsed.arms[name][:, -1:]) for name in (RANDOM, FOREST))
    differences = {
        f"{name} minus {rival}": difference(last[name], other, ClassMeans.balanced)[0]
        for name in last
        for rival, other in (("all_at_once", at_once), (FOREST, forest))
    }
    if len(rehearsed.sizes) > 2:
        differences[f"{CHOSEN} minus {RANDOM}"] = difference(hits[CHOSEN], hits[RANDOM], _mean_between)[0]
    return Findings(curves, mean_recalls(at_once)[0], differences)


def _mean_between(means: ClassMeans) -> Floats:
    """Mean recall averaged over the numbers of labels between none and all, (B, 1)."""
    return means.balanced()[:, 1:-1].mean(axis=1, keepdims=True)


def _promotions(rehearsed: Rehearsed) -> list[int]:
    """Labels there were when another network became champion."""
    before = ["", *(batch.champion for batch in rehearsed.batches)]
    return [
        batch.account.labelled
        for batch, old in zip(rehearsed.batches, before, strict=False)
        if batch.champion != old
    ]


def _told(batch: Batch) -> dict[str, Any]:
    """A batch as plain values."""
    account, outcome = batch.account, batch.outcome
    return {
        "number": batch.number,
        "fields": batch.fields,
        "arrived": account.arrived,
        "labelled": account.labelled,
        "mislabelled": account.mislabelled,
        "quarantined": account.reasons,
        "refused_though_whole": account.refused,
        "slipped": account.slipped,
        "lost": account.lost,
        "outcome": outcome.outcome if outcome else "",
        "reason": outcome.reason if outcome else "",
        "parent": outcome.parent if outcome else "",
        "versions": dict(outcome.versions) if outcome else {},
        "champion": batch.version,
        "seconds": batch.seconds,
    }
