"""The promotion policy: what a version must prove, in ``registry/policy.yaml``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from astroreel.errors import UserError

FILE = Path("registry", "policy.yaml")

Mode = Literal["disabled", "dry-run", "enforced"]


class Policy(BaseModel):
    """Thresholds of the gate.

    Attributes
    ----------
    mode
        Whether a verdict binds: see the file itself.
    level
        Chance of a wrong pass, over all looks at one hold-out.
    min_objects, min_objects_a_class
        Size of a hold-out from which anything is concluded.
    mean_recall, class_recall
        Lowest recall, mean over the classes and of each class.
    lead_over_forest
        What a network's mean recall must exceed the forest's by.
    loss_to_champion
        The most that mean recall may lie below the champion's.
    calibration_error
        Greatest calibration error.
    latency_ms
        Greatest time an object [ms].
    forgetting
        The most simulated accuracy that may be lost against the parent.
    power_at
        Gain at which the power of the comparisons is stated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode
    level: float = Field(gt=0, lt=0.5)
    min_objects: int = Field(ge=1)
    min_objects_a_class: int = Field(ge=1)
    mean_recall: float = Field(ge=0, le=1)
    class_recall: float = Field(ge=0, le=1)
    lead_over_forest: float = Field(ge=-1, le=1)
    loss_to_champion: float = Field(ge=0, le=1)
    calibration_error: float = Field(ge=0, le=1)
    latency_ms: float = Field(gt=0)
    forgetting: float = Field(ge=0, le=1)
    power_at: float = Field(gt=0, le=1)

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of all but the mode: of what a version has to prove."""
        content = json.dumps(self.model_dump(mode="json", exclude={"mode"}), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def read_policy(root: Path) -> Policy:
    """Read and check the policy of the project in ``root``.

    Raises `UserError` naming the key, the rule and the value where it is missing or wrong.
    """
    path = root / FILE
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        return Policy.model_validate(content)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: take it back from git") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path}: {key}: {first['msg']}, not {first['input']!r:.60}") from error
