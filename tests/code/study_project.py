"""A checkout that looks as if its pipeline had run, and units that cost next to nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from astroreel.parameters import configure
from astroreel.study.bench import Bench
from astroreel.study.runner import run_study
from astroreel.study.section import Section
from astroreel.study.units import Unit

LOCK = """schema: '2.0'
stages:
  pretrain:
    cmd: python pipelines/pretrain.py
    outs:
      - {{path: data/split.json, hash: md5, md5: {split}}}
      - {{path: models/pretrained, hash: md5, md5: 5d41402abc4b2a76b9719d911017c592.dir}}
"""


def make_project(root: Path, split: str = "0123456789abcdef0123456789abcdef") -> Path:
    """A project with params.yaml and dvc.lock; ``split`` stands for what the pipeline left."""
    if not (root / "params.yaml").exists():
        configure(root, "smoke", "surrogate", None, say=lambda message: None)
        set_workers(root, 1)
    (root / "dvc.lock").write_text(LOCK.format(split=split))
    return root


def set_workers(root: Path, workers: int) -> None:
    """How many processes the study takes."""
    path = root / "params.yaml"
    content = YAML().load(path)
    content["study"]["workers"] = workers
    YAML().dump(content, path)


def square(number: int, seconds: float, bench: Bench) -> Mapping[str, Any]:
    """A unit's result; that it was computed, and by whom, is written down."""
    time.sleep(seconds)
    with (bench.root / "computed.txt").open("a") as stream:
        stream.write(f"{number} {os.getpid()}\n")
    return {"square": number**2} if number % 2 else {"square": np.array(number**2)}


def computed(root: Path) -> list[int]:
    """The numbers that were squared, in order."""
    path = root / "computed.txt"
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def squares(count: int, seconds: float = 0.0) -> list[Unit]:
    return [Unit(f"square-{n}", n, partial(square, n, seconds), guess=30.0) for n in range(count)]


def section(name: str, count: int, seconds: float = 0.0) -> Section:
    """The sum of some squares."""

    def run(bench: Bench) -> dict[str, Any]:
        results = bench.units(name).do_all(squares(count, seconds), bench)
        total = sum(int(result["square"]) for result in results.values())
        return {"sum": {"value": total, "low": total, "high": total, "n": count}}

    return Section(name, "sums of squares", run, lambda bench: squares(count, seconds))


if __name__ == "__main__":  # a process to be killed: ROOT COUNT SECONDS
    root, count, seconds = sys.argv[1:]
    # Under the name by which other processes find what they compute.
    from tests.code import study_project as here

    slow = here.section("slow", int(count), float(seconds))
    run_study(Path(root), {"slow": slow}, [], "quick", lambda message: None, lambda *progress: None)
