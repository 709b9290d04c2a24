"""The members of the RCNN family, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from astroreel.errors import UserError
from astroreel.models.compact import CompactConfig, CompactNetwork
from astroreel.models.interface import SequenceNetwork
from astroreel.models.photometric import PhotometricConfig, PhotometricNetwork
from astroreel.models.thesis import ThesisConfig, ThesisNetwork

NetworkConfig = Annotated[
    CompactConfig | PhotometricConfig | ThesisConfig,
    Field(discriminator="name"),
]

_ADAPTER: TypeAdapter[CompactConfig | PhotometricConfig | ThesisConfig] = TypeAdapter(NetworkConfig)
NAMES = ("compact", "photometric", "thesis")


def network_config(values: Mapping[str, Any]) -> CompactConfig | PhotometricConfig | ThesisConfig:
    """Check the parameters of a member; raises `UserError` naming the key, the value and the choices."""
    if values.get("name") not in NAMES:
        raise UserError(f"unknown network {values.get('name')!r}: choose from {', '.join(NAMES)}")
    try:
        return _ADAPTER.validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][1:])
        raise UserError(f"network.{key}: {first['msg']}, not {first['input']!r}") from error


def build(config: CompactConfig | PhotometricConfig | ThesisConfig) -> SequenceNetwork:
    """A member with fresh weights, drawn from torch's generator."""
    match config:
        case CompactConfig():
            return CompactNetwork(config)
        case PhotometricConfig():
            return PhotometricNetwork(config)
        case ThesisConfig():
            return ThesisNetwork(config)
