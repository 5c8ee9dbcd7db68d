"""From a photograph to ranked matches, composed of parts that other tests check one by one."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
from pydeepexpr.pipeline import NoFaceError, Retriever, look


@pytest.fixture
def one_face(monkeypatch):
    """Let every photograph be one registered face with known geometry; a black one shows none."""

    def analyse(image, *, cropped=False, alignment="affine"):
        if not image.any() and not cropped:
            return []
        geometry = np.full(9, np.nan) if cropped else np.full(9, 0.5)
        face = SimpleNamespace(registered=image, box=np.array([0, 0, 256, 256]), geometry=geometry, stand_in=cropped)
        return [face, face]

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
    assert (query.name, query.others, query.stand_in) == (str(photograph), 1, False)


def test_an_image_of_the_store_finds_itself(tiny, query):
    best = Retriever(tiny.recogniser, tiny.store, beta=0).retrieve(query, 1)[0]
    assert (best.rank, best.row, best.js_rank, best.source) == (1, 6, 1, "joy/6.png")
    assert best.divergence < 1e-9
    assert best.phi == best.divergence


def test_ranking_is_scipys(tiny, query):
    matches = Retriever(tiny.recogniser, tiny.store, beta=0, how="l1").retrieve(query, 23)
    expected = np.array([jensenshannon(query.fc6, row) ** 2 for row in tiny.store.fc6.astype(float)])
    assert sorted(match.row for match in matches) == list(range(23))
    for match in matches:
        np.testing.assert_allclose(match.divergence, expected[match.row], atol=1e-7)
        assert match.rank == match.js_rank
        assert match.label == match.row % 7 and match.predicted == tiny.store.predicted[match.row]
        assert match.key == tiny.keys[match.row] and match.path == f"faces/joy/{match.row}.png"


def test_geometry_sorts_the_predicted_label_and_moves_nothing_else(tiny, query):
    store = half_matched(tiny.store, query.predicted)
    by_js = Retriever(tiny.recogniser, store, beta=0).retrieve(query, 23)
    refined = Retriever(tiny.recogniser, store).retrieve(query, 23)
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


def test_phi_as_the_key(tiny, query):
    store = half_matched(tiny.store, query.predicted)
    refined = Retriever(tiny.recogniser, store, alpha=20, beta=0.5, sort_by="phi").retrieve(query, 23)
    key = [m.phi for m in refined if not np.isnan(m.phi) and m.predicted == query.predicted]
    assert key == sorted(key)


def test_true_labels_never_enter_a_ranking(tiny, query):
    shuffled = dataclasses.replace(tiny.store)
    vars(shuffled)["labels"] = np.roll(tiny.store.labels, 5)
    for beta in (0, 1):
        given = Retriever(tiny.recogniser, tiny.store, beta=beta).retrieve(query, 23)
        other = Retriever(tiny.recogniser, shuffled, beta=beta).retrieve(query, 23)
        assert [match.row for match in given] == [match.row for match in other]


@pytest.mark.parametrize("how", ["softmax", "class-weight"])
def test_other_normalisations_find_the_image_itself_too(tiny, query, how):
    assert Retriever(tiny.recogniser, tiny.store, how=how, beta=0).retrieve(query, 1)[0].row == 6


def test_a_query_without_geometry_is_ranked_by_js_alone(tiny, one_face, photograph):
    query = look(tiny.recogniser, photograph, "cropped")
    assert query.stand_in
    matches = Retriever(tiny.recogniser, tiny.store).retrieve(query, 23)
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
        Retriever(tiny.recogniser, tiny.store).retrieve(query, k)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "l2"}, "no normalisation is called 'l2'"),
        ({"alpha": -1}, "alpha"),
        ({"beta": float("inf")}, "beta"),
        ({"sort_by": "label"}, "cannot sort"),
    ],
)
def test_options_that_are_not_known(tiny, options, message):
    with pytest.raises(UserError, match=message):
        Retriever(tiny.recogniser, tiny.store, **options)


def test_a_store_of_a_stranger(tiny, tmp_path):
    shutil.copytree(tiny.store.path, tmp_path / "store")
    meta = tmp_path / "store" / "meta.json"
    meta.write_text(meta.read_text().replace(tiny.recogniser.identity.sha256, "0" * 64))
    with pytest.raises(UserError, match="neither descends from"):
        Retriever(tiny.recogniser, FeatureStore.open(tmp_path / "store"))


def test_a_store_of_a_sibling_on_demand(tiny, query, tmp_path):
    shutil.copytree(tiny.store.path, tmp_path / "store")
    meta, own = tmp_path / "store" / "meta.json", tiny.recogniser.identity
    record = json.loads(meta.read_text())
    record["model"] |= {"sha256": "1" * 64, "ancestry": ["f" * 64]}
    meta.write_text(json.dumps(record))
    mery = SimpleNamespace(identity=dataclasses.replace(own, ancestry=("f" * 64,)), fc7=tiny.recogniser.fc7)
    store = FeatureStore.open(tmp_path / "store")
    with pytest.raises(UserError, match="--siblings"):
        Retriever(mery, store)
    found = Retriever(mery, store, siblings=True, beta=0).retrieve(query, 1)
    assert [match.row for match in found] == [6]


def test_a_store_of_other_pixels(tiny, tmp_path):
    shutil.copytree(tiny.store.path, tmp_path / "store")
    meta = tmp_path / "store" / "meta.json"
    meta.write_text(meta.read_text().replace("0.015625", "1.0"))
    with pytest.raises(UserError, match="pixels prepared as"):
        Retriever(tiny.recogniser, FeatureStore.open(tmp_path / "store"))


def test_a_real_photograph(tiny, tmp_path):
    """NASA's portrait of Eileen Collins, in the public domain, which scikit-image carries."""
    data = pytest.importorskip("skimage.data", reason="scikit-image carries the photograph")
    path = tmp_path / "astronaut.jpg"
    cv2.imwrite(str(path), data.astronaut()[..., ::-1])
    retriever = Retriever(tiny.recogniser, tiny.store)
    query = retriever.look(path)
    assert query.face.shape == (256, 256, 3) and not query.stand_in
    left, top, right, bottom = query.box
    assert left < 224 < right and top < 115 < bottom  # the nose
    assert np.isfinite(query.geometry).all()
    assert [match.rank for match in retriever.retrieve(query, 5)] == [1, 2, 3, 4, 5]
