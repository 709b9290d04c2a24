"""Stage split: windows, folds of fields and few-shot draws of the target's objects (thesis 3.2.1)."""

from __future__ import annotations

from collections import Counter

from stage import DATA, stage

from astroreel.photometry.detection import first_detection
from astroreel.photometry.optimal import photometry
from astroreel.sequences.file import read_folder
from astroreel.sequences.split import good_seeing, split_target

if __name__ == "__main__":
    with stage("split") as run:
        config = run.parameters.split
        run.reporter.params(config.model_dump())
        target = good_seeing(read_folder(DATA / "target"), config)
        curves = photometry(target, run.parameters.preparation)
        alerts = first_detection(curves, target.epochs["seeing"])
        split = split_target(target, alerts, config)
        split.write(DATA / "split.json")
        counts = Counter(entry.label for entry in split.objects.values())
        run.reporter.metrics({f"objects.{label}": n for label, n in counts.items()})
        run.reporter.metrics({"excluded": len(split.excluded)})
