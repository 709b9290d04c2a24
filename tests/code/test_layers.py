"""Data flow one way: a folder imports folders before it, and few know MLflow, Ray and DVC."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "astroreel"
ORDER = (
    "survey",
    "lightcurves",
    "images",
    "sequences",
    "photometry",
    "models",
    "training",
    "evaluation",
    "study",
    "tracking",
    "governance",
    "serving",
    "arrivals",
    "schedule",
    "cli",
)
#: The folders or files in which a library may be imported.
ADAPTERS = {
    "mlflow": ("tracking/",),
    "ray": ("training/search_ray.py", "training/train_ray.py", "parallel.py"),
    "dvc": ("arrivals/", "schedule/"),
    "starlette": ("serving/", "governance/receiver.py", "arrivals/desk.py"),
}


def imports(path: Path) -> Iterator[str]:
    """What a file imports when it runs, without what is there for the type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    ignored = {id(inner) for node in typing for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_every_folder_is_in_the_order() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ORDER)


@pytest.mark.parametrize("folder", ORDER)
def test_a_folder_imports_only_folders_before_it(folder: str) -> None:
    later = ORDER[ORDER.index(folder) + 1 :]
    wrong = {
        (path.name, name)
        for path in (PACKAGE / folder).rglob("*.py")
        for name in imports(path)
        if name.startswith("astroreel.") and name.split(".")[1] in later
    }
    assert wrong == set()


@pytest.mark.parametrize("library", ADAPTERS)
def test_a_library_is_imported_by_its_adapters_alone(library: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] == library
    }
    assert {user for user in users if not user.startswith(ADAPTERS[library])} == set()
