"""Small studies made by hand, and a real browser to answer them in."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from pydeepexpr.evaluation.study.questionnaire import Picture, Question, Questionnaire, identifier
from pydeepexpr.expressions import EXPRESSIONS

#: No start page, no updates, no telemetry: nothing that asks the network.
_QUIET = ("disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")


@pytest.fixture(scope="session")
def recognition() -> Questionnaire:
    """Seven faces, one of each expression, of two characters."""
    questions = [
        Question(identifier("q", at), (Picture(identifier("p", at), f"{name}/1.png", ("ray", "mery")[at % 2], name),))
        for at, name in enumerate(EXPRESSIONS)
    ]
    return Questionnaire("recognition", tuple(questions), {"seed": 1})


@pytest.fixture(scope="session")
def ranking() -> Questionnaire:
    """Three photographs, and five faces for each."""
    questions = [
        Question(
            identifier("q", at),
            tuple(Picture(identifier("p", at, one), f"joy/{at}-{one}.png", "ray", "joy") for one in range(5)),
            Picture(identifier("photograph", at), f"joy/{at}.jpg", "", "joy"),
        )
        for at in range(3)
    ]
    return Questionnaire("ranking", tuple(questions), {"seed": 1})


@pytest.fixture(scope="session")
def pictures():
    """Return a function that gives each picture of a study a grey of its own."""

    def load(questionnaire: Questionnaire):
        shown = [picture for one in questionnaire.questions for picture in one.pictures]
        shown += [one.query for one in questionnaire.questions if one.query]
        return {
            picture.identifier: (lambda grey=grey: np.full((64, 64, 3), 40 + 8 * grey, np.uint8))
            for grey, picture in enumerate(shown)
        }

    return load


@pytest.fixture(scope="module")
def browser():
    """Start a headless Chromium for the tests of a file: afterwards no event loop of its driver is left behind."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (make setup)")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip(f"there is no browser: none of {', '.join(names)} (apt-get install chromium)")
    options = [f"--{option}" for option in ("no-sandbox", *_QUIET)]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=options)
        yield started
        started.close()


PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK = {"viewport": {"width": 1280, "height": 800}}


@pytest.fixture
def visit(browser, tmp_path):
    """Open a page from its file, without a network, on a phone or a desk; fail on its errors and requests."""
    problems: list[str] = []
    contexts = []

    def open_page(html: str, phone: bool = False, query: str = "", offline: bool = True):
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(**(PHONE if phone else DESK), accept_downloads=True, offline=offline)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        own = ("file:", "data:", "blob:")
        page.on(
            "request", lambda asked: None if asked.url.startswith(own) or not offline else problems.append(asked.url)
        )
        page.goto(f"file://{file}{query}")
        return page

    yield SimpleNamespace(open=open_page, problems=problems)
    for context in contexts:
        context.close()
    assert problems == []
