"""What a person does: label objects on the page of `astroreel inbox ask`, in a real browser.

Needs Chromium or Chrome on the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright

from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.parameters import configure
from astroreel.sequences.file import read_folder, write_sequence
from astroreel.sequences.prepare import Preparation
from astroreel.tracking.server import await_health, running
from tests.conftest import MakeSequence
from tests.system.checkout import ROOT, environment, run
from tests.system.stack import unused_port

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
ASTROREEL = (sys.executable, "-m", "astroreel.cli")
#: The code under test, run in another folder than its own.
CODE = {"PYTHONPATH": str(ROOT / "src")}

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")


@pytest.fixture
def project(tmp_path: Path, make_sequence: MakeSequence) -> Path:
    """A project with a network that has learned nothing, and three unlabelled objects."""
    configure(tmp_path, "smoke", "surrogate", None, lambda line: None)
    RcnnClassifier(build({"name": "photometric"}), Preparation()).to_bundle(
        tmp_path / "models" / "pretrained"
    )
    for seed in range(3):
        sequence = make_sequence(seed=seed, label="", field="Blind15A_04")
        write_sequence(tmp_path / "dropped" / f"{seed}.fits", sequence)
    run(tmp_path, *ASTROREEL, "inbox", "add", "dropped", more=CODE)
    return tmp_path


@pytest.fixture
def page() -> Iterator[Page]:
    # Chromium's own sandbox does not work for root, as whom containers run tests.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        shown = browser.new_page(viewport={"width": 1200, "height": 1000})
        shown.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield shown
        browser.close()


@contextmanager
def served(project: Path) -> Iterator[str]:
    """The page, served; yields its address."""
    port = unused_port()
    command = [*ASTROREEL, "inbox", "ask", "--serve", "--port", str(port)]
    with chdir(project), running(command, environment(ROOT)) as process:
        await_health(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}"


def labels(project: Path) -> dict[str, tuple[str, float]]:
    """What the labelled set says: class and confidence of each object."""
    home = project / "arrivals" / "labelled"
    objects = read_folder(home).objects if home.exists() else []
    return {str(one["name"]): (str(one["label"]), float(one["label_confidence"])) for one in objects}


def test_a_class_that_is_clicked_is_in_the_labelled_set_at_once(page: Page, project: Path) -> None:
    with served(project) as address:
        page.goto(address)
        expect(page.get_by_text("0 of 3 labelled")).to_be_visible()
        card = page.locator("section", has_text="object-1")
        card.get_by_role("button", name="Eclipsing binary").click()
        expect(card.get_by_role("status")).to_have_text("labelled")
        assert labels(project) == {"object-1": ("eclipsing_binary", 1.0)}
        card.get_by_role("button", name="Supernova").click()
        expect(card.get_by_role("status")).to_have_text("relabelled")
        expect(card.get_by_role("button", name="Supernova")).to_have_attribute("aria-pressed", "true")
        other = page.locator("section", has_text="object-2")
        other.get_by_label("not sure").check()
        other.get_by_role("button", name="Cepheid").click()
        expect(page.get_by_text("2 of 3 labelled")).to_be_visible()
        assert labels(project) == {"object-1": ("supernova", 1.0), "object-2": ("cepheid", 0.5)}


def test_only_the_page_itself_may_answer(project: Path) -> None:
    answer = {"survey": "hits", "object": "object-1", "label": "supernova", "confidence": 1}
    with served(project) as address:
        assert requests.post(f"{address}/answer", json=answer, timeout=60).status_code == 403
        elsewhere = requests.get(address, headers={"Host": "example.org"}, timeout=60)
        assert (elsewhere.status_code, elsewhere.text) == (400, "Invalid host header")
    assert labels(project) == {}


def test_answers_that_are_saved_are_taken_in_from_their_file(page: Page, project: Path) -> None:
    run(project, *ASTROREEL, "inbox", "ask", "-n", "2", "--seed", "1", more=CODE)
    page.goto((project / "arrivals" / "ask.html").as_uri())
    card = page.locator("section").first
    name = card.get_attribute("data-object")
    card.get_by_text("What the model says").click()
    expect(card.get_by_role("table")).to_be_visible()
    card.get_by_role("button", name="RR Lyrae").click()
    expect(page.get_by_text("1 of 2 labelled")).to_be_visible()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save answers").click()
    saving.value.save_as(project / "answers.json")
    assert len(json.loads((project / "answers.json").read_text())["answers"]) == 1
    done = run(project, *ASTROREEL, "inbox", "answer", "answers.json", more=CODE)
    assert done.stdout == "labelled: 1\n"
    assert labels(project) == {name: ("rr_lyrae", 1.0)}
