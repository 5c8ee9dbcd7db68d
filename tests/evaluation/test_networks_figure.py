"""The networks side by side: what stands on one level, and what is written."""

import json
import re

import cv2
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.network_steps import Network, Step
from pydeepexpr.evaluation.networks_figure import PROTOTXTS, align, draw_networks, networks_figure


def step(title: str, kind: str = "InnerProduct", source: str = "", rate: float = 1.0, parameters: int = 10) -> Step:
    sources = (source,) if source else ()
    return Step(title, kind, title, "", (), (3,), parameters, rate, sources)


def network(*titles: str) -> Network:
    return Network("net", "", tuple(step(title, title.split()[0]) for title in titles))


def titles(rows) -> list[list[str]]:
    count = 1 + max(number for row in rows for number in row)
    return [[row[number].title if number in row else "" for number in range(count)] for row in rows]


def test_levels_by_hand():
    rows = align([network("A", "B", "P", "C", "D"), network("A", "P", "D"), network("A", "B", "P", "C", "C new", "D")])
    assert titles(rows) == [
        ["A", "A", "A"],
        ["B", "", "B"],
        ["P", "P", "P"],
        ["C", "", "C"],
        ["", "", "C new"],
        ["D", "D", "D"],
    ]


def test_networks_without_anything_in_common_stand_below_one_another():
    assert titles(align([network("A", "B"), network("C")])) in ([["A", ""], ["B", ""], ["", "C"]],)


def test_each_step_stands_once_and_in_its_order():
    networks = [network(*"ABCAD"), network(*"BACD"), network(*"DDA")]
    rows = align(networks)
    for number, one in enumerate(networks):
        assert [row[number] for row in rows if number in row] == list(one.steps)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    files = [folder / f"n.{ending}" for ending in ("png", "pdf", "svg")]
    return networks_figure(PROTOTXTS, files), files


def test_the_papers_networks(drawn):
    record, files = drawn
    assert all(file.stat().st_size > 5000 for file in files)
    said = re.findall(r"<text[^>]*>([^<]*)</text>", files[2].read_text(encoding="utf-8"))
    for title in ("human", "character", "finetune (fc6-map)"):
        assert said.count(title) == 1
    assert [said.count(title) for title in ("CONV1", "CONV3", "CONV4", "FC6", "FC7", "softmax")] == [3, 3, 2, 3, 3, 3]
    assert said.count("96 × 55 × 55") == 3 and said.count("7,078,400") == 3 and said.count("512") == 5
    assert "9,236,103 parameters, 262,656 learned" in said and "8,973,447 parameters" in said
    assert said.count("262,656, rate × 10") == 1, "what is tuned is told in words"
    assert [one["parameters"] for one in json.loads(json.dumps(record))["networks"]] == [8973447, 8309511, 9236103]


def test_what_is_tuned_has_a_frame_of_its_colour(drawn):
    """One box of 2.05 × 0.37 inches, in the third column: its frame is the only thing in #c44e00 besides its words."""
    picture = cv2.imread(str(drawn[1][0])).astype(int)
    rows, columns = (abs(picture - (0x00, 0x4E, 0xC4)).sum(axis=2) < 12).nonzero()
    left = 0.16 + 2 * (2.05 + 0.3)
    assert (columns.min(), columns.max()) == pytest.approx((300 * left, 300 * (left + 2.05)), abs=6)
    assert rows.max() - rows.min() == pytest.approx(300 * 0.37, abs=10)


def test_a_network_that_learns_throughout_has_no_frame(tmp_path):
    draw_networks([network("A", "B")], tmp_path / "n.png")
    picture = cv2.imread(str(tmp_path / "n.png")).astype(int)
    assert not (abs(picture - (0x00, 0x4E, 0xC4)).sum(axis=2) < 12).any()


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        (PROTOTXTS, {"stage": "fc9"}, "knows no stage 'fc9'"),
        (["prototxt/absent.prototxt"], {}, "there is no prototxt/absent"),
    ],
)
def test_what_cannot_be_drawn(tmp_path, files, options, said):
    with pytest.raises(UserError, match=said):
        networks_figure(files, tmp_path / "n.png", **options)
    with pytest.raises(UserError, match="end the name in one of"):
        networks_figure(files, tmp_path / "n.txt", **options)
