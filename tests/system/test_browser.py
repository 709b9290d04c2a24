"""What a person does: promote a version in MLflow's page, in a real browser.

Needs Chromium or Chrome on the machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

from astroreel.tracking.server import await_health, running
from tests.system.checkout import environment
from tests.system.stack import GATED, MODEL, OTHER, UNGATED, Stack, eventually, unused_port

#: What a person is asked to wait [s].
SOON = 10.0
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine"),
]


@pytest.fixture(scope="module")
def page(local: Stack) -> Iterator[Page]:
    # Chromium's own sandbox does not work for root, as whom containers run tests.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        shown = browser.new_page(viewport={"width": 1600, "height": 1200})
        shown.set_default_timeout(60_000)
        yield shown
        browser.close()


@pytest.fixture(scope="module")
def service(local: Stack) -> Iterator[str]:
    """The address of the classification service over what is deployed."""
    local.champion(OTHER)
    port = unused_port()
    command = [sys.executable, "-m", "astroreel.cli", "serve", "--port", str(port)]
    with (local.project / "serve.log").open("wb") as log, chdir(local.project):
        serving = running(command, environment(local.project), log)
        process = serving.__enter__()
    await_health(f"http://127.0.0.1:{port}/health", process)
    yield f"http://127.0.0.1:{port}"
    serving.__exit__(None, None, None)


def open_version(page: Page, stack: Stack, version: int) -> None:
    """From the model's page to the page of one of its versions."""
    page.goto(f"{stack.uri}/#/models/{MODEL}")
    page.get_by_role("link", name=f"Version {version}", exact=True).click()
    page.get_by_role("heading", name=f"Version {version}").wait_for()


def add_champion(page: Page) -> None:
    """As by hand: Add, type the alias, Enter, save."""
    page.get_by_text("Aliases:").locator("..").get_by_role("button").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("champion")
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    dialog.wait_for(state="hidden")


def served(stack: Stack, address: str) -> int:
    """The version that classifies one of the target's sequences."""
    file = min((stack.project / "data" / "target").glob("*.fits"))
    url = f"{address}/classify?model={MODEL}"
    answer = requests.post(
        url, data=file.read_bytes(), headers={"Content-Type": "application/fits"}, timeout=30
    )
    assert answer.ok, answer.text
    return int(answer.json()["version"])


def test_a_gated_version_made_champion_in_the_page_is_deployed_and_served(
    page: Page, local: Stack, service: str, tmp_path: Path
) -> None:
    local.champion(OTHER)
    open_version(page, local, GATED)
    add_champion(page)
    eventually(lambda: local.deployed(MODEL) == GATED and served(local, service) == GATED, SOON)
    assert local.status()["deployed"][MODEL]["version"] == GATED
    page.screenshot(path=tmp_path / "gated.png")


def test_an_ungated_version_made_champion_in_the_page_is_set_back_and_the_page_says_why(
    page: Page, local: Stack, service: str, tmp_path: Path
) -> None:
    local.champion(GATED)
    open_version(page, local, UNGATED)
    add_champion(page)
    eventually(lambda: local.alias(MODEL) == GATED, SOON)
    assert (local.deployed(MODEL), served(local, service)) == (GATED, GATED)
    reason = local.tags(MODEL, UNGATED)["reconcile.refused"]
    page.reload()
    page.get_by_text("reconcile.refused", exact=True).wait_for()
    page.get_by_text(reason, exact=True).first.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "refused.png")
