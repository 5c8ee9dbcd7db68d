"""Shares of matches that carry the query's label, and the list of queries."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.report import print_queries, report_recognition, report_retrieval, report_table1
from pydeepexpr.evaluation.retrieval import RetrievalShares, look_at_queries, pick_queries, retrieval_shares
from pydeepexpr.evaluation.table1 import table1
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features import FeatureStore, write_store
from pydeepexpr.files import read_names
from pydeepexpr.pipeline import Query, Retriever

LIST = Path(__file__).parents[2] / "docs" / "web_faces_queries.txt"


def test_shares_by_hand():
    shares = RetrievalShares(
        labels=np.array([3, 0, 3]),
        classified=np.array([True, True, False]),
        first=np.array([True, False, False]),
        share=np.array([0.75, 0, 0]),
        k=4,
    ).with_misses([3])
    np.testing.assert_array_equal(shares.labels, [3, 0, 3, 3])
    np.testing.assert_array_equal(shares.classified, [True, True, False, False])
    np.testing.assert_array_equal(shares.share, [0.75, 0, 0, 0])
    record = shares.record()
    assert (record["classifier_accuracy"], record["top_1"], record["top_4"]) == (0.5, 0.25, 0.1875)
    assert record["ratio_to_classifier"] == {"top_1": 0.5, "top_4": 0.375}
    assert record["classes"]["joy"] == {"queries": 3, "classifier_accuracy": 1 / 3, "top_1": 1 / 3, "top_4": 0.25}


@pytest.mark.parametrize("how", ["l1", "class-weight"])
@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("within", ["label", "store"])
def test_what_is_counted_is_what_is_retrieved(tiny, how, beta, within):
    """The images of the store as queries, one by one through the retriever that people use."""
    store = tiny.store
    shares = retrieval_shares(store, store, 5, how=how, beta=beta, within=within)
    retriever = Retriever(store, tiny.recogniser, how=how, beta=beta, within=within)
    nothing = np.empty(0)
    for row in range(len(store)):
        seen = (nothing, nothing, nothing, store.geometry[row], 1.0, 0.0, store.fc6[row], store.prob[row])
        query = Query("", *seen, stand_in=False)
        hits = [match.label == store.labels[row] for match in retriever.retrieve(query, 5)]
        assert shares.first[row] == hits[0] and shares.share[row] == np.mean(hits)
    np.testing.assert_array_equal(shares.classified, store.predicted == store.labels)


def test_queries_without_a_label_do_not_count(tiny):
    queries = dataclasses.replace(tiny.store)
    vars(queries)["labels"] = np.where(np.arange(23) < 20, -1, tiny.store.labels)
    some, every = retrieval_shares(queries, tiny.store, 5), retrieval_shares(tiny.store, tiny.store, 5)
    np.testing.assert_array_equal(some.share, every.share[20:])
    vars(queries)["labels"] = np.full(23, -1)
    with pytest.raises(UserError, match="no query has a label"):
        retrieval_shares(queries, tiny.store, 5)


def test_an_unknown_reach(tiny):
    with pytest.raises(UserError, match="cannot sort matches within 'face'; use one of: label, store"):
        retrieval_shares(tiny.store, tiny.store, 5, within="face")


@pytest.mark.parametrize("k", [0, 24])
def test_more_matches_than_images(tiny, k):
    with pytest.raises(UserError, match=f"cannot return the top {k}: .* holds 23 images"):
        retrieval_shares(tiny.store, tiny.store, k)


@pytest.fixture
def photographs(tiny, tmp_path, monkeypatch):
    """Three photographs in class folders; a dark one shows no face."""

    def analyse(image, *, cropped=False, alignment="affine"):
        box, geometry = np.zeros(4), np.full(9, 0.5)
        face = faces.Face(image, box, 1.0, np.zeros((49, 2)), geometry, np.eye(2, 3), 2.0, stand_in=False)
        return [face] if image.any() else []

    monkeypatch.setattr(faces, "analyse", analyse)
    for name, image in (("joy/1.png", tiny.faces[3]), ("sad/2.png", tiny.faces[5]), ("fear/3.png", 0 * tiny.faces[0])):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "list.txt").write_text("# how they were chosen\njoy/1.png\n\nsad/2.png\nfear/3.png\n")
    return tmp_path


def test_queries_are_looked_at_once(tiny, photographs):
    names = read_names(photographs / "list.txt")
    seen = look_at_queries(tiny.recogniser, names, photographs)
    assert seen.labels.tolist() == [3, 5] and seen.missed == {"fear/3.png": 2}
    fc6, prob = tiny.recogniser.features([tiny.faces[3], tiny.faces[5]])
    np.testing.assert_allclose(seen.fc6, fc6, rtol=1e-4, atol=1e-6)  # one by one, not as a batch
    np.testing.assert_array_equal(seen.predicted, prob.argmax(axis=1))
    np.testing.assert_array_equal(seen.geometry, np.full((2, 9), 0.5))
    assert seen.model == tiny.recogniser.identity


def test_queries_none_of_which_shows_a_face(tiny, photographs):
    with pytest.raises(UserError, match="no face was found in any of the 1 queries"):
        look_at_queries(tiny.recogniser, ["fear/3.png"], photographs)


def test_the_report_on_retrieval(tiny, photographs, tmp_path):
    table = report_retrieval(
        [tiny.store.path],
        photographs / "list.txt",
        root=photographs,
        model=tiny.weights,
        top=5,
        device="cpu",
        json=tmp_path / "out.json",
        markdown=tmp_path / "out.md",
    )
    assert (tmp_path / "out.md").read_text() == table
    assert table.startswith("3 queries against 23 images; the classifier names")
    assert table.count("\n| ") == 2 + 6  # head, rule, three normalisations with and without geometry
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["without_face"] == ["fear/3.png"]
    assert [setting["queries"] for setting in record["settings"]] == [3] * 6


@pytest.fixture
def cast(tiny, tmp_path):
    """Two characters: models fine-tuned from the tiny one, with fewer images and with other labels."""
    for name, rows in (("mery", 20), ("ray", 23)):
        store, own = tiny.store, tiny.recogniser.identity
        model = dataclasses.replace(own, name=name, sha256=name * 8, ancestry=(own.sha256,))
        with write_store(tmp_path / "cast" / name, model, store.fc7) as writer:
            writer.append(store.fc6[:rows], store.prob[:rows], store.geometry[:rows], store.rows.slice(0, rows))
    return [tmp_path / "cast" / "mery", tmp_path / "cast" / "ray"]


def test_the_report_on_the_retrieval_of_a_cast(tiny, cast, tmp_path):
    """Of several stores the mean counts; each of them stands beside. Here the queries are the images of a store."""
    table = report_retrieval(cast, tiny.store.path, top=5, normalise=["l1"], json=tmp_path / "out.json")
    record = json.loads((tmp_path / "out.json").read_text())
    for setting, beta in zip(record["settings"], (0.0, 1.0), strict=True):
        parts = [retrieval_shares(tiny.store, FeatureStore.open(store), 5, how="l1", beta=beta) for store in cast]
        assert setting["top_1"] == pytest.approx(np.mean([part.first.mean() for part in parts]))
        assert setting["top_5"] == pytest.approx(np.mean([part.share.mean() for part in parts]))
        assert setting["ratio_to_classifier"]["top_1"] == pytest.approx(
            setting["top_1"] / (tiny.store.predicted == tiny.store.labels).mean()
        )
        assert setting["stores"]["mery"]["top_1"] == parts[0].first.mean()
    assert table.startswith("23 queries against 43 images of 2 stores, the mean over these;")
    first, sorted_ = record["settings"]
    assert "| top 1 | l1 | l1, sorted |" in table
    assert f"| mean | {first['top_1']:.1%} | {sorted_['top_1']:.1%} |" in table
    assert f"| ray | {first['stores']['ray']['top_1']:.1%} | " in table


def test_of_the_first_match_alone_there_is_one_column(tiny, tmp_path):
    lines = report_retrieval([tiny.store.path], tiny.store.path, top=1, normalise=["l1"]).splitlines()
    assert lines[2] == "| normalisation | geometric sort | top 1 | top 1 ÷ classifier |"
    assert [line.count("|") for line in lines[3:6]] == [5, 5, 5]


def test_a_cast_among_itself_needs_leave(cast):
    with pytest.raises(UserError, match="a sibling of mery"):
        report_retrieval(cast, cast[0], top=5)
    assert "23 images" in report_retrieval([cast[1]], cast[0], top=5, siblings=True)


def test_a_list_needs_its_root(tiny, photographs):
    with pytest.raises(UserError, match=r"list\.txt is a list of names; say with --root"):
        report_retrieval([tiny.store.path], photographs / "list.txt")


def test_the_report_on_table1(tiny, cast, tmp_path):
    files = {"json": tmp_path / "t.json", "markdown": tmp_path / "t.md"}
    table = report_table1(tiny.store.path, cast, **files)
    assert files["markdown"].read_text() == table
    assert table.startswith("23 queries against 43 images of 2 characters; 0 is best,")
    record = json.loads(files["json"].read_text())
    assert record["normalisation"] == "class-weight" and list(record["characters"]) == ["mery", "ray"]
    expected = table1(tiny.store, {store.name: FeatureStore.open(store) for store in cast})
    assert record["scores"]["js"]["joy"] == pytest.approx(expected.by_expression("js")[3])


def test_the_report_on_recognition(tiny, tmp_path):
    (tmp_path / "rejects.csv").write_text("path,reason\nval/joy/9.jpg,no face\n")
    files = {"json": tmp_path / "r.json", "markdown": tmp_path / "r.md", "figure": tmp_path / "r.png"}
    table = report_recognition(tiny.store.path, rejects=tmp_path / "rejects.csv", under="val", expect=24, **files)
    hits = (tiny.store.labels == tiny.store.predicted).sum()
    assert f"{hits / 24:.2%} of 24 images" in table
    assert "; not subject-independent: tiny does not say who is who (23 images)." in table
    assert all(path.exists() for path in files.values())
    with pytest.raises(UserError, match=r"23 images were counted \(0 of them rejected\), not 24"):
        report_recognition(tiny.store.path, expect=24)


def test_missing_queries(tiny, photographs):
    with pytest.raises(UserError, match=r"1 of 2 queries are not in .*, for instance joy/absent\.png"):
        look_at_queries(tiny.recogniser, ["joy/1.png", "joy/absent.png"], photographs)


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
    names = read_names(LIST)
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
