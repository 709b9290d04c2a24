"""The files in registry/schedule/ by which other schedulers tick: each is valid and says what it should."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "registry" / "schedule"
TICK = "astroreel schedule tick"


def test_every_file_calls_a_tick() -> None:
    files = sorted(FOLDER.iterdir())
    assert [file.name for file in files] == ["airflow_dag.py", "astroreel.cron", "kubernetes.yaml"]
    for file in files:
        plain = re.sub(r"[\[\],]", "", file.read_text())
        assert TICK in plain


def test_the_cron_file_has_five_fields_of_time_a_user_and_a_command_a_line() -> None:
    lines = (FOLDER / "astroreel.cron").read_text().splitlines()
    jobs = [line.split(None, 6) for line in lines if line and line[0] != "#" and not re.match(r"\w+=", line)]
    assert len(jobs) == 1
    (*times, user, command) = jobs[0]
    assert all(re.fullmatch(r"\*(/\d+)?|\d+(-\d+)?(,\d+)*", time) for time in times)
    assert (user, len(times)) == ("astroreel", 5)
    assert command.startswith("cd /srv/astroreel && .venv/bin/astroreel schedule tick")


def test_the_cron_job_of_kubernetes_never_runs_twice_at_once_and_keeps_to_what_a_cron_job_has() -> None:
    job = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert set(job["spec"]) <= {
        "schedule",
        "timeZone",
        "startingDeadlineSeconds",
        "concurrencyPolicy",
        "suspend",
        "jobTemplate",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    }
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] in ("Never", "OnFailure")
    (container,) = pod["containers"]
    assert " ".join(container["command"]) == TICK
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_dag_of_airflow_compiles_and_never_runs_twice_at_once() -> None:
    text = (FOLDER / "airflow_dag.py").read_text()
    compile(text, "airflow_dag.py", "exec")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    dag = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "DAG")
    said = {word.arg: ast.unparse(word.value) for word in dag.keywords}
    assert said["max_active_runs"] == "1"
    assert said["catchup"] == "False"
