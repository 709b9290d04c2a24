"""The memory of a search: an Optuna study in a journal, a file of JSON lines that outlives the search."""

from __future__ import annotations

from pathlib import Path

import optuna
from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import TrialState

from astroreel.errors import UserError
from astroreel.training.config import SearchConfig
from astroreel.training.space import first_values

#: What Optuna calls the search in its journal.
STUDY = "search"

#: One trial in so many goes on at each rung of the successive halving.
REDUCTION = 3

#: Trials drawn at random before the sampler builds on what it has seen.
_RANDOM_TRIALS = 4

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def open_study(config: SearchConfig, storage: Path) -> optuna.Study:
    """The study in the folder ``storage``.

    What a killed search left running is given up: the sampler draws it again, and the first trial is put in
    its place anew.

    Raises `UserError` where the folder cannot be written, or ``config.start`` is no best.json.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=open_journal(storage),
        study_name=STUDY,
        directions=["minimize"] * len(config.objectives),
        load_if_exists=True,
    )
    study.pruner = pruner(config)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    first = first_values(config)
    if not waiting and all(trial.params != first for trial in ended(study)):
        study.enqueue_trial(first)
    return study


def open_journal(storage: Path) -> JournalStorage:
    """The journal in the folder ``storage``; raises `UserError` where that cannot be written."""
    try:
        storage.mkdir(parents=True, exist_ok=True)
        path = storage / "study.jsonl"
        backend = JournalFileBackend(str(path), lock_obj=_Lock(str(path.with_suffix(".lock"))))
        return JournalStorage(backend)
    except OSError as error:
        raise UserError(f"{storage}: cannot write here ({error.strerror}): choose another folder") from error


def ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that ended, those that diverged or were given up among them."""
    return study.get_trials(deepcopy=False, states=_ENDED)


def minutes_spent(study: optuna.Study) -> float:
    """Time that the ended trials took, one after the other [min]."""
    return sum(trial.duration.total_seconds() for trial in ended(study) if trial.duration) / 60.0


def sampler(config: SearchConfig, study: optuna.Study) -> optuna.samplers.BaseSampler:
    """The sampler of the trials to come.

    Its seed depends on how many trials have ended, so that a search taken up again does not draw anew
    what it drew at its start.
    """
    return optuna.samplers.TPESampler(
        seed=config.seed + len(ended(study)), n_startup_trials=_RANDOM_TRIALS, constant_liar=True
    )


def pruner(config: SearchConfig) -> optuna.pruners.BasePruner:
    """What gives up a trial: successive halving, its rungs at looks at the validation set."""
    return optuna.pruners.SuccessiveHalvingPruner(config.training.validate_every, REDUCTION)


class _Lock(BaseJournalFileLock):
    """A lock that goes with the process that held it, where those of Optuna outlive a kill by half a minute.

    Ray pickles it while nobody holds it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._held: FileLock | None = None

    def acquire(self) -> bool:
        self._held = FileLock(self._path)
        self._held.acquire()
        return True

    def release(self) -> None:
        if self._held is not None:
            self._held.release()
        self._held = None
