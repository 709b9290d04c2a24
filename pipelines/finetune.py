"""Stage finetune: both models with a few real sequences a class, for every draw and fold (thesis 3.2.4).

Models that are tested on a fold have seen no object of its fields. A survey without labels has no draws.
"""

from __future__ import annotations

from pathlib import Path

from stage import DATA, MODELS, ROOT, Stage, stage

from astroreel.files import replacing_folder, write_json
from astroreel.sequences.split import Split
from astroreel.training.few_shot import load_few_shot


def train_all(run: Stage, split: Split, folder: Path) -> None:
    models = load_few_shot(ROOT, run.parameters, split)
    with run.progress("fine-tune") as progress:
        for done, (draw, fold) in enumerate(split.pieces, start=1):
            name, shots = f"draw-{draw}-fold-{fold}", split.shots[draw][fold]
            reporter = run.reporter.child(name)
            models.train(folder / name, shots, done, reporter)
            reporter.params({"draw": draw, "fold": fold, "shots": ", ".join(shots)})
            reporter.close()
            progress(done, len(split.pieces))


if __name__ == "__main__":
    with stage("finetune") as run:
        run.reporter.params({**run.parameters.finetune.model_dump(), "copies": run.parameters.forest.copies})
        split = Split.read(DATA / "split.json")
        with replacing_folder(MODELS / "finetuned") as folder:
            write_json(folder / "shots.json", split.shots)
            if split.pieces:
                train_all(run, split, folder)
            else:
                target = run.parameters.source.target
                run.say(f"no labelled sequence of {target} yet: nothing to fine-tune with")
