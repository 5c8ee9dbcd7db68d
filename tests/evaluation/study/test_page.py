"""Whole sessions on the page, in a real browser: by keyboard, by touch, and through Mechanical Turk."""

import dataclasses
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, quote

import numpy as np
import pytest
from scipy.stats import chisquare

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.checks import checks_of, with_checks
from pydeepexpr.evaluation.study.counting import admit
from pydeepexpr.evaluation.study.page import jpeg, shown_pictures, study_page
from pydeepexpr.evaluation.study.questionnaire import Question, Questionnaire
from pydeepexpr.evaluation.study.reading import read_answers
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.images import read_image


class Rater:
    """Somebody at a page, who notes what was seen and answered."""

    def __init__(self, page, study: Questionnaire, *, by_touch: bool = False) -> None:
        self.page, self.by_touch = page, by_touch
        self.sources = json.loads(page.locator("#study").text_content())["pictures"]
        self.by_picture = {
            frozenset(picture.identifier for picture in one.pictures): one.identifier for one in study.questions
        }
        self.checks = {frozenset(check.pictures): check for check in checks_of(study).values()}
        self.given: dict[str, str | tuple[str, ...]] = {}
        self.positions: dict[str, int] = {}

    def begin(self, name: str = "") -> None:
        if self.by_touch:
            self.page.get_by_label("Your name or code").fill(name)
            self.page.get_by_role("button", name="Begin").tap()
        else:
            self.page.keyboard.press("Tab")
            self.page.keyboard.type(name)
            self.page.keyboard.press("Enter")

    def is_asked(self) -> bool:
        return self.page.evaluate("!document.getElementById('asking').hidden")

    def question(self) -> tuple[str, list[str]]:
        """Return which question or check is on the screen, and its pictures as they stand."""
        shown = self.attributes("[data-face]", "data-face")
        if not shown:
            (uri,) = self.attributes(".face img", "src")
            shown = [name for name, source in self.sources.items() if source == uri]
        known = self.checks if "This is a check" in self.prompt() else self.by_picture
        found = known[frozenset(shown)]
        return getattr(found, "identifier", found), shown

    def attributes(self, what: str, name: str) -> list[str]:
        return self.page.eval_on_selector_all(what, "(all, name) => all.map((one) => one.getAttribute(name))", name)

    def prompt(self) -> str:
        return self.page.locator("#prompt").inner_text()

    def words(self) -> list[str]:
        return self.attributes("[data-word]", "data-word")

    def touch_or_press(self, buttons: str, at: int) -> None:
        if self.by_touch:
            self.page.locator(buttons).nth(at).tap()
        else:
            self.page.keyboard.press(str(at + 1))

    def touch_or_key(self, button: str, key: str) -> None:
        if self.by_touch:
            self.page.get_by_role("button", name=button, exact=True).tap()
        else:
            self.page.keyboard.press(key)

    def note(self, question: str, answer: str | tuple[str, ...]) -> None:
        self.given[question] = answer
        self.positions[question] = int(re.search(r"Question (\d+)", self.page.locator("#place").inner_text())[1])

    def choose(self, word: str | None = None) -> None:
        """Answer a recognition: what a check asks, else the word, else another one every time."""
        question, _ = self.question()
        asked = re.search(r"choose (\w+)", self.prompt())
        word = word or (asked[1] if asked else EXPRESSIONS[len(self.given) % 7])
        self.note(question, word)
        self.touch_or_press("[data-word]", self.words().index(word))

    def rank(self, backwards: bool = False) -> None:
        """Answer a ranking: as a check asks, else as the faces stand or the other way round."""
        question, shown = self.question()
        order = shown[::-1] if backwards else shown
        if "This is a check" in self.prompt():
            numbers = [int(number) for number in self.page.locator(".number").all_inner_texts()]
            order = [shown[at] for at in np.argsort(numbers)]
        for name in order:
            self.touch_or_press("[data-face]", shown.index(name))
        self.note(question, tuple(order))
        self.touch_or_key("Next", "Enter")

    def save(self, tmp_path):
        """Return the files that the page lets people save."""
        files = []
        for button in ("Save the answers", "Save as a table (CSV)"):
            with self.page.expect_download() as saving:
                self.page.get_by_role("button", name=button).click()
            files.append(tmp_path / saving.value.suggested_filename)
            saving.value.save_as(files[-1])
        return files


def check_saved(files, study, rater, name):
    """Each file alone gives what was answered, and both together the same session once."""
    for file in files:
        (session,) = read_answers([file], study)
        assert session.rater == name and session.unknown == 0
        assert {one: said.choice or said.order for one, said in session.answers.items()} == rater.given
        assert {one: said.position for one, said in session.answers.items()} == rater.positions
        assert all(said.seconds >= 0 for said in session.answers.values())
    counted, left_out = admit(study, read_answers(files, study))
    assert len(counted) == 1 and [one["why"] for one in left_out] == ["the same session, read again"]


@pytest.mark.slow
@pytest.mark.parametrize("by_touch", [False, True], ids=["keyboard", "touch"])
def test_a_session_of_recognition(visit, recognition, pictures, tmp_path, by_touch):
    study = with_checks(recognition, 2)
    page = visit.open(study_page(study, pictures(study)), phone=by_touch)
    rater = Rater(page, study, by_touch=by_touch)
    rater.begin("Ada, “the first”")
    order = []
    while rater.is_asked():
        order.append(rater.question()[0])
        if len(order) == 3:  # a reload changes nothing
            words = rater.words()
            page.reload()
            assert rater.question()[0] == order[-1] and rater.words() == words
        if len(order) == 5:  # back to a question, whose answer is marked, and which is answered anew
            rater.touch_or_key("Back", "ArrowLeft")
            assert rater.question()[0] == order[-2]
            chosen = page.locator('[data-word][aria-pressed="true"]')
            assert chosen.get_attribute("data-word") == rater.given[order[-2]]
            if order[-2] in checks_of(study):
                rater.touch_or_key("Next", "Enter")
            else:
                rater.choose("neutral")
            assert rater.question()[0] == order[-1]
        rater.choose()
    assert sorted(order) == sorted({question.identifier for question in study.questions} | {*checks_of(study)})
    assert page.locator("#thanks").inner_text() == "Thank you!"
    check_saved(rater.save(tmp_path), study, rater, "Ada, “the first”")
    page.reload()
    assert json.loads(page.locator("#text").input_value())["rater"] == "Ada, “the first”"


@pytest.mark.slow
@pytest.mark.parametrize("by_touch", [False, True], ids=["keyboard", "touch"])
def test_a_session_of_ranking(visit, ranking, pictures, tmp_path, by_touch):
    study = with_checks(ranking, 1)
    page = visit.open(study_page(study, pictures(study)), phone=by_touch)
    rater = Rater(page, study, by_touch=by_touch)
    rater.begin()
    _, shown = rater.question()
    for at in (2, 0, 3):
        rater.touch_or_press("[data-face]", at)
    rater.touch_or_key("Undo", "Backspace")  # the face at 3
    rater.touch_or_press("[data-face]", 2)  # a second tap takes a face back
    assert page.locator("#said").inner_text() == "Face 3 taken back"
    label = page.locator("[data-face]").nth(0)
    assert label.get_attribute("aria-label") == "Face 1, placed 1st"
    assert page.get_by_role("button", name="Next", exact=True).is_disabled()
    if not by_touch:
        page.keyboard.press("Enter")  # does nothing while faces are missing
    assert rater.question()[1] == shown
    rater.touch_or_key("Undo", "Backspace")
    rater.rank()
    page.reload()
    rater.rank(backwards=True)
    rater.touch_or_key("Back", "ArrowLeft")  # an order stands as it was given
    question, shown = rater.question()
    places = page.locator("[data-face] .below").all_inner_texts()
    given = rater.given[question]
    assert [given[int(place[0]) - 1] for place in places] == shown
    for at in range(5):  # all taken back, and ordered anew
        rater.touch_or_press("[data-face]", at)
    while rater.is_asked():
        rater.rank()
    check_saved(rater.save(tmp_path), study, rater, "")


def test_every_session_has_an_order_of_its_own(visit, recognition, pictures):
    page = visit.open(study_page(recognition, pictures(recognition)))
    seen = []
    for _ in range(4):
        page.evaluate("localStorage.clear()")
        page.reload()
        rater = Rater(page, recognition)
        rater.begin()
        seen.append((tuple(rater.words()), rater.question()[0]))
        assert sorted(rater.words()) == sorted(EXPRESSIONS)
    assert len({*seen}) > 1  # by chance all alike: (1 / (7! · 7))³


def test_orders_are_even_and_checks_are_strewn_in(visit, recognition, pictures):
    """Over 1,400 sessions each question, each word and each gap comes about as often as any other."""
    study = with_checks(recognition, 2)
    page = visit.open(study_page(study, pictures(study)))
    seeds = np.random.default_rng(7).integers(1, 2**32, 1400).tolist()
    script = "(seeds) => seeds.map((seed) => [plan(seed).questions.map((one) => one.id), plan(seed).words])"
    plans = page.evaluate(script, seeds)
    checks = {*checks_of(study)}
    for order, words in plans:
        first, second = (at for at, name in enumerate(order) if name in checks)
        assert first > 0 and second - first > 1 and len({*order}) == 9 and {*words} == {*EXPRESSIONS}
    for firsts in (
        [order[0] for order, _ in plans],
        [words[0] for _, words in plans],
        [words[6] for _, words in plans],
    ):
        assert chisquare(list(Counter(firsts).values())).pvalue > 1e-4 and len({*firsts}) == 7
    assert page.evaluate(script, seeds[:3]) == plans[:3]


def test_an_attention_check_that_is_failed(visit, recognition, pictures, tmp_path):
    study = with_checks(recognition, 1)
    page = visit.open(study_page(study, pictures(study)))
    rater = Rater(page, study)
    rater.begin("Bo")
    while rater.is_asked():
        wanted = re.search(r"choose (\w+)", rater.prompt())
        rater.choose(EXPRESSIONS[EXPRESSIONS.index(wanted[1]) - 1] if wanted else None)
    sessions = read_answers(rater.save(tmp_path)[:1], study)
    assert admit(study, sessions) == ([], [{"rater": "Bo", "why": "failed an attention check"}])
    assert len(admit(study, sessions, keep_inattentive=True)[0]) == 1


def test_stopping_keeps_what_was_answered_and_another_person_begins_anew(visit, recognition, pictures, tmp_path):
    page = visit.open(study_page(recognition, pictures(recognition)))
    rater = Rater(page, recognition)
    rater.begin("Cy")
    rater.choose()
    rater.choose()
    page.get_by_role("button", name="Stop here").click()
    assert "2 of 7" in page.locator("#summary").inner_text()
    page.get_by_role("button", name="Back to the questions").click()
    rater.choose()
    page.get_by_role("button", name="Stop here").click()
    check_saved(rater.save(tmp_path), recognition, rater, "Cy")
    first = json.loads(page.locator("#text").input_value())
    page.get_by_text("Nothing was saved?").click()
    page.get_by_role("button", name="Copy the text").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Another person").click()
    other = Rater(page, recognition)
    page.get_by_role("button", name="Begin").click()
    other.choose()
    page.get_by_role("button", name="Stop here").click()
    second = json.loads(page.locator("#text").input_value())
    assert second["session"] != first["session"] and second["rater"] == "" and len(second["answers"]) == 1


def test_a_rater_may_see_a_part(visit, recognition, pictures):
    study = with_checks(recognition, 1)
    page = visit.open(study_page(study, pictures(study), per_rater=3))
    assert "4 questions" in page.locator("#length").inner_text()
    rater = Rater(page, study)
    rater.begin()
    while rater.is_asked():
        rater.choose()
    assert len(rater.given) == 4 and len({*rater.given} - {*checks_of(study)}) == 3


@pytest.fixture
def turk():
    """Stand in for Mechanical Turk: a server that keeps what is posted to it."""
    posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append((self.path, parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"thanks")

        def do_GET(self):  # a browser asks for the icon of what it is shown
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_answers_go_to_mechanical_turk(visit, recognition, pictures, turk, tmp_path):
    address, posted = turk
    query = f"?assignmentId=A1&hitId=H1&workerId=W1&turkSubmitTo={quote(address, safe='')}"
    page = visit.open(study_page(recognition, pictures(recognition)), query=query, offline=False)
    rater = Rater(page, recognition)
    assert not page.locator("#rater").is_visible()
    page.get_by_role("button", name="Begin").click()
    while rater.is_asked():
        rater.choose()
    assert not page.get_by_role("button", name="Save the answers").is_visible()
    page.get_by_role("button", name="Submit the answers").click()
    page.get_by_text("thanks").wait_for()
    ((path, form),) = posted
    assert path == "/mturk/externalSubmit" and form["assignmentId"] == ["A1"]
    (tmp_path / "posted.json").write_text(form["answers"][0], encoding="utf-8")
    (session,) = read_answers([tmp_path / "posted.json"], recognition)
    assert session.rater == "W1"
    assert {one: said.choice for one, said in session.answers.items()} == rater.given


def test_a_preview_can_be_looked_at_alone(visit, recognition, pictures):
    query = "?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE&turkSubmitTo=https%3A%2F%2Fexample.org"
    page = visit.open(study_page(recognition, pictures(recognition)), query=query)
    assert page.locator("#preview").is_visible() and not page.get_by_role("button", name="Begin").is_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    assert not page.locator("#asking").is_visible()


def test_an_address_that_is_none_is_not_submitted_to(visit, recognition, pictures):
    page = visit.open(
        study_page(recognition, pictures(recognition)), query="?assignmentId=A1&turkSubmitTo=javascript:alert(1)"
    )
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("button", name="Stop here").click()
    assert not page.locator("#turk").is_visible() and page.get_by_role("button", name="Save the answers").is_visible()


def test_it_works_without_a_store(visit, recognition, pictures):
    page = visit.open(study_page(recognition, pictures(recognition)))
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })")
    page.reload()
    rater = Rater(page, recognition)
    rater.begin()
    while rater.is_asked():
        rater.choose()
    assert page.locator("#thanks").inner_text() == "Thank you!"


@pytest.mark.parametrize("kind", ["recognition", "ranking"])
def test_what_is_touched_is_large_and_fits_a_narrow_screen(visit, request, pictures, kind):
    study = with_checks(request.getfixturevalue(kind), 1)
    page = visit.open(study_page(study, pictures(study)), phone=True)
    page.set_viewport_size({"width": 320, "height": 568})
    rater = Rater(page, study, by_touch=True)
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        for control in page.locator("button:visible, input:visible, summary:visible").all():
            box = control.bounding_box()
            assert box["width"] >= 44 and box["height"] >= 44, control.inner_text()
        if not rater.is_asked():
            rater.begin()
    assert {*rater.attributes("#question img", "alt")} <= {"The face", "The photograph", ""}
    page.get_by_role("button", name="Stop here").tap()
    assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("kind", ["recognition", "ranking"])
def test_the_page_tells_nothing_of_what_faces_should_show(request, pictures, kind):
    """It is the same, letter by letter, whatever the faces should show, whose they are, and how they are ranked."""

    def otherwise(picture):
        ranks = {"deepexpr": 1.0}
        return dataclasses.replace(picture, source="elsewhere/a.png", character="bob", expression="fear", ranks=ranks)

    study = request.getfixturevalue(kind)
    questions = tuple(
        Question(one.identifier, tuple(map(otherwise, one.pictures)), one.query and otherwise(one.query))
        for one in study.questions
    )
    html = study_page(with_checks(study, 2), pictures(study))
    other = with_checks(Questionnaire(kind, questions, {"seed": 2}), 2)
    assert study_page(other, pictures(study)) == html
    data = json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', html, re.DOTALL)[1])
    assert sorted(data["pictures"]) == shown_pictures(study)
    names = [one["id"] for one in data["questions"]]  # in the order of names that tell nothing
    assert names == sorted(names) and all(one["pictures"] == sorted(one["pictures"]) for one in data["questions"])


def test_nothing_is_asked_of_a_network_and_text_is_text(recognition, pictures):
    html = study_page(recognition, pictures(recognition), title="A <b>study</b>", contact="</script><script>alert(1)")
    assert "<b>study" not in html and html.count("<script") == 3
    without_own = html.replace("form-action http: https:", "")
    assert not re.search(r"(?:src|href|action|url)\s*[=(]\s*[\"']?https?:", without_own)


def test_pictures_are_scaled_down_to_what_is_looked_at(tmp_path):
    (tmp_path / "wide.jpg").write_bytes(jpeg(np.full((300, 900, 3), 200, np.uint8)))
    assert read_image(tmp_path / "wide.jpg").shape == (107, 320, 3)  # 300 · 320 / 900 = 106.7
    (tmp_path / "small.jpg").write_bytes(jpeg(np.full((30, 20, 3), 200, np.uint8)))
    assert read_image(tmp_path / "small.jpg").shape == (30, 20, 3)


def test_studies_that_cannot_be_shown(recognition, pictures):
    with pytest.raises(UserError, match="has no question"):
        study_page(Questionnaire("ranking", ()), {})
    with pytest.raises(UserError, match="--per-rater 0"):
        study_page(recognition, pictures(recognition), per_rater=0)
