"""The order of rendered faces by their action units, by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.questionnaire import Picture, Question, Questionnaire
from pydeepexpr.evaluation.study.true_order import BY, order_by_action_units
from pydeepexpr.evaluation.study.votes import Votes


def units(**values):
    """48 intensities, of which some are not 0."""
    found = np.zeros(48, dtype=np.float32)
    for name, value in values.items():
        found[int(name[1:])] = value
    return found.tolist()


def write(path, **rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [name.replace("_", "/", 1) + ".png" for name in rows]
    pq.write_table(pa.table({"path": names, "action_units": list(rows.values()), "n": [1] * len(rows)}), path)
    return path


def study(query="joy/p0.png", names=("mery/a.png", "mery/b.png", "mery/c.png", "mery/d.png"), kind="ranking"):
    pictures = tuple(Picture(name[-5], name, "mery", "joy") for name in names)
    return Questionnaire(kind, (Question("q", pictures, Picture("query", query, "", "joy") if query else None),))


@pytest.fixture
def files(tmp_path):
    people = write(tmp_path / "people" / "frames.parquet", joy_p0=units(u0=0.5, u1=0.5, u40=1.0))
    cast = write(
        tmp_path / "cast" / "frames.parquet",
        mery_a=units(u0=0.5, u1=0.5),  # 1 away: the 41st unit is missing
        mery_b=units(u0=0.5, u1=0.5, u40=1.0),  # the same
        mery_c=units(u0=0.2, u1=0.9, u40=1.0),  # √(0.3² + 0.4²) = 0.5
        mery_d=units(u0=0.9, u1=0.2, u40=1.0),  # the same
    )
    return people, cast


def test_by_hand(files, tmp_path):
    votes = order_by_action_units(study(), files)
    assert votes.ranks == {"q": {"b": 1.0, "c": 2.5, "d": 2.5, "a": 4.0}}
    assert (votes.by, votes.raters, votes.kind, votes.study) == (BY, 0, "ranking", study().identifier)
    assert "no person" in votes.by
    votes.write(tmp_path / "votes.json")
    assert Votes.read(tmp_path / "votes.json").ranks == votes.ranks


def test_an_image_is_found_as_a_file_too(files):
    """Results of retrieval name a photograph by where it lies."""
    found = order_by_action_units(study(query=str(files[0].parent / "joy" / "p0.png")), files)
    assert found.ranks == order_by_action_units(study(), files).ranks


def test_what_cannot_be_ordered(files, tmp_path):
    with pytest.raises(UserError, match=r"joy/p0\.png is not described in .*cast"):
        order_by_action_units(study(), files[1:])
    with pytest.raises(UserError, match=r"mery/z\.png is not described"):
        order_by_action_units(study(names=("mery/a.png", "mery/z.png")), files)
    with pytest.raises(UserError, match="is not described in no file at all"):
        order_by_action_units(study(), [])
    with pytest.raises(UserError, match="this is a recognition study"):
        order_by_action_units(study(kind="recognition"), files)
    with pytest.raises(UserError, match="question q has no query"):
        order_by_action_units(study(query=None), files)
    with pytest.raises(UserError, match=r"there is no .*none\.parquet"):
        order_by_action_units(study(), [tmp_path / "none.parquet"])
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(UserError, match=r"bad\.parquet is no frames\.parquet"):
        order_by_action_units(study(), [tmp_path / "bad.parquet"])
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=r"bad\.parquet is no frames\.parquet"):
        order_by_action_units(study(), [tmp_path / "bad.parquet"])
    other = write(tmp_path / "other" / "frames.parquet", mery_a=units(u3=1.0))
    with pytest.raises(UserError, match=r"two files describe an image mery/a\.png differently"):
        order_by_action_units(study(), [*files, other])
