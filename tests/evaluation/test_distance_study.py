"""Every reading of the distance: by hand, against the retrieval that people use, and how sure its means are."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import rankdata

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.distance_study import RATIOS, DistanceStudy, distance_study, weights_of
from pydeepexpr.evaluation.retrieval import retrieval_shares
from pydeepexpr.evaluation.table1 import table1
from pydeepexpr.lineage import ModelIdentity
from pydeepexpr.retrieval.geometry import WITHIN

MODEL = ModelIdentity("human", "a", (), {})


class Images(SimpleNamespace):
    """A store in memory, of images with two features each."""

    def __init__(self, labels, predicted, fc6, geometry):
        super().__init__(
            labels=np.array(labels),
            predicted=np.array(predicted),
            fc6=np.array(fc6, dtype=np.float64),
            geometry=np.array(geometry, dtype=np.float64)[:, None] * np.ones(9),
            fc7=np.ones((7, 2)),
            fc7_rows=np.array(predicted),
            model=MODEL,
            models=(MODEL,),
            path=Path("stores/mery"),
        )

    def __len__(self):
        return len(self.labels)

    def and_one(self, *image):
        """Return the same and one more image."""
        columns = self.labels, self.predicted, self.fc6, self.geometry[:, 0]
        return Images(*([*column, value] for column, value in zip(columns, image, strict=True)))


def drawn(seed, count, labels=(0, 3, 6)):
    """Images without ties in either distance."""
    rng = np.random.default_rng(seed)
    first = rng.permutation(np.linspace(0.05, 0.95, count))
    return Images(
        rng.choice(labels, count), rng.choice(labels, count), np.c_[first, 1 - first], rng.permutation(count) / 7
    )


STORE = Images(
    labels=[3, 3, 0, 0],
    predicted=[3, 0, 3, 0],
    fc6=[(0.9, 0.1), (0.7, 0.3), (0.8, 0.2), (0.1, 0.9)],
    geometry=[0.3, 0.1, 0.2, 0.4],
)


def test_by_hand():
    """By divergence the images stand in the order 0 2 1 3, by geometry 1 2 0 3; the first and second are joy's."""
    query = Images([3], [3], [(1, 0)], [0.0])
    study = distance_study(query, {"mery": STORE}, k=2, normalisations=["l1"], ratios=[1.0])
    assert (study.normalisations, study.ratios) == (("l1",), (0.0, 1.0, np.inf))
    # Within the label the images 0 and 2 may change places. φ at 1 adds 0.9 to the first, 0.6 to the third: they do.
    order = {("label", 0): "0213", ("label", 1): "2013", ("label", 2): "2013"}
    # Over the store geometry decides at 1 already: φ is near 0.3, 0.6, 0.9, 1.2 and the divergences below 0.4.
    order |= {("store", 0): "0213", ("store", 1): "1203", ("store", 2): "1203"}
    for (within, ratio), places in order.items():
        at = 0, WITHIN.index(within), ratio, 0
        hits = [STORE.labels[int(row)] == 3 for row in places]
        assert study.values["top_1"][at] == hits[0]
        assert study.values["top_2"][at] == np.mean(hits[:2])
        ranks = [place for place, hit in enumerate(hits, 1) if hit]
        assert study.values["score"][at] == pytest.approx((sum(ranks) - 3) / (4 * 2))


@pytest.mark.parametrize("ratio", RATIOS)
def test_over_the_store_phi_is_the_distance(ratio):
    """Equation 3 by SciPy and the equation itself, ranked by SciPy."""
    queries, store = drawn(1, 12), drawn(2, 30)
    study = distance_study(queries, {"mery": store}, k=5, normalisations=["l1"], ratios=[ratio])
    for query in range(len(queries)):
        divergences = np.array([jensenshannon(queries.fc6[query], row) ** 2 for row in store.fc6])
        phi = divergences + ratio * np.linalg.norm(store.geometry - queries.geometry[query], axis=1)
        wanted = store.labels == queries.labels[query]
        ranks, count = rankdata(phi), wanted.sum()
        assert study.values["top_5"][0, 1, 1, query] == pytest.approx(wanted[ranks <= 5].mean())
        expected = (ranks[wanted].sum() - count * (count + 1) / 2) / (30 * count)
        assert study.values["score"][0, 1, 1, query] == pytest.approx(expected)


@pytest.mark.parametrize("within", WITHIN)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 3.0, np.inf])
def test_each_reading_is_what_is_retrieved(tiny, within, ratio):
    """With images whose geometry is unknown, in every normalisation; α and β count by their ratio alone."""
    store = tiny.store
    study = distance_study(store, {"tiny": store}, 5, ratios=[0.3, 3.0])
    alpha, beta = weights_of(ratio)
    at = WITHIN.index(within), study.ratios.index(ratio)
    for number, how in enumerate(study.normalisations):
        options = {"how": how, "sort_by": "phi", "within": within}
        for scale in (1, 7):
            shares = retrieval_shares(store, store, 5, alpha=scale * alpha, beta=scale * beta, **options)
            np.testing.assert_array_equal(study.values["top_1"][(number, *at)], shares.first)
            np.testing.assert_array_equal(study.values["top_5"][(number, *at)], shares.share)
        assert study.mean("top_5")[0][(number, *at)] == pytest.approx(shares.record()["top_5"])
    np.testing.assert_array_equal(study.classified, shares.classified)
    assert study.without_geometry == 2 * np.isnan(tiny.geometry).any(axis=1).sum()


def test_an_infinite_ratio_is_the_papers_sort(tiny):
    study = distance_study(tiny.store, {"tiny": tiny.store}, 5, normalisations=["l1"], ratios=[])
    shares = retrieval_shares(tiny.store, tiny.store, 5, how="l1")  # by geometric distance, within the label
    np.testing.assert_array_equal(study.values["top_5"][0, 0, -1], shares.share)


def test_the_ends_are_table_1():
    """The means over queries, stores and expressions are taken as there, whatever images a store lacks."""
    queries = drawn(3, 40, labels=(0, 2, 3, 6, -1))
    stores = {"mery": drawn(4, 25, labels=(0, 2, 3, -1)), "ray": drawn(5, 30, labels=(0, 3, 5))}
    study = distance_study(queries, stores, normalisations=["l1"])
    expected = table1(queries, stores, "l1")
    scores, _ = study.mean("score")
    for name, at in (("js", (0, 0)), ("js", (1, 0)), ("js-geometry", (0, -1)), ("geometry", (1, -1))):
        assert scores[0][at] == pytest.approx(np.nanmean(expected.by_expression(name)))


def study_of(values, labels):
    """A study of one reading at two ratios."""
    top, score = (np.array(one, dtype=float)[None, None] for one in values)
    labels = np.array(labels)
    measured = {"top_1": np.repeat(top, 2, axis=1), "score": np.repeat(score, 2, axis=1)}
    return DistanceStudy(labels, labels == 0, ("l1",), (0.0, np.inf), measured, 0)


def test_means_by_hand():
    study = study_of([[[1, 0, 0, 0], [1, 1, 0, 0]], [[0.1, 0.3, 0.5, np.nan], [0.1, 0.3, 0.8, np.nan]]], [0, 0, 3, 3])
    np.testing.assert_allclose(study.mean("top_1")[0][0, 0], [0.25, 0.5])
    np.testing.assert_allclose(study.mean("score")[0][0, 0], [(0.2 + 0.5) / 2, (0.2 + 0.8) / 2])
    # Only the second query changes: by 1 in 4, its standard deviation is 1/2.
    change, error = study.change_by_geometry("top_1")
    np.testing.assert_allclose(change[0, 0], [0, 0.25])
    np.testing.assert_allclose(error[0, 0], [0, 0.5 / np.sqrt(4)])
    assert np.isnan(study.mean("score")[1]).all()  # one scored query of sadness says nothing of its spread


def test_nothing_is_known_where_nothing_was_scored():
    study = study_of([[[1, 0], [1, 0]], [[np.nan] * 2] * 2], [0, 3])
    assert all(np.isnan(part).all() and part.shape == (1, 2, 2) for part in study.mean("score"))


@pytest.mark.parametrize("measure", ["top_1", "score"])
def test_the_standard_error_is_the_bootstraps(measure):
    """Queries drawn again with replacement; for the score, which is a mean over expressions, within each of these."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 3, 6], [60, 40, 80])
    before = rng.random(180) + labels / 10
    after = before + rng.normal(0.02, 0.1, 180)
    study = study_of([[before, after], [before, after]], labels)
    groups = [np.flatnonzero(labels == label) for label in (0, 3, 6)] if measure == "score" else [np.arange(180)]
    found = [np.mean([(after - before)[rng.choice(its, len(its))].mean() for its in groups]) for _ in range(4000)]
    assert study.change_by_geometry(measure)[1][0, 0, 1] == pytest.approx(np.std(found), rel=0.05)


def test_a_query_without_a_face_is_wrong_and_has_no_score():
    queries = drawn(6, 10)
    seen = distance_study(queries, {"mery": drawn(7, 20)}, k=4)
    all_of_them = distance_study(queries, {"mery": drawn(7, 20)}, k=4, missed=[3, 5])
    assert all_of_them.labels[-2:].tolist() == [3, 5] and not all_of_them.classified[-2:].any()
    np.testing.assert_allclose(all_of_them.mean("top_4")[0], seen.mean("top_4")[0] * 10 / 12)
    np.testing.assert_array_equal(all_of_them.mean("score")[0], seen.mean("score")[0])


def test_unlabelled_queries_and_images_take_no_part_in_a_score():
    queries, store = drawn(8, 12), drawn(9, 20)
    unlabelled = (-1, 0, (0.5, 0.5), 0.1)
    expected = distance_study(queries, {"mery": store})
    found = distance_study(queries.and_one(*unlabelled), {"mery": store.and_one(*unlabelled)})
    np.testing.assert_array_equal(found.labels, queries.labels)
    np.testing.assert_allclose(found.values["score"], expected.values["score"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratios": [1.0, 0.0]}, "ratios β/α must be positive numbers"),
        ({"ratios": [-1.0]}, "ratios β/α must be positive numbers"),
        ({"ratios": [np.nan]}, "ratios β/α must be positive numbers"),
        ({"ratios": [np.inf]}, "ratios β/α must be positive numbers"),
        ({"k": 0}, "cannot return the top 0: .*mery holds 4 images"),
        ({"k": 5}, "cannot return the top 5: .*mery holds 4 images"),
        ({"normalisations": ["l2"]}, "no normalisation is called 'l2'"),
        ({"queries": Images([-1], [3], [(1, 0)], [0.0])}, "no query has a label"),
        ({"queries": Images([3], [3], [(-1, 0)], [0.0])}, "without negative values"),
        ({"queries": Images([3], [3], [(np.nan, 0)], [0.0])}, "NaN or infinite"),
    ],
)
def test_bad_input(change, message):
    given = {"queries": Images([3], [3], [(1, 0)], [0.0]), "stores": {"mery": STORE}, "k": 2, **change}
    with pytest.raises(UserError, match=message):
        distance_study(**given)
