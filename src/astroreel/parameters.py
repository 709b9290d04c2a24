"""params.yaml: every parameter of the pipeline, checked as a whole, one section a stage.

A scale is a preset: ``scales/default.yaml`` is the whole file with its comments, the others name only
what differs from it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from astroreel.errors import UserError
from astroreel.evaluation.protocol import EvaluationConfig
from astroreel.files import write_text
from astroreel.models.forest import ForestConfig
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.simulate import SimulationConfig
from astroreel.sequences.split import SplitConfig
from astroreel.sequences.surrogate import SurrogateConfig
from astroreel.source import Source, find_source
from astroreel.training.finetune import FinetuneConfig
from astroreel.training.loop import TrainingConfig
from astroreel.training.search import SearchConfig

FILE = Path("params.yaml")
_SCALES = Path(__file__).parent / "scales"

Scale = Literal["smoke", "default", "thesis"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Registry(_Section):
    """Section ``registry``: where runs and versions are published.

    Attributes
    ----------
    tracking_uri
        MLflow's tracking and registry store.
    experiment
        MLflow experiment of the runs.
    draw, fold
        Which of the fine-tuned models is registered; fixed before any result is seen.
    """

    tracking_uri: str = Field("sqlite:///mlflow.db", min_length=1)
    experiment: str = Field("astroreel", min_length=1)
    draw: int = Field(0, ge=0)
    fold: int = Field(0, ge=0)


class Parameters(_Section):
    """All of params.yaml. Each attribute is the section of the stage of its name."""

    scale: Scale
    source: Source
    preparation: Preparation
    ingest: SurrogateConfig
    simulate: SimulationConfig
    split: SplitConfig
    forest: ForestConfig
    search: SearchConfig
    pretrain: TrainingConfig
    finetune: FinetuneConfig
    evaluate: EvaluationConfig
    registry: Registry


def read_parameters(root: Path) -> Parameters:
    """Read and check ``root/params.yaml``.

    Raises `UserError` naming the key, the rule and the value where it is missing or wrong.
    """
    path = root / FILE
    try:
        content = _yaml().load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: run `astroreel configure`") from None
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error})") from error
    return _checked(content, path)


def configure(
    root: Path,
    scale: str | None,
    target: str | None,
    source: str | None,
    say: Callable[[str], None],
) -> Parameters:
    """Write ``root/params.yaml``: a scale's preset, or what is there, with the source found anew.

    What was set by hand stays unless ``scale`` is given. The file is left alone where nothing changes.
    """
    if scale is not None and scale not in get_args(Scale):
        raise UserError(f"--scale is {scale!r}: choose from {', '.join(get_args(Scale))}")
    if target is not None and target not in ("auto", "hits", "surrogate"):
        raise UserError(f"--target is {target!r}: choose auto, hits or surrogate")
    path = root / FILE
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    content = preset(cast(Scale, scale or "default")) if scale or not before else _yaml().load(before)
    old = _checked(content, path).source if before and not scale else Source()
    request = target or ("hits" if source else old.request)
    known_path = source or (old.path if old.path and request != "surrogate" else "")
    found = find_source(root, cast(Any, request), source or _still_there(root, known_path), say)
    content["source"].update(found.model_dump())
    parameters = _checked(content, path)
    text = _dump(content)
    if text != before:
        write_text(path, text)
    return parameters


def preset(scale: Scale) -> Any:
    """The commented content of params.yaml at a scale; the source is still to be found."""
    content = _yaml().load((_SCALES / "default.yaml").read_text(encoding="utf-8"))
    if scale != "default":
        _overlay(content, _yaml().load((_SCALES / f"{scale}.yaml").read_text(encoding="utf-8")))
    content["scale"] = scale
    return content


def _still_there(root: Path, path: str) -> str:
    from astroreel.source import is_hits_folder

    return path if path and is_hits_folder(root / path) else ""


def _overlay(content: Any, changes: Any) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _overlay(content[key], value)
        else:
            content[key] = value


def _checked(content: Any, path: Path) -> Parameters:
    try:
        return Parameters.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or FILE.name
        raise UserError(f"{path}: {key}: {first['msg']}, not {first['input']!r:.80}") from error


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dump(content: Any) -> str:
    stream = io.StringIO()
    _yaml().dump(content, stream)
    return stream.getvalue()
