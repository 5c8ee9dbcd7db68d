"""From a photograph to ranked matches, composed of parts that other tests check one by one."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
from pydeepexpr.pipeline import NoFaceError, Retriever, look, look_at_all


@pytest.fixture
def one_face(monkeypatch):
    """Let every photograph be one registered face with known geometry; a black one shows none."""

    def analyse(image, *, cropped=False, alignment="affine"):
        if not image.any() and not cropped:
            return []
        geometry = np.full(9, np.nan) if cropped else np.full(9, 0.5)
        box, landmarks = np.array([0.0, 0, 256, 256]), np.arange(98.0).reshape(49, 2)
        face = faces.Face(image, box, 0.9, landmarks, geometry, np.eye(2, 3), 2.5, stand_in=cropped)
        return [face, face._replace(registered=255 - image, box=box + 3)]

    monkeypatch.setattr(faces, "analyse", analyse)


@pytest.fixture
def photograph(tiny, tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), tiny.faces[6])
    return path


@pytest.fixture
def query(tiny, one_face, photograph):
    return look(tiny.recogniser, photograph)


def half_matched(store: FeatureStore, label: int) -> FeatureStore:
    """The store with predictions of which every other one is `label`, so that there is something to refine."""
    store = dataclasses.replace(store)
    vars(store)["predicted"] = np.where(np.arange(len(store)) % 2, label, (label + 1) % 7).astype(np.int8)
    return store


def test_a_look_at_a_photograph(tiny, query, photograph):
    fc6, prob = tiny.recogniser.features(tiny.faces[6:7])
    np.testing.assert_array_equal(query.fc6, fc6[0])
    np.testing.assert_array_equal(query.prob, prob[0])
    assert query.predicted == prob[0].argmax()
    assert (query.name, query.number, query.others, query.stand_in) == (str(photograph), 0, 1, False)
    assert (query.score, query.fit_error) == (0.9, 2.5)
    np.testing.assert_array_equal(query.landmarks[-1], (96, 97))


def test_a_look_at_all_faces_is_a_look_at_each(tiny, query, photograph):
    best, other = look_at_all(tiny.recogniser, photograph)
    np.testing.assert_allclose(best.fc6, query.fc6, rtol=1e-5, atol=1e-6)
    fc6, _ = tiny.recogniser.features([255 - tiny.faces[6]])
    np.testing.assert_allclose(other.fc6, fc6[0], rtol=1e-5, atol=1e-6)
    assert [(face.number, face.others, face.box[0]) for face in (best, other)] == [(0, 1, 0), (1, 1, 3)]


def test_pixels_are_looked_at_as_a_file_is(tiny, query):
    given = look(tiny.recogniser, tiny.faces[6])
    np.testing.assert_array_equal(given.fc6, query.fc6)
    assert given.name == ""


def test_paths_and_pixels_in_one_call(tiny, one_face, photograph):
    """The interface of a few lines: everything by path, then everything in hand."""
    retriever = Retriever(tiny.store, tiny.recogniser)
    by_path = Retriever(str(tiny.store.path), tiny.weights, device="cpu").query(photograph, k=4)
    in_hand = retriever.query(tiny.faces[6], k=4)
    in_steps = retriever.retrieve(look(tiny.recogniser, photograph), 4)
    assert [str(match) for match in by_path] == [str(match) for match in in_hand] == [str(m) for m in in_steps]


@pytest.mark.parametrize(("store", "model"), [("absent", "human"), ("store", "absent")])
def test_a_store_or_a_model_that_is_not_there(tiny, store, model):
    store = {"absent": "no/store", "store": tiny.store}[store]
    model = {"absent": "no/such.caffemodel", "human": tiny.recogniser}[model]
    with pytest.raises(UserError, match=r"no/s"):
        Retriever(store, model)


def test_an_image_of_the_store_finds_itself(tiny, query):
    best = Retriever(tiny.store, tiny.recogniser, beta=0).retrieve(query, 1)[0]
    assert (best.rank, best.row, best.js_rank, best.source) == (1, 6, 1, "joy/6.png")
    assert best.divergence < 1e-9
    assert best.phi == best.divergence


def test_ranking_is_scipys(tiny, query):
    matches = Retriever(tiny.store, tiny.recogniser, beta=0, how="l1").retrieve(query, 23)
    expected = np.array([jensenshannon(query.fc6, row) ** 2 for row in tiny.store.fc6.astype(float)])
    assert sorted(match.row for match in matches) == list(range(23))
    for match in matches:
        np.testing.assert_allclose(match.divergence, expected[match.row], atol=1e-7)
        assert match.rank == match.js_rank
        assert match.label == match.row % 7 and match.predicted == tiny.store.predicted[match.row]
        assert match.key == tiny.keys[match.row] and match.path == f"faces/joy/{match.row}.png"


def test_geometry_sorts_the_predicted_label_and_moves_nothing_else(tiny, query):
    store = half_matched(tiny.store, query.predicted)
    by_js = Retriever(store, tiny.recogniser, beta=0).retrieve(query, 23)
    refined = Retriever(store, tiny.recogniser).retrieve(query, 23)
    moves = [not np.isnan(m.geometric) and m.predicted == query.predicted for m in by_js]
    assert 4 < sum(moves) < 23
    for before, after, moved in zip(by_js, refined, moves, strict=True):
        assert moved or before.row == after.row
        assert (after.predicted == query.predicted) == (before.predicted == query.predicted)
    distances = [after.geometric for after, moved in zip(refined, moves, strict=True) if moved]
    assert distances == sorted(distances)
    for match in refined:
        expected = np.linalg.norm(tiny.geometry[match.row] - 0.5)
        np.testing.assert_allclose(match.geometric, expected, rtol=1e-6)
        np.testing.assert_allclose(match.phi, match.divergence + match.geometric)
        assert by_js[match.js_rank - 1].row == match.row


@pytest.mark.parametrize("sort_by", ["geometric", "phi"])
def test_within_the_store_no_label_has_a_say(tiny, query, sort_by):
    """By the definition: every row whose geometry is known is sorted by its key, whatever was predicted."""
    store = half_matched(tiny.store, query.predicted)
    matches = Retriever(store, tiny.recogniser, alpha=3, within="store", sort_by=sort_by).retrieve(query, 23)
    known = [match for match in matches if not np.isnan(match.geometric)]
    keys = [match.geometric if sort_by == "geometric" else 3 * match.divergence + match.geometric for match in known]
    assert keys == sorted(keys) and len(known) == np.isfinite(tiny.geometry).all(axis=1).sum()
    assert all(match.rank == match.js_rank for match in matches if np.isnan(match.geometric))
    assert len({match.predicted for match in known[:6]}) > 1


def test_phi_as_the_key(tiny, query):
    store = half_matched(tiny.store, query.predicted)
    refined = Retriever(store, tiny.recogniser, alpha=20, beta=0.5, sort_by="phi").retrieve(query, 23)
    key = [m.phi for m in refined if not np.isnan(m.phi) and m.predicted == query.predicted]
    assert key == sorted(key)


def test_true_labels_never_enter_a_ranking(tiny, query):
    shuffled = dataclasses.replace(tiny.store)
    vars(shuffled)["labels"] = np.roll(tiny.store.labels, 5)
    for beta in (0, 1):
        given = Retriever(tiny.store, tiny.recogniser, beta=beta).retrieve(query, 23)
        other = Retriever(shuffled, tiny.recogniser, beta=beta).retrieve(query, 23)
        assert [match.row for match in given] == [match.row for match in other]


def test_without_geometry_the_first_k_are_those_of_the_whole_ranking(tiny, query):
    retriever = Retriever(tiny.store, tiny.recogniser, beta=0)
    whole = retriever.matches_at(retriever.rank(query), np.arange(23))
    np.testing.assert_equal([vars(match) for match in retriever.retrieve(query, 7)], [vars(m) for m in whole[:7]])


def test_a_store_larger_than_memory_is_ranked_from_its_file(tiny, query, monkeypatch):
    in_memory = Retriever(tiny.store, tiny.recogniser)
    monkeypatch.setattr("pydeepexpr.retrieval.distributions.available_memory", lambda: 100)
    from_file = Retriever(tiny.store, tiny.recogniser)
    assert isinstance(in_memory._distributions, np.ndarray) and not isinstance(from_file._distributions, np.ndarray)
    found = [retriever.retrieve(query, 23) for retriever in (in_memory, from_file)]
    np.testing.assert_equal(*([vars(match) for match in matches] for matches in found))
    np.testing.assert_array_equal(in_memory.distributions(np.array([3, 1])), from_file.distributions(np.array([3, 1])))


@pytest.mark.parametrize("how", ["softmax", "class-weight"])
def test_other_normalisations_find_the_image_itself_too(tiny, query, how):
    assert Retriever(tiny.store, tiny.recogniser, how=how, beta=0).retrieve(query, 1)[0].row == 6


def test_a_query_without_geometry_is_ranked_by_js_alone(tiny, one_face, photograph):
    query = look(tiny.recogniser, photograph, "cropped")
    assert query.stand_in
    matches = Retriever(tiny.store, tiny.recogniser).retrieve(query, 23)
    assert [match.js_rank for match in matches] == list(range(1, 24))
    assert all(np.isnan(match.phi) for match in matches)


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("photograph", [(False, "affine")]),
        ("cropped", [(True, "affine")]),
        ("character", [(False, "similarity"), (True, "similarity")]),
        ("as-is", [(False, "none"), (True, "none")]),
    ],
)
def test_how_a_query_of_each_kind_is_brought_before_the_network(tiny, photograph, monkeypatch, kind, calls):
    """What a plain detection does not find, frames of characters are looked for again, and taken whole."""
    made = []

    def analyse(image, *, cropped=False, alignment="affine"):
        made.append((cropped, alignment))
        return []

    monkeypatch.setattr(faces, "analyse", analyse)
    with pytest.raises(NoFaceError):
        look(tiny.recogniser, photograph, kind)
    assert made == calls


def test_a_kind_that_is_not_known(tiny, photograph):
    with pytest.raises(UserError, match="no query is of the kind 'film'; use one of: photograph, cropped, character"):
        look(tiny.recogniser, photograph, "film")


def test_a_transparent_frame_stands_on_black_and_is_taken_whole(tiny, tmp_path):
    frame = np.zeros((256, 256, 4), np.uint8)
    frame[..., :3] = 255  # white where it is transparent
    frame[64:192, 64:192] = 40, 80, 200, 255
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    expected = frame[..., :3] * (frame[..., 3:] == 255)
    for kind in ("as-is", "character"):
        query = look(tiny.recogniser, tmp_path / "frame.png", kind)
        np.testing.assert_array_equal(query.face, expected)
        assert query.stand_in and np.isnan(query.geometry).all()
    np.testing.assert_array_equal(query.fc6, tiny.recogniser.features([expected])[0][0])


def test_as_is_a_face_that_is_found_is_measured_but_not_moved(tiny, tmp_path):
    data = pytest.importorskip("skimage.data", reason="scikit-image carries the photograph")
    portrait = np.ascontiguousarray(data.astronaut()[:256, 96:352, ::-1])
    cv2.imwrite(str(tmp_path / "portrait.png"), portrait)
    query = look(tiny.recogniser, tmp_path / "portrait.png", "as-is")
    np.testing.assert_array_equal(query.face, portrait)
    assert not query.stand_in and np.isfinite(query.geometry).all()
    registered = look(tiny.recogniser, tmp_path / "portrait.png", "character")
    assert (registered.face != portrait).any()
    np.testing.assert_array_equal(registered.geometry, query.geometry)


def test_a_photograph_without_a_face(tiny, one_face, tmp_path):
    cv2.imwrite(str(tmp_path / "night.png"), np.zeros((300, 300, 3), np.uint8))
    with pytest.raises(NoFaceError, match=r"no face found in .*night\.png; give a photograph"):
        look(tiny.recogniser, tmp_path / "night.png")


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_a_photograph_that_is_none(tiny, tmp_path, content):
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read the photograph .*photo\.png: ") as caught:
        look(tiny.recogniser, path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_photograph(tiny, tmp_path):
    with pytest.raises(UserError, match="cannot read the photograph"):
        look(tiny.recogniser, tmp_path)


@pytest.mark.parametrize("k", [0, -3, 24])
def test_more_matches_than_rows(tiny, query, k):
    with pytest.raises(UserError, match=f"cannot return the top {k}: .* holds 23 images"):
        Retriever(tiny.store, tiny.recogniser).retrieve(query, k)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "l2"}, "no normalisation is called 'l2'"),
        ({"alpha": -1}, "alpha"),
        ({"beta": float("inf")}, "beta"),
        ({"sort_by": "label"}, "cannot sort"),
        ({"within": "class"}, "cannot sort matches within 'class'; use one of: label, store"),
    ],
)
def test_options_that_are_not_known(tiny, options, message):
    with pytest.raises(UserError, match=message):
        Retriever(tiny.store, tiny.recogniser, **options)


def test_a_store_of_a_stranger(tiny, tmp_path):
    shutil.copytree(tiny.store.path, tmp_path / "store")
    meta = tmp_path / "store" / "meta.json"
    meta.write_text(meta.read_text().replace(tiny.recogniser.identity.sha256, "0" * 64))
    with pytest.raises(UserError, match="neither descends from"):
        Retriever(tmp_path / "store", tiny.recogniser)


def test_a_store_of_a_sibling_on_demand(tiny, query, tmp_path):
    shutil.copytree(tiny.store.path, tmp_path / "store")
    meta, own = tmp_path / "store" / "meta.json", tiny.recogniser.identity
    record = json.loads(meta.read_text())
    record["models"][0] |= {"sha256": "1" * 64, "ancestry": ["f" * 64]}
    meta.write_text(json.dumps(record))
    mery = SimpleNamespace(identity=dataclasses.replace(own, ancestry=("f" * 64,)), fc7=tiny.recogniser.fc7)
    store = FeatureStore.open(tmp_path / "store")
    with pytest.raises(UserError, match="--siblings"):
        Retriever(store, mery)
    found = Retriever(store, mery, siblings=True, beta=0).retrieve(query, 1)
    assert [match.row for match in found] == [6]


def test_a_store_of_other_pixels(tiny, tmp_path):
    shutil.copytree(tiny.store.path, tmp_path / "store")
    meta = tmp_path / "store" / "meta.json"
    meta.write_text(meta.read_text().replace("0.015625", "1.0"))
    with pytest.raises(UserError, match="pixels prepared as"):
        Retriever(tmp_path / "store", tiny.recogniser)


def test_a_real_photograph(tiny, tmp_path):
    """NASA's portrait of Eileen Collins, in the public domain, which scikit-image carries."""
    data = pytest.importorskip("skimage.data", reason="scikit-image carries the photograph")
    path = tmp_path / "astronaut.jpg"
    cv2.imwrite(str(path), data.astronaut()[..., ::-1])
    query = look(tiny.recogniser, path)
    assert query.face.shape == (256, 256, 3) and not query.stand_in
    left, top, right, bottom = query.box
    assert left < 224 < right and top < 115 < bottom  # the nose
    assert np.isfinite(query.geometry).all()
    matches = Retriever(tiny.store, tiny.recogniser).retrieve(query, 5)
    assert [match.rank for match in matches] == [1, 2, 3, 4, 5]


def test_the_example_of_the_search_runs(monkeypatch):
    root = Path(__file__).parents[1]
    monkeypatch.chdir(root)
    text, made = (root / "docs" / "search.md").read_text(encoding="utf-8"), {}
    exec(text.split("```python\n")[1].split("```")[0], made)
    assert made["rows"][:, 0].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(made["everything"].argmin(axis=1), [0, 1, 2])


def test_the_example_of_the_docs_runs(capsys):
    pytest.importorskip("skimage.data", reason="scikit-image carries the photograph")
    text = (Path(__file__).parents[1] / "docs" / "video.md").read_text(encoding="utf-8")
    exec(text.split("```python\n")[1].split("```")[0], {})
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said] == [["1", "joy"], ["2", "joy"], ["3", "joy"]]
