"""A champion set in MLflow is verified and deployed, or set back: on SQLite, and on PostgreSQL and S3."""

from __future__ import annotations

import ast
import csv
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest

from astroreel.models.bundle import load_bundle
from tests.system.checkout import ROOT, run
from tests.system.stack import GATED, MODEL, OTHER, UNGATED, Stack, eventually
from tests.system.test_tracking import make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REFUSED = "reconcile.refused"


def events(stack: Stack, since: int = 0) -> list[str]:
    return [entry["event"] for entry in stack.ledger()[since:] if entry["model"] == MODEL]


def test_a_gated_version_is_deployed_when_it_becomes_champion(stack: Stack, tmp_path: Path) -> None:
    for version in (OTHER, GATED):
        stack.champion(version)
        pointer = stack.pointer(MODEL)
        assert pointer is not None
        assert pointer["digest"] == stack.tags(MODEL, version)["astroreel.digest"]
        assert (
            load_bundle(stack.project / "deployed" / "bundles" / pointer["digest"]).digest
            == pointer["digest"]
        )
        assert eventually(lambda: events(stack)[-2:] == ["deploying", "deployed"])
        assert stack.ledger()[-1]["facts"]["version"] == version
    out = tmp_path / "out.csv"
    stack.astroreel("classify", "data/target", "--model", f"models:/{MODEL}@champion", "--out", str(out))
    assert len(list(csv.DictReader(out.open()))) > 0


def test_status_names_what_is_deployed(stack: Stack) -> None:
    stack.champion(GATED)
    status = stack.status()
    assert {row["version"]: row["aliases"] for row in status["versions"] if row["name"] == MODEL}[GATED]
    assert status["deployed"][MODEL]["version"] == GATED


def test_an_ungated_champion_is_set_back_and_the_version_says_why(stack: Stack) -> None:
    stack.champion(GATED)
    before, seen = stack.pointer(MODEL), len(stack.ledger())
    stack.set_alias(MODEL, UNGATED)
    eventually(lambda: stack.alias(MODEL) == GATED)
    assert "gate" in stack.tags(MODEL, UNGATED)[REFUSED]
    assert stack.pointer(MODEL) == before
    eventually(lambda: events(stack, seen) == ["refused", "restored"])


def test_a_verdict_written_by_hand_counts_for_nothing(stack: Stack) -> None:
    stack.champion(GATED)
    for key, value in stack.tags(MODEL, GATED).items():
        if key.startswith("gate"):
            stack.set_tag(MODEL, UNGATED, key, value)
    seen = len(stack.ledger())
    stack.set_alias(MODEL, UNGATED)
    eventually(lambda: stack.alias(MODEL) == GATED)
    eventually(lambda: events(stack, seen) == ["refused", "restored"])
    assert stack.deployed(MODEL) == GATED


def test_what_is_deployed_stays_where_the_alias_is_removed(stack: Stack) -> None:
    stack.champion(GATED)
    seen = len(stack.ledger())
    stack.delete_alias(MODEL)
    eventually(lambda: events(stack, seen) == ["noticed"])
    assert stack.deployed(MODEL) == GATED
    stack.champion(OTHER)


def test_what_happens_while_the_reconciler_is_dead_is_seen_when_it_lives_again(stack: Stack) -> None:
    stack.champion(GATED)
    stack.kill_reconciler()
    stack.set_alias(MODEL, OTHER)
    assert stack.deployed(MODEL) == GATED
    stack.start_reconciler()
    eventually(lambda: stack.deployed(MODEL) == OTHER)


def test_a_restarted_server_is_found_again(stack: Stack) -> None:
    stack.champion(GATED)
    stack.stop_server()
    assert stack.deployed(MODEL) == GATED
    stack.start_server()
    stack.champion(OTHER)


def test_rollback_goes_back_one_and_the_registry_agrees(stack: Stack) -> None:
    stack.champion(OTHER)
    stack.champion(GATED)
    stack.astroreel("registry", "rollback", MODEL)
    assert (stack.deployed(MODEL), stack.alias(MODEL)) == (OTHER, OTHER)


def test_of_two_promotions_at_once_one_wins_and_the_ledger_is_in_order(local: Stack) -> None:
    local.champion(GATED)
    seen = len(local.ledger())

    def promote(version: int) -> None:
        command = ["astroreel", "registry", "promote", f"models:/{MODEL}/{version}"]
        run(local.project, *command, more=local.settings)

    with ThreadPool(2) as pool:
        pool.map(promote, (GATED, OTHER))
    winner = local.deployed(MODEL)
    assert winner == local.alias(MODEL)
    entries = local.ledger()
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    deployed = [entry for entry in entries[seen:] if entry["event"] == "deployed"]
    assert deployed[-1]["facts"]["version"] == winner
    assert events(local, seen).count("promote") == 2


#: What each of eight processes runs at once: the bundle in a folder published as a model's next version.
PUBLISH = """
import sys
from multiprocessing import get_context
from pathlib import Path
from tests.system.test_tracking import publish_project

def publish(number):
    summary = publish_project(Path(sys.argv[1]), sys.argv[2], "at-once")
    return [model["version"] for model in summary["models"]]

print(get_context("fork").Pool(8).map(publish, range(8), chunksize=1))
"""


def test_eight_processes_that_register_the_same_at_once_make_one_version(
    stack: Stack, tmp_path: Path
) -> None:
    make_project(tmp_path)
    command = [sys.executable, "-c", PUBLISH, str(tmp_path), stack.uri]
    done = run(ROOT, *command, more=stack.settings)
    assert ast.literal_eval(done.stdout) == [[1, 2]] * 8
    found = stack.ask("GET", "model-versions/search", params={"filter": "name='at-once-forest'"})
    assert len(found["model_versions"]) == 2
