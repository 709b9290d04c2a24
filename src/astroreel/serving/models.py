"""The models of one service: each with its loaded version, its states and its batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from astroreel.errors import UserError
from astroreel.governance.deployment import Deployment
from astroreel.serving.batches import Batches
from astroreel.serving.served import ServedModel
from astroreel.serving.step import Precision
from astroreel.serving.store import StateStore


class Models:
    """Registered models by name.

    Parameters
    ----------
    deployment
        Where the pointers are.
    names
        Which to serve; none: all that are deployed, at any time.
    states
        The folder of the files with the objects' states, one a model.
    memory
        Bytes of states in memory, for each model.
    executor
        One thread, which alone uses the files.
    precision
        In which frames are answered; see `Stepper`.

    Attributes
    ----------
    batches
        What answers frames of each model.
    problem
        Why the list of what is deployed cannot be read, or "".
    """

    def __init__(
        self,
        deployment: Deployment,
        names: Sequence[str],
        states: Path,
        memory: int,
        executor: Executor,
        precision: Precision = "float32",
    ) -> None:
        self._deployment = deployment
        self._names = tuple(names)
        self._states = states
        self._memory = memory
        self._executor = executor
        self._precision: Precision = precision
        self.batches: dict[str, Batches] = {}
        self.problem = ""

    def refresh(self) -> list[str]:
        """Load what is deployed now; the names of the models of which something else answers from here on.

        Raises `UserError` where a model's states cannot be kept.
        """
        for name in self._wanted():
            if name not in self.batches:
                model = ServedModel(self._deployment, name, self._precision)
                store = StateStore(self._states / f"{name}.sqlite", self._memory)
                # A new dictionary, because another thread may be going through this one.
                self.batches = self.batches | {name: Batches(model, store, self._executor)}
        return [name for name, batches in self.batches.items() if batches.model.refresh()]

    def _wanted(self) -> tuple[str, ...]:
        if self._names:
            return self._names
        try:
            deployed = tuple(pointer.model for pointer in self._deployment.pointers())
            self.problem = ""
        except UserError as error:
            deployed, self.problem = (), str(error)
        return deployed

    def named(self, name: str) -> Batches | None:
        """The model of this name; of "" the only one there is."""
        if not name and len(self.batches) == 1:
            return next(iter(self.batches.values()))
        return self.batches.get(name)

    def close(self) -> None:
        """Let the files go."""
        for batches in self.batches.values():
            batches.store.close()
