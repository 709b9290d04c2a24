"""Whatever happens in whatever order: what is deployed has passed its gate, and the ledger says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import requests

from tests.system.stack import GATED, MODEL, OTHER, UNGATED, Stack
from tests.system.test_server import BODY, delivery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

SETS, SHORT, LONG = 4, 15, 200


@dataclass
class Soak:
    """Things that happen to a registry, and what is deployed meanwhile.

    Attributes
    ----------
    stack
        What they happen to.
    rng
        Which and when.
    delivered
        The webhook deliveries so far: headers and body.
    seen
        Each pointer that a reader of the deployment found, in order, without repetition.
    """

    stack: Stack
    rng: np.random.Generator
    delivered: list[dict[str, str]] = field(default_factory=list)
    seen: list[tuple[int, str]] = field(default_factory=list)

    def happen(self) -> None:
        """One event; those of people are the most frequent, those of machines the rarest."""
        kinds: dict[Callable[[], None], float] = {
            self.set_alias: 0.45,
            self.delete_alias: 0.10,
            self.deliver: 0.10,
            self.deliver_again: 0.10,
            self.deliver_late: 0.10,
            self.kill_the_reconciler: 0.10,
            self.restart_the_server: 0.05,
        }
        chosen = self.rng.choice(len(kinds), p=list(kinds.values()))
        list(kinds)[chosen]()
        time.sleep(self.rng.exponential(0.5))

    def set_alias(self) -> None:
        self.stack.set_alias(MODEL, int(self.rng.choice([UNGATED, GATED, OTHER])))

    def delete_alias(self) -> None:
        if self.stack.alias(MODEL) is not None:
            self.stack.delete_alias(MODEL)

    def deliver(self) -> None:
        """A webhook of which nothing is true but the signature; two of one thing are duplicates."""
        self.delivered.append(delivery(self.stack.settings["ASTROREEL_WEBHOOK_SECRET"], BODY))
        assert self._post(self.delivered[-1]) == 202

    def deliver_again(self) -> None:
        if self.delivered:
            headers = self.delivered[int(self.rng.integers(len(self.delivered)))]
            # Old or known, it is refused; a reconciler that was killed has forgotten it and looks once more.
            assert self._post(headers) in (202, 401, 409)

    def deliver_late(self) -> None:
        """One that was signed a minute ago, after others that were signed since."""
        secret = self.stack.settings["ASTROREEL_WEBHOOK_SECRET"]
        assert self._post(delivery(secret, BODY, stamp=int(time.time()) - 60)) == 202

    def kill_the_reconciler(self) -> None:
        self.stack.kill_reconciler()
        time.sleep(self.rng.exponential(0.5))
        self.stack.start_reconciler()

    def restart_the_server(self) -> None:
        self.stack.stop_server()
        self.stack.start_server()

    def _post(self, headers: dict[str, str]) -> int:
        return requests.post(self.stack.receiver, data=BODY, headers=headers, timeout=30).status_code

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Read the pointer all the while, as a service does."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.02):
                pointer = self.stack.pointer(MODEL)
                assert pointer is not None
                found = (pointer["version"], pointer["digest"])
                if self.seen[-1:] != [found]:
                    self.seen.append(found)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def soak(stack: Stack, seed: int, events: int) -> None:
    stack.champion(GATED)
    start = len(stack.ledger())
    run = Soak(stack, np.random.default_rng(seed))
    with run.watching():
        for _ in range(events):
            run.happen()
        stack.champion(OTHER)
        stack.champion(GATED)
    check(run, stack.ledger(), start)


def check(run: Soak, ledger: list[dict[str, object]], start: int) -> None:
    """What was seen is what the ledger says, each with a verdict before it and in one order."""
    entries = [entry for entry in ledger if entry["model"] == MODEL]
    passed = {entry["facts"]["bundle"] for entry in entries if entry["event"] == "verdict"}
    deployed = [
        (entry["facts"]["version"], entry["facts"]["bundle"])
        for entry in ledger
        if entry["model"] == MODEL and entry["event"] == "deployed"
    ]
    assert {version for version, _ in run.seen} <= {GATED, OTHER}
    assert {digest for _, digest in run.seen} <= passed
    rest = iter(deployed)
    assert all(found in rest for found in run.seen), f"{run.seen} is not in the order of {deployed}"
    assert run.seen[-1] == deployed[-1]
    refusals = [entry["event"] for entry in ledger[start:] if entry["event"] in ("refused", "restored")]
    assert refusals.count("restored") <= refusals.count("refused")


def test_a_short_soak(local: Stack) -> None:
    soak(local, seed=1, events=SHORT)


@pytest.mark.soak
def test_a_long_soak(local: Stack) -> None:
    soak(local, seed=2, events=LONG)
