"""The champion of a project's target: the deployed network, and what it learned from."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from astroreel.governance.deployment import FOLDER, Deployment, Pointer
from astroreel.parameters import Parameters

if TYPE_CHECKING:
    from astroreel.tracking.registry import Labelled
    from astroreel.tracking.versions import Registry


@dataclass(frozen=True)
class Champion:
    """The deployed network of the project in ``root``, if there is one; MLflow is loaded when it is asked."""

    root: Path
    parameters: Parameters

    @property
    def model(self) -> str:
        """The registered model."""
        return f"{self.parameters.source.target}-rcnn"

    @property
    def digest(self) -> str:
        """Of its bundle, "" where nothing is deployed."""
        return self._pointer.digest if self._pointer else ""

    @property
    def bundle(self) -> Path | None:
        """The folder of its bundle."""
        return self.deployment.bundle_of(self._pointer) if self._pointer else None

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.root / FOLDER)

    @cached_property
    def learned(self) -> list[Labelled]:
        """The labelled objects that it learned from, itself or through its parents.

        Raises `UserError` where the registry does not say.
        """
        if self._pointer is None:
            return []
        with tempfile.TemporaryDirectory() as scratch:
            return self.registry.fetch(self.registry.named(self._pointer.uri), Path(scratch)).labelled()

    @cached_property
    def registry(self) -> Registry:
        """The project's registry; raises `UserError` where it does not answer."""
        from astroreel.tracking.store import ADDRESS, connect
        from astroreel.tracking.versions import Registry

        return Registry(connect(os.environ.get(ADDRESS) or self.parameters.registry.tracking_uri, self.root))

    @cached_property
    def _pointer(self) -> Pointer | None:
        return self.deployment.pointer(self.model)
