"""The labelled set as a version: in DVC and in a git commit, made in the schedule's own working tree.

The commit holds all that a pass used: the code of the project's HEAD, its params.yaml and dvc.lock as they
lie there, and the labelled set. Its working tree and index are left alone; where the branch checked out there
is to be committed on, they are brought in line for these files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from astroreel.errors import UserError
from astroreel.files import file_digest, replacing_folder, write_text

#: The labelled set in the working tree: the folders of arrivals that belong to it, each under its own name.
LABELLED = "labelled"
#: The folders of arrivals in there: the one that is learned from is the first.
FOLDERS = ("labelled", "reserved", "holdout")
#: The branch that means the one checked out in the project.
CURRENT = "current"

_USED = ("params.yaml", "dvc.lock")
_AUTHOR = {"GIT_AUTHOR_NAME": "astroreel schedule", "GIT_AUTHOR_EMAIL": "schedule@astroreel.invalid"}
_COMMITTER = {name.replace("AUTHOR", "COMMITTER"): value for name, value in _AUTHOR.items()}


@dataclass(frozen=True)
class Versioned:
    """A version of the labelled set: its git commit, and DVC's md5 of the folder."""

    commit: str
    md5: str


@dataclass(frozen=True)
class Repository:
    """The project in ``root``, its git repository and the schedule's own working tree of it.

    Attributes
    ----------
    root, worktree
        Their folders.
    branch
        What is committed on; ``current``: the branch checked out in ``root``.
    """

    root: Path
    worktree: Path
    branch: str

    def version(self, arrivals: Path, files: Mapping[str, str], message: str) -> Versioned:
        """Commit the labelled set; doing it twice is doing it once.

        Parameters
        ----------
        arrivals
            The folder of arrivals.
        files
            The sha256 of each labelled file, by its name.
        message
            The commit's subject.

        Raises
        ------
        UserError
            Where there is no git repository or pipeline to work in, the labelled set changes meanwhile, or
            DVC's cache or remote lack something.
        """
        branch = self._ref()
        self._prepare()
        self._mirror(arrivals, files)
        md5 = self._to_dvc()
        commit = self._commit(branch, message)
        if self.branch == CURRENT:
            self._bring_in_line()
        return Versioned(commit, md5)

    @property
    def labelled(self) -> Path:
        """The labelled files, as they were last versioned."""
        return self.worktree / LABELLED / FOLDERS[0]

    def holds(self, md5: str) -> bool:
        """Whether the working tree holds this version of the labelled set."""
        pointer = self.worktree / f"{LABELLED}.dvc"
        return self.labelled.is_dir() and pointer.is_file() and md5 in pointer.read_text(encoding="utf-8")

    def _ref(self) -> str:
        """The full name of the branch; raises `UserError` where it is another's to move."""
        if self.branch == CURRENT:
            return git(self.root, "symbolic-ref", "HEAD")
        name = git(self.root, "check-ref-format", "--branch", self.branch)
        ref = f"refs/heads/{name}"
        trees = git(self.root, "worktree", "list", "--porcelain")
        if f"branch {ref}" in trees.splitlines():
            raise UserError(
                f"schedule.branch: {name} is checked out: check out another one there, "
                f"or set schedule.branch to {CURRENT}"
            )
        return ref

    def _prepare(self) -> None:
        """The working tree at the project's HEAD, with its parameters and data as they are there."""
        for name in _USED:
            if not (self.root / name).exists():
                raise UserError(f"{self.root / name}: no such file: run `make repro` first")
        head = git(self.root, "rev-parse", "--verify", "HEAD")
        if not self._is_sound():
            shutil.rmtree(self.worktree, ignore_errors=True)
            git(self.root, "worktree", "prune")
            git(self.root, "worktree", "add", "--detach", "--force", str(self.worktree), head)
        else:
            # Of a git that was killed: nobody else works here.
            Path(git(self.worktree, "rev-parse", "--absolute-git-dir"), "index.lock").unlink(missing_ok=True)
            git(self.worktree, "checkout", "--quiet", "--detach", "--force", head)
        for name in _USED:
            shutil.copyfile(self.root / name, self.worktree / name)

    def _is_sound(self) -> bool:
        if not (self.worktree / ".git").is_file():
            return False
        with suppress(UserError):
            return Path(git(self.worktree, "rev-parse", "--show-toplevel")) == self.worktree.resolve()
        return False

    def _mirror(self, arrivals: Path, files: Mapping[str, str]) -> None:
        """Copy the labelled set; raises `UserError` where it is no longer what was to be versioned."""
        with replacing_folder(self.worktree / LABELLED) as scratch:
            for folder in FOLDERS:
                if (arrivals / folder).is_dir():
                    shutil.copytree(arrivals / folder, scratch / folder, ignore=shutil.ignore_patterns(".*"))
            found = {file.name: file_digest(file) for file in (scratch / "labelled").glob("*")}
            if found != dict(files):
                raise UserError(f"{arrivals / 'labelled'}: changed meanwhile: the next tick sees it anew")

    def _to_dvc(self) -> str:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            with Repo(str(self.root)) as project:
                cache, private = project.cache.local_cache_dir, project.config.files["local"]
            own = Path(self.worktree, ".dvc", "config.local")
            write_text(own, Path(private).read_text(encoding="utf-8") if Path(private).exists() else "")
            with Repo(str(self.worktree)) as repo, repo.config.edit("local") as config:
                config.setdefault("cache", {})["dir"] = cache
                config.setdefault("core", {})["autostage"] = True
            with Repo(str(self.worktree)) as repo:
                (stage,) = repo.add([str(self.worktree / LABELLED)])
                if repo.config["core"].get("remote"):
                    repo.push([f"{self.worktree / LABELLED}.dvc"])
            return str(stage.outs[0].hash_info.value)
        except DvcException as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{self.worktree}: DVC refuses: {reason:.300}") from error

    def _commit(self, ref: str, message: str) -> str:
        """A commit of what the working tree holds, after the branch and the project's HEAD."""
        git(self.worktree, "add", "--force", "--", *_USED, f"{LABELLED}.dvc", ".gitignore")
        tree = git(self.worktree, "write-tree")
        tip = self._tip(ref)
        if tip and git(self.root, "rev-parse", f"{tip}^{{tree}}") == tree:
            return tip
        head = git(self.worktree, "rev-parse", "HEAD")
        parents = [tip] if tip and self._holds(tip, head) else [one for one in (tip, head) if one]
        before = [word for parent in dict.fromkeys(parents) for word in ("-p", parent)]
        commit = git(self.worktree, "commit-tree", tree, *before, "-m", message)
        git(self.root, "update-ref", "-m", "astroreel schedule", ref, commit, tip or "0" * 40)
        return commit

    def _bring_in_line(self) -> None:
        """Put what was committed on the current branch into the project's index, and write labelled.dvc."""
        git(self.root, "reset", "--quiet", "--", *_USED, ".gitignore")
        git(self.root, "checkout", "--quiet", "HEAD", "--", f"{LABELLED}.dvc")

    def _tip(self, ref: str) -> str:
        with suppress(UserError):
            return git(self.root, "rev-parse", "--verify", "--quiet", ref)
        return ""

    def _holds(self, commit: str, other: str) -> bool:
        """Whether a commit comes after another."""
        with suppress(UserError):
            git(self.root, "merge-base", "--is-ancestor", other, commit)
            return True
        return False


def git(folder: Path, *arguments: str) -> str:
    """What git prints; raises `UserError` with what it complains of."""
    command = ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *arguments]
    environment = os.environ | _AUTHOR | _COMMITTER | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise UserError(f"git: cannot be run ({error.strerror}): install it") from error
    if answer.returncode != 0:
        reason = " ".join(answer.stderr.split()) or f"status {answer.returncode}"
        raise UserError(f"{folder}: git {arguments[0]}: {reason:.300}")
    return answer.stdout.strip()
