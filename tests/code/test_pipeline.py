"""dvc.yaml names, for every stage, the code that the stage imports: no less, so that nothing stale is
kept, and no more, so that nothing is done again in vain."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

#: Plumbing: it decides no result. The parameters are followed by DVC key by key.
PLUMBING = {
    "pipelines/stage.py",
    "src/astroreel/errors.py",
    "src/astroreel/files.py",
    "src/astroreel/parameters.py",
    "src/astroreel/provenance.py",
    "src/astroreel/training/config.py",
    "src/astroreel/training/reporter.py",
}
#: Folders whose modules are found by name at run time.
FOUND_BY_NAME = ("src/astroreel/lightcurves",)


def _module_file(name: str) -> Path | None:
    for base in (ROOT / "src", ROOT / "pipelines"):
        path = (base / name.replace(".", "/")).with_suffix(".py")
        if path.exists():
            return path
    return None


def _imports(path: Path) -> set[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {file for name in names if (file := _module_file(name)) is not None}


def imported(stage: str) -> set[str]:
    """Every file of ours that a stage's script imports, directly or not, without the plumbing."""
    waiting, seen = [ROOT / "pipelines" / f"{stage}.py"], set()
    while waiting:
        path = waiting.pop()
        name = path.relative_to(ROOT).as_posix()
        if name in seen or name in PLUMBING:
            continue
        seen.add(name)
        waiting += _imports(path)
        for folder in FOUND_BY_NAME:
            if name.startswith(f"{folder}/"):
                waiting += [file for file in (ROOT / folder).glob("*.py") if file.name != "__init__.py"]
    return seen


def _code(stage: str) -> set[str]:
    return {path for path in STAGES[stage]["deps"] if path.startswith(("src/", "pipelines/"))}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_that_it_imports(stage: str) -> None:
    named = _code(stage)
    missing = {
        name
        for name in imported(stage)
        if name not in named and not any(name.startswith(f"{d}/") for d in named)
    }
    assert missing == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_code_that_it_does_not_import(stage: str) -> None:
    files = imported(stage)
    inside = {
        path.relative_to(ROOT).as_posix()
        for name in _code(stage)
        for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).glob("*.py"))
        if path.name != "__init__.py"
    }
    assert inside - files == set()
