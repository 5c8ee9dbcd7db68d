"""Table 1 by hand, and what happens where something is missing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.table1 import PAPERS, table1
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.lineage import ModelIdentity

NAN = np.full(9, np.nan)


class Images(SimpleNamespace):
    """What `Described` asks for, of images with two features each."""

    def __init__(self, *images):
        labels, predicted, fc6, geometry = zip(*images, strict=True)
        super().__init__(
            labels=np.array(labels),
            predicted=np.array(predicted),
            fc7_rows=np.array(predicted),
            fc6=np.array(fc6, dtype=np.float32),
            geometry=np.array(geometry),
            fc7=np.ones((7, 2)),
            model=ModelIdentity("human", "a", (), {}),
            models=(ModelIdentity("human", "a", (), {}),),
            path="store",
        )

    def __len__(self):
        return len(self.labels)


def at(x):
    return np.full(9, x)


# True label, predicted label, features, geometry.
QUERIES = Images((3, 3, (1, 0), at(0.0)), (0, 0, (0, 1), at(1.0)), (-1, 0, (1, 1), at(0.5)))
MERY = Images(
    (3, 3, (0.9, 0.1), at(0.3)),
    (3, 0, (0.7, 0.3), at(0.1)),
    (0, 3, (0.8, 0.2), at(0.2)),
    (0, 0, (0.1, 0.9), at(0.4)),
    (-1, 3, (1, 0), at(0.0)),
)


def test_by_hand():
    result = table1(QUERIES, {"mery": MERY})
    assert result.queries.tolist() == [1, 0, 0, 1, 0, 0, 0]
    assert result.images == {"mery": 4}  # the image without a label is not there
    # The query of joy. Geometry puts images 1, 2, 0, 3: its own stand on 1 and 3. Divergence puts 0, 2, 1, 3: likewise.
    # Sorted, 0 and 2 change places: its own stand on 2 and 3.
    for name, ranks in (("geometry", (1, 3)), ("js", (1, 3)), ("js-geometry", (2, 3))):
        assert result.by_expression(name)[3] == pytest.approx((sum(ranks) - 3) / (4 * 2))
    # That of anger. Geometry puts 3, 0, 2, 1: 1 and 3. Divergence puts 3, 1, 2, 0: 1 and 3. Predicted as anger are 3
    # and 1, which geometry leaves in this order.
    for name in ("geometry", "js", "js-geometry"):
        assert result.by_expression(name)[0] == pytest.approx((1 + 3 - 3) / (4 * 2))
    assert np.isnan(result.by_expression("js")[[1, 2, 4, 5, 6]]).all()
    np.testing.assert_allclose(result.chance[[0, 3]], (4 - 2) / (2 * 4))


def test_characters_count_alike_whatever_their_number_of_images():
    one = Images((3, 3, (0.2, 0.8), at(0.0)), (0, 0, (0.9, 0.1), at(0.0)))  # joy comes last: 1 / 2
    result = table1(QUERIES, {"mery": MERY, "one": one})
    assert result.by_expression("js")[3] == pytest.approx((0.125 + 0.5) / 2)
    assert result.by_character("js").shape == (2,)


def test_a_character_without_an_expression_is_left_out_of_its_mean():
    angry = Images((0, 0, (0.2, 0.8), at(0.0)), (0, 0, (0.9, 0.1), at(0.0)))
    result = table1(QUERIES, {"mery": MERY, "angry": angry})
    assert result.by_expression("js")[3] == pytest.approx(0.125)
    assert result.by_character("js")[1] == 0  # all of its images are angry


def test_unknown_geometry_is_chance():
    queries = Images((3, 3, (1, 0), NAN))
    result = table1(queries, {"mery": MERY})
    assert result.by_expression("geometry")[3] == pytest.approx(0.25)
    assert result.without_geometry == 1
    assert "1 queries and images have no landmarks" in result.tables()[0].said
    # Without geometry nothing is sorted.
    assert result.by_expression("js-geometry")[3] == result.by_expression("js")[3]


def test_labels_that_are_not_known():
    with pytest.raises(UserError, match="no query has a label"):
        table1(Images((-1, 0, (1, 0), at(0))), {"mery": MERY})
    with pytest.raises(UserError, match="store holds no labelled image"):
        table1(QUERIES, {"mery": Images((-1, 0, (1, 0), at(0)))})


def test_the_papers_values_stand_beside():
    result = table1(QUERIES, {"mery": MERY})
    table, intervals, by_geometry, by_js, by_sorted = (table.markdown() for table in result.tables())
    assert table.startswith(
        "2 queries against 4 images of 1 character; 0 is best, 0.250 is chance. DeepExpr lies 0.000"
    )
    assert "| joy | 1 | 0.125 | 0.125 | 0.250 | 0.276 | 0.106 |" in table
    assert "| disgust | 0 | – | – | – | 0.386 | 0.171 |" in table
    assert "| average | 2 | 0.125 | 0.125 | 0.188 | 0.355 | 0.187 |" in table
    # One query an expression: whoever is drawn, its mean is the same.
    one, two = "0.125 to 0.125", "0.250 to 0.250"
    assert f"| joy | {one} | {one} | {two} |" in intervals and "| disgust | – | – | – |" in intervals
    # The average over resampled people has the other expression alone where one was not drawn.
    assert f"| average | {one} | {one} | 0.125 to 0.250 |" in intervals
    assert "| mery | 4 | 0.125 | – | – | 0.125 | – | – | – | 0.125 |" in by_geometry and by_geometry == by_js
    assert "| mery | 4 | 0.125 | – | – | 0.250 | – | – | – | 0.188 |" in by_sorted
    record = json.loads(json.dumps(result.record(), allow_nan=False))
    assert record["scores"]["js"]["joy"] == pytest.approx(0.125) and record["scores"]["js"]["fear"] is None
    assert record["characters"]["mery"]["js-geometry"]["joy"] == pytest.approx(0.25)
    assert record["papers"]["js"]["average"] == pytest.approx(np.mean(PAPERS["js"]))
    assert list(record["queries"]) == list(EXPRESSIONS)
    assert record["spread"]["js-geometry"]["upper"]["average"] == pytest.approx(0.25)
    assert record["gain"] == pytest.approx({"mean": 0, "lower": 0, "upper": 0})


def test_persons_are_resampled_whole(tiny):
    """The rows of a store name nobody, so that each image stands for a person; with one person nothing varies."""
    alone = table1(tiny.store, {"tiny": tiny.store})
    low, high = alone.spread("js")
    assert (low <= [*alone.by_expression("js"), np.mean(alone.by_expression("js"))]).all()
    assert (low < high).all()


def test_a_store_of_features(tiny):
    """Each image of a store finds itself first, so the scores lie below chance where geometry is known."""
    result = table1(tiny.store, {"tiny": tiny.store})
    assert result.queries.tolist() == [4, 4, 3, 3, 3, 3, 3]
    assert (result.by_expression("js") < result.chance).mean() > 0.5
    assert result.without_geometry == 2 * 4
