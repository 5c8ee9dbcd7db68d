"""Training curves: which line goes where, for one run and several."""

import re

import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.curves_figure import curves_figure, draw_curves
from pydeepexpr.training_log import parse_log, write_csv
from tests.test_training_log import LOG

# BGR of the lines.
TEST_LOSS, ACCURACY = (0xA3, 0x65, 0x00), (0x00, 0x4E, 0xC4)


def rows(*values) -> list[dict[str, float]]:
    """Rows of iteration, training loss, test loss, test accuracy."""
    names = ("iteration", "train_loss", "test_loss", "test_accuracy")
    return [dict(zip(names, row, strict=True)) for row in values]


def middles(path, colour, left: float, right: float) -> np.ndarray:
    """Return the heights of a colour's marks between two places, in inches from above."""
    picture = cv2.imread(str(path)).astype(int)[:, round(300 * left) : round(300 * right)]
    return np.nonzero((np.abs(picture - colour).sum(axis=2) < 30).any(axis=1))[0] / 300


def test_lines_stand_where_their_numbers_say(tmp_path):
    """Test loss constantly 1, accuracy 75 %; the highest loss is 2, so that the left axis ends at 2.1."""
    draw_curves({"run": rows((0, 2.0, 1.0, 0.75), (10, 2.0, 1.0, 0.75))}, tmp_path / "c.png")
    top, tall = 0.16 + 0.26, 2.9  # the only panel is 2.9 inches high
    for colour, share in ((TEST_LOSS, 1 / 2.1), (ACCURACY, 0.75)):
        found = middles(tmp_path / "c.png", colour, 1.0, 5.0)
        found = found[found > top]  # not the legend
        assert found.mean() == pytest.approx(top + tall * (1 - share), abs=0.02)


def test_panels_have_one_axis(tmp_path):
    """The second run's loss of 1 stands as high as the first's, whose axis a loss of 4 makes longer."""
    runs = {"a": rows((0, 4.0, 1.0, 0.5), (9, 4.0, 1.0, 0.5)), "b": rows((0, 0.5, 1.0, 0.5), (5, 0.5, 1.0, 0.5))}
    draw_curves(runs, [tmp_path / "c.png", tmp_path / "c.svg"])
    across = 0.36 + 2.05 + 0.3
    for number in (0, 1):
        left = 0.16 + number * across + 0.36
        found = middles(tmp_path / "c.png", TEST_LOSS, left + 0.3, left + 1.7)
        found = found[found > 0.42]
        assert found.mean() == pytest.approx(0.42 + 1.45 * (1 - 1 / 4.2), abs=0.02)
    said = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "c.svg").read_text(encoding="utf-8"))
    assert said.count("a") == said.count("b") == said.count("test loss") == said.count("loss") == 1


def test_a_loss_that_has_gone_and_a_run_without_tests_are_drawn(tmp_path):
    runs = {
        "gone": rows((0, 2.0, 2.0, 0.1), (9, float("nan"), float("inf"), 0.1)),
        "new": [{"iteration": 0, "lr": 0.1}],
    }
    draw_curves(runs, tmp_path / "c.png")
    draw_curves({"nothing": []}, tmp_path / "n.png")
    assert (tmp_path / "c.png").stat().st_size > 5000 and (tmp_path / "n.png").stat().st_size > 5000


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_panels_wrap(tmp_path, count):
    draw_curves({str(number): rows((0, 1, 1, 0.1), (9, 1, 1, 0.5)) for number in range(count)}, tmp_path / "c.png")
    height, width = cv2.imread(str(tmp_path / "c.png")).shape[:2]
    wide, tall = (5.6, 2.9) if count == 1 else (2.05, 1.45)
    assert width == pytest.approx(300 * (0.32 + min(count, 3) * (wide + 0.66)), abs=2)
    assert height == pytest.approx(300 * (0.32 + -(-count // 3) * (tall + 0.62)), abs=2)


def test_runs_are_read(tmp_path):
    (tmp_path / "human").mkdir()
    (tmp_path / "human" / "train.log").write_text(LOG)
    (tmp_path / "mery").mkdir()
    write_csv(tmp_path / "mery" / "log.csv", parse_log(LOG)[:2])
    record = curves_figure([tmp_path / "human", tmp_path / "mery"], [tmp_path / "c.png", tmp_path / "c.pdf"])
    assert record["runs"] == {
        "human": {"iterations": 40, "last_accuracy": 0.5, "best_accuracy": 0.5},
        "mery": {"iterations": 20, "last_accuracy": 0.125, "best_accuracy": 0.125},
    }
    assert (tmp_path / "c.png").is_file() and (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")


def test_runs_of_one_name_go_by_their_places(tmp_path):
    for place in ("a/human", "b/human"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "train.log").write_text(LOG)
    record = curves_figure([tmp_path / "a/human", tmp_path / "b/human/train.log"], tmp_path / "c.png")
    assert list(record["runs"]) == [str(tmp_path / "a/human"), str(tmp_path / "b/human/train.log")]
    with pytest.raises(UserError, match="a run is given twice"):
        curves_figure([tmp_path / "a/human", tmp_path / "a/human"], tmp_path / "c.png")


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(UserError, match=r"neither train\.log nor log\.csv"):
        curves_figure([tmp_path], tmp_path / "c.png")
    with pytest.raises(UserError, match="end the name in one of"):
        curves_figure([tmp_path], tmp_path / "c.bmp")
