"""The files in registry/ by which a team deploys: every command, path and setting in them exists."""

from __future__ import annotations

import configparser
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from astroreel.cli import app
from astroreel.tracking.server import ENCRYPTION_KEY, WEBHOOK_SECRET

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = ROOT / "registry"
UNITS = sorted((REGISTRY / "systemd").glob("*.service"))
TIMERS = sorted((REGISTRY / "systemd").glob("*.timer"))
CHECKOUT = "/srv/astroreel"


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((REGISTRY / "compose.yaml").read_text()))


def settings() -> dict[str, str]:
    lines = (REGISTRY / "registry.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def commands() -> list[tuple[str, list[str]]]:
    """Each of our commands in the compose file and the units."""
    found = [
        (name, service["command"]) for name, service in compose()["services"].items() if "command" in service
    ]
    for unit in UNITS:
        text = unit.read_text().replace("\\\n", " ")
        words = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0].split()
        found.append((unit.name, [Path(words[0]).name, *words[1:]]))
    return found


def options(text: str) -> set[str]:
    return set(re.findall(r"--[a-z-]+", text))


@pytest.mark.parametrize(("where", "command"), commands(), ids=[where for where, _ in commands()])
def test_each_command_exists_with_each_of_its_options(where: str, command: list[str]) -> None:
    words = [word for word in command if not word.startswith("--")]
    if words[0] == "astroreel":
        shown = CliRunner().invoke(app, [*words[1:], "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0
        known = shown.output
    else:
        known = _mlflow_help(words)
    assert options(" ".join(command)) <= options(known)


def _mlflow_help(words: list[str]) -> str:
    from mlflow.cli import cli

    assert words == ["mlflow", "server"]
    return " ".join(option for parameter in cli.commands["server"].params for option in parameter.opts)


def test_the_compose_file_and_the_units_run_the_same() -> None:
    def bare(command: list[str]) -> list[str]:
        return [word.split("=")[0] for word in command]

    found = dict(commands())
    for service in ("mlflow", "reconciler", "serve"):
        assert bare(found[service]) == bare(found[f"astroreel-{service}.service"])


def test_what_the_example_sets_is_what_the_compose_file_wants() -> None:
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+)", (REGISTRY / "compose.yaml").read_text()))
    assert wanted == settings().keys()
    assert not re.findall(r"\$\{\w+\}", (REGISTRY / "compose.yaml").read_text()), "an unset one must be told"


def test_no_secret_is_committed() -> None:
    secret = re.compile("PASSWORD|SECRET|KEY")
    assert {value for name, value in settings().items() if secret.search(name)} == {"CHANGE-ME"}
    for file in (REGISTRY / "compose.yaml", REGISTRY / "basic_auth.ini", *UNITS):
        given = re.sub(r"\$\{.*?\}|\$\$\w+", "", file.read_text())
        assert not re.search(r"(PASSWORD|SECRET|KEY)\w*[:=] *[^\s\"']", given)
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", "registry/registry.env"], cwd=ROOT, check=False
    )
    assert ignored.returncode == 0


def test_mlflow_knows_every_setting_that_it_is_given() -> None:
    from mlflow import environment_variables
    from mlflow.cli import cli

    known = {getattr(value, "name", "") for value in vars(environment_variables).values()}
    known |= {str(parameter.envvar) for parameter in cli.commands["server"].params if parameter.envvar}
    given = {name for service in compose()["services"].values() for name in service.get("environment", ())}
    given |= {name for unit in UNITS for name in re.findall(r"(\w+)=", _environment(unit))}
    assert {name for name in given if name.startswith("MLFLOW")} <= known
    assert {name for name in given if name.startswith("ASTROREEL")} == {WEBHOOK_SECRET}
    assert ENCRYPTION_KEY in given


def _environment(unit: Path) -> str:
    return "\n".join(re.findall(r"^Environment=(.*)$", unit.read_text(), re.MULTILINE))


def test_each_service_gets_no_secret_that_it_does_not_need() -> None:
    services = compose()["services"]
    assert "PGPASSWORD" not in services["reconciler"]["environment"]
    assert "environment" not in services["serve"]
    assert WEBHOOK_SECRET not in services["mlflow"]["environment"]


def test_ports_are_published_on_this_machine_alone() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_the_compose_file_mounts_and_builds_is_there() -> None:
    services = compose()["services"]
    build = services["mlflow"]["build"]
    assert (REGISTRY / build["context"] / build["dockerfile"]).is_file()
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    made = {"../deployed", "../states"}  # README: made before the first start
    for path in mounted:
        assert path in compose()["volumes"] or path in made or (REGISTRY / path).exists(), path


def test_what_the_image_is_made_of_is_there() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", (REGISTRY / "Dockerfile").read_text(), re.MULTILINE)
    assert copied
    assert all((ROOT / path).exists() for line in copied for path in line.split())


def test_basic_auth_lets_everybody_read_and_keeps_its_users_in_the_same_database() -> None:
    config = configparser.ConfigParser()
    config.read(REGISTRY / "basic_auth.ini")
    mlflow = compose()["services"]["mlflow"]["environment"]
    assert config["mlflow"]["default_permission"] == "READ"
    assert config["mlflow"]["database_uri"] == mlflow["MLFLOW_BACKEND_STORE_URI"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    assert (len(UNITS), len(TIMERS)) == (4, 1)
    for unit in (*UNITS, *TIMERS):
        text = unit.read_text().replace(f"{CHECKOUT}/.venv", sys.prefix)
        (tmp_path / unit.name).write_text(text)
    paths = [str(tmp_path / unit.name) for unit in (*UNITS, *TIMERS)]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_scripts_run_and_say_what_they_want() -> None:
    for script in sorted(REGISTRY.glob("*.sh")):
        assert script.stat().st_mode & stat.S_IXUSR
        done = subprocess.run([script], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert f"usage: {script.name} FOLDER" in done.stderr


def test_the_page_names_every_file_and_no_other() -> None:
    page = (REGISTRY / "README.md").read_text()
    cells = re.findall(r"^\| (`.*?) \|", page[: page.index("## How")], re.MULTILINE)
    files = {name for cell in cells for name in re.findall(r"`([\w./-]+)`", cell)}
    there = {path.name + "/" * path.is_dir() for path in REGISTRY.iterdir()}
    committed = there - {"README.md", "registry.env", "backups/"}
    assert committed <= files, committed - files
    assert files <= there


def test_what_the_page_tells_an_admin_to_call_exists() -> None:
    from mlflow.cli import cli
    from mlflow.server.auth.client import AuthServiceClient

    page = (REGISTRY / "README.md").read_text()
    calls = re.findall(r"^auth\.(\w+)\(", page, re.MULTILINE)
    assert calls
    assert all(callable(getattr(AuthServiceClient, name)) for name in calls)
    (collect,) = re.findall(r"`mlflow gc (.*?)`", page, re.DOTALL)
    known = {option for parameter in cli.commands["gc"].params for option in parameter.opts}
    assert options(collect) <= known
