"""Where the target's labelled sequences come from: found once, then pinned by path and digest.

The pipeline itself never looks for data. `find_source` does, before it: a HiTS folder at hand, else a
clone of the public repository at its pinned commit, else a surrogate, said loudly. What it finds is
written into params.yaml, and the ingest stage refuses what has another digest. Of any other survey there
are no labelled sequences yet: all that it gives is conditions to simulate in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from astroreel.errors import UserError
from astroreel.files import file_digest, folder_digest, replacing_folder
from astroreel.survey.survey import Survey, load_survey, survey_names

PUBLIC_REPOSITORY = "https://github.com/rodrigcd/HiTS_simulations"
PINNED_COMMIT = "275198b77abef1e1db4a669e7d824d9655501ab0"
#: Where a HiTS folder is looked for, relative to the project's root.
NEIGHBOUR = Path("../shared/data/hits2015")
CLONE = Path("data/external/hits")
#: What is inside a HiTS source and read by the conversion.
CONTENT = "real_obs"
_REACH_SECONDS = 8
_CLONE_SECONDS = 1800
#: git gives a transfer up that stands still.
_STALLS = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30")

#: Targets that there are labelled sequences of, both of this survey.
LABELLED = ("hits", "surrogate")
LABELLED_SURVEY = "hits"
#: What may be asked for beside another survey.
REQUESTS = ("auto", *LABELLED)


class Source(BaseModel):
    """Section ``source`` of params.yaml.

    Attributes
    ----------
    request
        What was asked for: ``auto`` takes HiTS where it can be had; or a survey, by its name or its file.
    target
        The target domain that the run is about, after which its models are called.
    path
        Folder of the HiTS files, relative to the project's root or absolute; "" where none are read.
    digest
        sha256 over what is read from outside: the files of the conversion, or a survey's own file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: str = Field("auto", min_length=1)
    target: str = Field("surrogate", pattern=r"^[a-z0-9_]{1,24}$")
    path: str = Field("")
    digest: str = Field("")

    @field_validator("target")
    @classmethod
    def _is_what_was_asked_for(cls, target: str, info: ValidationInfo) -> str:
        if info.data.get("request") in REQUESTS and target not in LABELLED:
            raise ValueError(f"must be {' or '.join(LABELLED)} where source.request names no survey")
        return target

    @property
    def labelled(self) -> bool:
        """Whether there are labelled sequences of the target."""
        return self.target in LABELLED

    @property
    def survey(self) -> str:
        """The survey that the target belongs to: its name, or its file relative to the project's root."""
        return LABELLED_SURVEY if self.labelled else self.request


def target_choices() -> str:
    """What may be asked for, in words."""
    surveys = (name for name in survey_names() if name not in REQUESTS)
    return f"{', '.join((*REQUESTS, *surveys))}, or a survey's file"


def find_source(root: Path, request: str, path: str, say: Callable[[str], None]) -> Source:
    """Find the target's data: ``path`` if given, else the neighbour folder, else a clone, else none.

    Raises `UserError` where HiTS was asked for, by name or by path, and cannot be had, or where a survey
    was asked for and is unknown or breaks a rule.
    """
    if request not in REQUESTS:
        return _unlabelled(root, request)
    if request == "surrogate":
        return Source(request=request, target="surrogate")
    candidates = [Path(path)] if path else [NEIGHBOUR, CLONE]
    for candidate in candidates:
        if is_hits_folder(root / candidate):
            return _hits(root, request, candidate)
    if path:
        raise UserError(f"{path}: no {CONTENT}/real_stamps in this folder: name a HiTS source folder")
    try:
        clone_public(root / CLONE, say)
    except UserError as error:
        if request == "hits":
            raise
        say(f"{error}")
        say("No HiTS data: this run is about a SURROGATE, simulated with other PSFs, noise and conditions.")
        return Source(request=request, target="surrogate")
    return _hits(root, request, CLONE)


def _unlabelled(root: Path, request: str) -> Source:
    if request in survey_names():
        return Source(request=request, target=request)
    if not (root / request).is_file():
        raise UserError(f"target {request!r}: choose from {target_choices()}")
    name = load_survey(root / request).name
    if name in REQUESTS:
        raise UserError(f"{request}: name is {name!r}, which means another target: give the survey its own")
    return Source(request=request, target=name, digest=file_digest(root / request))


def _hits(root: Path, request: str, path: Path) -> Source:
    digest = source_digest(root / path)
    return Source(request=request, target="hits", path=path.as_posix(), digest=digest)


def is_hits_folder(path: Path) -> bool:
    """Whether a folder has the layout of the public HiTS files."""
    return (path / CONTENT / "real_stamps").is_dir() and (path / CONTENT / "Blind15A_info").is_dir()


def source_digest(path: Path) -> str:
    """The digest that pins a HiTS folder."""
    return folder_digest(path / CONTENT)


def verify_source(root: Path, source: Source) -> Path:
    """The folder of a pinned source, checked; raises `UserError` where it is missing or changed."""
    folder = root / source.path
    if not is_hits_folder(folder):
        raise UserError(f"{folder}: source.path names no HiTS folder: run `astroreel configure`")
    _check_digest(folder, source_digest(folder), source)
    return folder


def read_survey(root: Path, name: str) -> Survey:
    """A survey by its name, or by its file relative to the project's root; raises as `load_survey`."""
    return load_survey(name if name in survey_names() else root / name)


def verify_survey(root: Path, source: Source) -> None:
    """Raise `UserError` where the file of a survey without labels changed since it was pinned."""
    if source.survey not in survey_names():
        path = root / source.survey
        _check_digest(path, file_digest(path), source)


def _check_digest(path: Path, found: str, source: Source) -> None:
    if found != source.digest:
        raise UserError(
            f"{path}: its digest is {found[:12]}, source.digest is {source.digest[:12]}: "
            "the data changed; run `astroreel configure` to take it as it is now"
        )


def clone_public(path: Path, say: Callable[[str], None]) -> None:
    """Fetch the pinned commit of the public repository to ``path``, whole or not at all.

    Raises `UserError`, after a few seconds, where the repository cannot be reached.
    """
    _git(["ls-remote", "--exit-code", PUBLIC_REPOSITORY, "HEAD"], Path.cwd(), _REACH_SECONDS)
    say(f"Fetching {PUBLIC_REPOSITORY} at {PINNED_COMMIT[:12]} (once; some 100 MB) ...")
    with replacing_folder(path) as scratch:
        for command in (
            ["init", "--quiet"],
            ["remote", "add", "origin", PUBLIC_REPOSITORY],
            ["sparse-checkout", "set", CONTENT],
            ["fetch", "--quiet", "--depth", "1", "--filter=blob:none", "origin", PINNED_COMMIT],
            ["checkout", "--quiet", "FETCH_HEAD"],
        ):
            _git(command, scratch, _CLONE_SECONDS)
        if not is_hits_folder(scratch):
            raise UserError(f"{PUBLIC_REPOSITORY}: no {CONTENT}/real_stamps at {PINNED_COMMIT[:12]}")
        shutil.rmtree(scratch / ".git")  # all that is read are the files, and git would keep them twice


def _git(arguments: list[str], folder: Path, seconds: int) -> None:
    try:
        subprocess.run(
            ["git", *_STALLS, *arguments],
            cwd=folder,
            env=_environment(),
            timeout=seconds,
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        raise UserError("git: not installed, so the public HiTS repository cannot be fetched") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{PUBLIC_REPOSITORY}: no answer within {seconds} s") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.decode(errors="replace").strip().splitlines() or ["git failed"])[-1]
        raise UserError(f"{PUBLIC_REPOSITORY}: cannot be fetched ({reason})") from None


def _environment() -> dict[str, str]:
    """git's, without questions to the user, and without a repository that a calling hook is about."""
    outer = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    inherited = {name: value for name, value in os.environ.items() if name not in outer}
    return inherited | {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
