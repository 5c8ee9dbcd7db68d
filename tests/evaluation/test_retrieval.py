"""Shares of matches that carry the query's label, and the list of queries."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.report import print_queries, report_recognition, report_retrieval
from pydeepexpr.evaluation.retrieval import (
    LabelledQuery,
    look_at_queries,
    pick_queries,
    read_queries,
    retrieval_shares,
)
from pydeepexpr.expressions import EXPRESSIONS

LIST = Path(__file__).parents[2] / "docs" / "web_faces_queries.txt"


def test_shares_by_hand():
    found = {"a": [3, 3, 0, 3], "b": [1, 0, 0, 0], "c": [6, 6, 6, 6]}
    retriever = SimpleNamespace(
        retrieve=lambda query, k: [SimpleNamespace(label=label) for label in found[query.name][:k]]
    )
    queries = [
        LabelledQuery("a", 3, SimpleNamespace(name="a", predicted=3)),
        LabelledQuery("b", 0, SimpleNamespace(name="b", predicted=0)),
        LabelledQuery("c", 3, SimpleNamespace(name="c", predicted=6)),
        LabelledQuery("without a face", 3, None),
    ]
    shares = retrieval_shares(queries, retriever, 4)
    np.testing.assert_array_equal(shares.classified, [True, True, False, False])
    np.testing.assert_array_equal(shares.first, [True, False, False, False])
    np.testing.assert_array_equal(shares.share, [0.75, 0.75, 0, 0])
    record = shares.record()
    assert (record["classifier_accuracy"], record["top_1"], record["top_4"]) == (0.5, 0.25, 0.375)
    assert record["ratio_to_classifier"] == {"top_1": 0.5, "top_4": 0.75}
    assert record["classes"]["joy"] == {"queries": 3, "classifier_accuracy": 1 / 3, "top_1": 1 / 3, "top_4": 0.25}


@pytest.fixture
def photographs(tiny, tmp_path, monkeypatch):
    """Three photographs in class folders; a dark one shows no face."""

    def analyse(image, *, cropped=False):
        box, geometry = np.zeros(4), np.full(9, 0.5)
        face = SimpleNamespace(registered=image, box=box, geometry=geometry, stand_in=False)
        return [face] if image.any() else []

    monkeypatch.setattr(faces, "analyse", analyse)
    for name, image in (("joy/1.png", tiny.faces[3]), ("sad/2.png", tiny.faces[5]), ("fear/3.png", 0 * tiny.faces[0])):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "list.txt").write_text("# how they were chosen\njoy/1.png\n\nsad/2.png\nfear/3.png\n")
    return tmp_path


def test_queries_are_looked_at_once(tiny, photographs):
    names = read_queries(photographs / "list.txt")
    seen = look_at_queries(tiny.recogniser, names, photographs)
    assert [(query.name, query.label) for query in seen] == [("joy/1.png", 3), ("sad/2.png", 5), ("fear/3.png", 2)]
    assert seen[2].query is None
    np.testing.assert_array_equal(seen[0].query.fc6, tiny.recogniser.features(tiny.faces[3:4])[0][0])


def test_the_report_on_retrieval(tiny, photographs, tmp_path):
    table = report_retrieval(
        tiny.store.path,
        photographs / "list.txt",
        root=photographs,
        model=tiny.weights,
        top=5,
        device="cpu",
        json=tmp_path / "out.json",
        markdown=tmp_path / "out.md",
    )
    assert (tmp_path / "out.md").read_text() == table
    assert table.startswith("3 photographs against 23 images;")
    assert table.count("\n| ") == 2 + 6  # head, rule, three normalisations with and without geometry
    assert '"without_face": [\n    "fear/3.png"\n  ]' in (tmp_path / "out.json").read_text()


def test_the_report_on_recognition(tiny, tmp_path):
    (tmp_path / "rejects.csv").write_text("path,reason\nval/joy/9.jpg,no face\n")
    files = {"json": tmp_path / "r.json", "markdown": tmp_path / "r.md", "figure": tmp_path / "r.png"}
    table = report_recognition(tiny.store.path, rejects=tmp_path / "rejects.csv", under="val", expect=24, **files)
    hits = (tiny.store.labels == tiny.store.predicted).sum()
    assert f"{hits / 24:.2%} of 24 images" in table
    assert all(path.exists() for path in files.values())
    with pytest.raises(UserError, match=r"23 images were counted \(0 of them rejected\), not 24"):
        report_recognition(tiny.store.path, expect=24)


def test_missing_queries(tiny, photographs):
    with pytest.raises(UserError, match=r"1 of 2 queries are not in .*, for instance joy/absent\.png"):
        look_at_queries(tiny.recogniser, ["joy/1.png", "joy/absent.png"], photographs)


@pytest.mark.parametrize("content", [None, "", "# nothing\n"])
def test_no_list(tmp_path, content):
    if content is not None:
        (tmp_path / "list.txt").write_text(content)
    with pytest.raises(UserError, match=r"list\.txt"):
        read_queries(tmp_path / "list.txt")


@pytest.fixture
def manifest(tmp_path):
    labels = [number % 7 for number in range(140)]
    sources = [f"{EXPRESSIONS[label]}/{number}.jpg" for number, label in enumerate(labels)]
    face = ["detected" if number < 105 else "whole-image" for number in range(140)]
    table = pa.table({"source": sources, "expression": pa.array(labels, pa.int8()), "face": face})
    pq.write_table(table, tmp_path / "manifest.parquet")
    return tmp_path / "manifest.parquet"


def test_picked_queries(manifest):
    names = pick_queries(manifest, 10, seed=1)
    assert names == pick_queries(manifest, 10, seed=1) != pick_queries(manifest, 10, seed=2)
    assert [name.split("/")[0] for name in names] == [expression for expression in EXPRESSIONS for _ in range(10)]
    assert len(set(names)) == 70
    assert all(int(Path(name).stem) < 105 for name in names)
    assert print_queries(manifest, 10, 1).splitlines()[3:] == names


def test_too_few_to_pick_from(manifest):
    with pytest.raises(UserError, match="has 15 detected faces of anger, fewer than 16"):
        pick_queries(manifest, 16)


@pytest.mark.parametrize("content", [None, b"PAR1"])
def test_no_manifest(tmp_path, content):
    if content is not None:
        (tmp_path / "m.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.parquet"):
        pick_queries(tmp_path / "m.parquet")


def test_the_committed_list_has_ten_an_expression():
    names = read_queries(LIST)
    assert len(set(names)) == 70
    assert [name.split("/")[0] for name in names] == [expression for expression in EXPRESSIONS for _ in range(10)]


def test_a_second_list_shares_no_name_with_the_first(tmp_path):
    names = {label: [f"{label}/{i}.jpg" for i in range(6)] for label in EXPRESSIONS}
    table = {
        "source": [name for its in names.values() for name in its],
        "expression": pa.array([label for label in range(7) for _ in range(6)], pa.int8()),
        "face": ["detected"] * 42,
    }
    pq.write_table(pa.table(table), tmp_path / "manifest.parquet")
    first = pick_queries(tmp_path / "manifest.parquet", 4, seed=0)
    second = pick_queries(tmp_path / "manifest.parquet", 4, seed=0, exclude=first, fewer=True)
    assert len(first) == 28 and set(first) | set(second) == set(table["source"]) and not set(first) & set(second)
    with pytest.raises(UserError, match="2 detected faces of anger, fewer than 4"):
        pick_queries(tmp_path / "manifest.parquet", 4, seed=0, exclude=first)
