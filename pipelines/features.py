"""Stage features: optimal photometry (2.1.6) and light-curve features (3.2.3) of every sequence.

After each number of samples, so that the forest can be followed as a light curve grows.
"""

from __future__ import annotations

from stage import DATA, stage

from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.features import feature_names
from astroreel.sequences.file import read_folder
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store

if __name__ == "__main__":
    with stage("features") as run:
        sets = {name: load_store(DATA / "simulated" / name) for name in ("train", "valid", "test")}
        split = Split.read(DATA / "split.json")
        sets["target"] = cut(read_folder(DATA / "target"), split, run.parameters.split)
        with run.progress("features") as progress:
            for done, (name, sequences) in enumerate(sets.items(), start=1):
                measured = FeatureSet.of(sequences, run.parameters.preparation)
                measured.save(DATA / "features" / f"{name}.npz")
                progress(done, len(sets))
        run.reporter.params({"features": len(feature_names())})
