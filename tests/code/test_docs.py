"""What the README and the pages of docs/ tell a user to type exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from dvc.cli.parser import get_main_parser

from astroreel.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
_SEPARATORS = {"&&", "||", ";", "|", ">", "2>"}


def commands(text: str) -> Iterator[list[str]]:
    """Every command of a page's fenced blocks, as words, without comments and placeholders' brackets."""
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in shlex.split(line.removeprefix("$ "), comments=True):
                if word in _SEPARATORS:
                    yield words
                    words = []
                else:
                    words.append(word)
            yield words


def told(tool: str) -> list[Any]:
    """The commands of a tool on all pages, each with its page."""
    return [
        pytest.param(words[1:], id=f"{page.name}: {' '.join(words)}")
        for page in PAGES
        for words in commands(page.read_text(encoding="utf-8"))
        if words and words[0] == tool
    ]


def unknown_to_astroreel(words: list[str]) -> list[str]:
    """The words of a command line that name no command and no option of ours."""
    command: Any = typer.main.get_command(app)
    unknown = []
    for word in words:
        children = getattr(command, "commands", {})
        if word.startswith("-"):
            options = {"--help", *(name for parameter in command.params for name in parameter.opts)}
            unknown += [] if word.split("=")[0] in options else [word]
        elif word in children:
            command = children[word]
        elif children:
            unknown.append(word)
    return unknown


def unknown_to_make(words: list[str]) -> list[str]:
    """The words of a command line that name no target and no variable of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    variables = re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE)
    return [word for word in words if word.partition("=")[0] not in (variables if "=" in word else targets)]


@pytest.mark.parametrize("words", told("astroreel"))
def test_a_command_of_ours_exists_with_its_options(words: list[str]) -> None:
    assert unknown_to_astroreel(words) == []


@pytest.mark.parametrize("words", told("make"))
def test_a_target_and_its_variables_exist(words: list[str]) -> None:
    assert unknown_to_make(words) == []


@pytest.mark.parametrize("words", told("dvc"))
def test_dvc_takes_the_command(words: list[str]) -> None:
    assert get_main_parser().parse_args(words).func is not None


@pytest.mark.parametrize(
    ("unknown", "line", "found"),
    [
        (unknown_to_astroreel, "configure --scale smoke", []),
        (unknown_to_astroreel, "registry status --json", []),
        (unknown_to_astroreel, "configure --size=3", ["--size=3"]),
        (unknown_to_astroreel, "registry burn", ["burn"]),
        (unknown_to_make, "repro SCALE=smoke", []),
        (unknown_to_make, "reproduce SIZE=smoke", ["reproduce", "SIZE=smoke"]),
    ],
)
def test_what_does_not_exist_would_be_found(unknown: Any, line: str, found: list[str]) -> None:
    assert unknown(line.split()) == found


def test_commands_are_found_within_fences_alone() -> None:
    page = "make no\n```sh\n$ make a && dvc b  # c\nastroreel d \\\n  --e\n```\ndvc no\n"
    assert [words for words in commands(page) if words] == [
        ["make", "a"],
        ["dvc", "b"],
        ["astroreel", "d", "--e"],
    ]


def test_the_readme_names_the_two_commands_of_a_new_user() -> None:
    found = [" ".join(words) for words in commands((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert {"make repro", "make test"} <= set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
