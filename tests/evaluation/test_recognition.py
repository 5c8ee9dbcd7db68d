"""Accuracy, per class, confusion; what was rejected counts as wrong."""

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.figures import confusion_figure
from pydeepexpr.evaluation.recognition import read_rejects, recognition

LABELS = np.array([0, 0, 0, 3, 3, 6, -1])
PREDICTED = np.array([0, 0, 1, 3, 3, 0, 5])


def test_by_hand():
    result = recognition(LABELS, PREDICTED, [0, 6, 6, 6, -1])
    assert result.confusion[0].tolist() == [2, 1, 0, 0, 0, 0, 0]
    assert result.confusion[6, 0] == 1
    assert (result.total, result.unlabelled) == (10, 2)
    assert result.accuracy == 4 / 10
    assert result.accuracy_of_accepted == 4 / 6
    np.testing.assert_array_equal(result.counts, [4, 0, 0, 2, 0, 0, 4])
    np.testing.assert_array_equal(result.per_class, [2 / 4, np.nan, np.nan, 1, np.nan, np.nan, 0])
    record = result.record()
    assert record["mean_of_classes"] == 0.5
    assert record["classes"]["disgust"]["accuracy"] is None
    assert record["classes"]["anger"]["predicted_as"]["disgust"] == 1


def test_without_rejects():
    result = recognition(LABELS, PREDICTED)
    assert result.accuracy == result.accuracy_of_accepted == 4 / 6


def test_the_table_adds_up():
    table = recognition(LABELS, PREDICTED, [0]).table("by lot").markdown()
    assert "57.14% of 7 images recognised (1 rejected images count as wrong; 66.67% of the others); by lot." in table
    assert "| anger | 4 | 1 | 50.0% |" in table
    assert "| fear | 0 | 0 | – |" in table
    assert "| all | 7 | 1 | 57.1% |" in table


def test_nothing_labelled():
    with pytest.raises(UserError, match="no image has a label"):
        recognition(np.array([-1]), np.array([0]))


def test_rejects_are_labelled_by_their_folders(tmp_path):
    path = tmp_path / "rejects.csv"
    path.write_text(
        'path,reason\nval/happy/1.jpg,no face\ntrain/angry/sub/2.jpg,"a, b"\nval/odd/3.jpg,x\nvalid/sad/4.jpg,x\n'
    )
    assert read_rejects(path) == [3, 0, -1, 5]
    assert read_rejects(path, "val") == [3, -1]
    assert read_rejects(path, "val/happy/") == [3]


def test_rejects_are_labelled_by_their_own_column_first(tmp_path):
    """As register writes it; where it is empty, or in lists of old without it, by the folders as before."""
    path = tmp_path / "rejects.csv"
    path.write_text(
        "path,reason,expression,subject\n"
        "happy/1.jpg,x,fear,S1\nhappy/2.jpg,x,,S1\nSN001/3.png,x,surprise,\nSN001/4.png,x,,\nhappy/5.jpg,x,odd,\n"
    )
    assert read_rejects(path) == [2, 3, 6, -1, 3]
    assert read_rejects(path, "SN001") == [6, -1]


@pytest.mark.parametrize("content", [None, b"name;reason\n1;2\n", b"\xff\xfe\x00path,reason\n\xff,x\n"])
def test_no_list_of_rejects(tmp_path, content):
    if content is not None:
        (tmp_path / "rejects.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"rejects\.csv"):
        read_rejects(tmp_path / "rejects.csv")


@pytest.mark.parametrize("ending", ["png", "pdf", "svg", "jpg"])
@pytest.mark.parametrize("rejected", [[], [0, 3]])
def test_the_figure_is_drawn(tmp_path, ending, rejected):
    confusion_figure(recognition(LABELS, PREDICTED, rejected), tmp_path / f"figure.{ending}", "A title")
    assert [path.name for path in tmp_path.iterdir()] == [f"figure.{ending}"]
    assert (tmp_path / f"figure.{ending}").stat().st_size > 5000


def test_a_figure_needs_a_known_ending(tmp_path):
    with pytest.raises(UserError, match="end the name in one of"):
        confusion_figure(recognition(LABELS, PREDICTED), tmp_path / "figure.bmp")
