"""params.yaml: every parameter of the pipeline, checked as a whole, one section a stage.

A scale is a preset: ``scales/default.yaml`` is the whole file with its comments, the others name only
what differs from it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from astroreel.arrivals.config import InboxConfig
from astroreel.errors import UserError
from astroreel.evaluation.protocol import EvaluationConfig
from astroreel.files import write_text
from astroreel.models.forest import ForestConfig
from astroreel.schedule.config import ScheduleConfig
from astroreel.schedule.season_config import SeasonConfig
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.simulate import SimulationConfig
from astroreel.sequences.split import SplitConfig
from astroreel.sequences.surrogate import SurrogateConfig
from astroreel.source import Source, find_source, is_hits_folder, read_survey, target_choices
from astroreel.study.config import StudyConfig
from astroreel.survey.survey import Survey
from astroreel.training.config import FinetuneConfig, PretrainConfig, SearchConfig

FILE = Path("params.yaml")
_SCALES = Path(__file__).parent / "scales"
_WAY_OUT = "correct it, or write a preset with `astroreel configure --scale NAME`"

Scale = Literal["smoke", "default", "thesis"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ingest(SurrogateConfig):
    """Section ``ingest``: the target.

    Attributes
    ----------
    resample
        Whether all stamps of HiTS are resampled as those of its supernovae were by their authors; read only
        where source.target is hits, all else only where it is surrogate.
    """

    resample: bool = True


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
    ingest: Ingest
    simulate: SimulationConfig
    split: SplitConfig
    forest: ForestConfig
    search: SearchConfig
    pretrain: PretrainConfig
    finetune: FinetuneConfig
    evaluate: EvaluationConfig
    study: StudyConfig = StudyConfig()
    registry: Registry
    inbox: InboxConfig = InboxConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    rehearse: SeasonConfig = SeasonConfig()

    @model_validator(mode="after")
    def _registers_what_is_trained(self) -> Self:
        # Told here, because the stage that would miss the model is the last but one.
        for key, made in (("draw", "draws"), ("fold", "folds")):
            value, count = getattr(self.registry, key), getattr(self.split, made)
            if value >= count:
                raise PydanticCustomError(
                    "not_trained",
                    "registry.{key} is {value}, but split.{made} is {count}: choose one from 0 to {last}",
                    {"key": key, "value": value, "made": made, "count": count, "last": count - 1},
                )
        return self

    @model_validator(mode="after")
    def _simulates_its_target(self) -> Self:
        # A survey's models must not carry the name of another.
        if not self.source.labelled and self.simulate.survey != self.source.survey:
            raise PydanticCustomError(
                "another_survey",
                "simulate.survey is {survey}, but the target's is {own}: the one must be the other",
                {"survey": self.simulate.survey, "own": self.source.survey},
            )
        return self


def read_parameters(root: Path) -> Parameters:
    """Read and check ``root/params.yaml``.

    Raises `UserError` naming the key, the rule and the value where it is missing or wrong.
    """
    path = root / FILE
    return _checked(_parsed(_text(path), path), path)


def configure(
    root: Path,
    scale: str | None,
    target: str | None,
    source: str | None,
    say: Callable[[str], None],
) -> Parameters:
    """Write ``root/params.yaml``: a scale's preset, or what is there, with the source found anew.

    What was set by hand stays unless ``scale`` is given; where the target is of another survey than it
    was, what depends on the survey is set as that one says. The file is left alone where nothing changes.
    """
    _check_options(scale, target, source)
    path = root / FILE
    before = "" if scale or not path.exists() else _text(path)
    content = _parsed(before, path) if before.strip() else preset(cast(Scale, scale or "default"))
    old = _checked(content, path).source
    request = target or (old.request if source is None else "hits")
    if source is None and request in ("auto", "hits"):
        source = _still_there(root, old.path, say)
    found = find_source(root, request, source or "", say)
    content["source"].update(found.model_dump())
    if found.survey != old.survey:
        _follow(content, found.survey, read_survey(root, found.survey))
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


def _check_options(scale: str | None, target: str | None, source: str | None) -> None:
    if scale is not None and scale not in get_args(Scale):
        raise UserError(f"--scale is {scale!r}: choose from {', '.join(get_args(Scale))}")
    if target == "":
        raise UserError(f"--target is empty: choose from {target_choices()}")
    if source == "":
        raise UserError("--source is empty: name a HiTS source folder")
    if source and target not in (None, "auto", "hits"):
        raise UserError(f"--source {source} with --target {target}, which has no source: leave one out")


def _follow(content: Any, name: str, survey: Survey) -> None:
    """Set what depends on the survey."""
    content["simulate"]["survey"] = name
    content["preparation"].update(reference_zp=survey.reference_zp, reference_exptime=survey.exptime)
    content["split"]["max_seeing"] = survey.max_seeing


def _still_there(root: Path, path: str, say: Callable[[str], None]) -> str:
    """The folder that params.yaml names, or "" where it is none of HiTS files (any more)."""
    if not path or is_hits_folder(root / path):
        return path
    say(f"{path}: no HiTS files there any more: looking elsewhere")
    return ""


def _overlay(content: Any, changes: Any) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _overlay(content[key], value)
        else:
            content[key] = value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: `astroreel configure` writes it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text in UTF-8 (byte {error.start}): {_WAY_OUT}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _parsed(text: str, path: Path) -> Any:
    try:
        content = _yaml().load(text)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: not valid YAML ({error.problem}): {_WAY_OUT}") from error
    except Exception as error:  # whatever an odd file makes the reader raise is the file's fault
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())}): {_WAY_OUT}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: {content!r:.40} where sections are expected: {_WAY_OUT}")
    return content


def _checked(content: Any, path: Path) -> Parameters:
    try:
        return Parameters.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {_departure(error.errors()[0])}") from error


def _departure(error: ErrorDetails) -> str:
    """One departure from the rules: the key, the rule, the value, the way out."""
    key, value = ".".join(str(part) for part in error["loc"]), f"{error['input']!r:.80}"
    match error["type"]:
        case "missing":
            return f"{key}: missing: {_WAY_OUT}"
        case "extra_forbidden":
            return f"{key}: unknown, its value is {value}: known are {', '.join(_known(error['loc'][:-1]))}"
        case "model_type":
            return f"{key}: expected the keys {', '.join(_known(error['loc']))} below it, not {value}"
        case "not_trained" | "another_survey":
            return error["msg"]
    rule = error["msg"].removeprefix("Value error, ").partition(", unable to ")[0]
    return f"{key}: {rule}, not {value}"


def _known(section: tuple[int | str, ...]) -> list[str]:
    """The keys of a section."""
    model: Any = Parameters
    for part in section:
        model = model.model_fields[part].annotation
    return list(model.model_fields)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # a long path stays on its line
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dump(content: Any) -> str:
    stream = io.StringIO()
    _yaml().dump(content, stream)
    return stream.getvalue()
