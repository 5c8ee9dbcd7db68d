"""Exact Jensen–Shannon search against FAISS, SciPy and NumPy, on real FC6 features of photographs and rendered frames.

    python benchmarks/retrieval.py [--stores stores/people-val …] [--rows 55767] [--parts against growth disk scores]

The features are those of the stores, and then of rendered frames by the shipped human network, which are made where the
stores hold too few rows (55,767 of them take half an hour) and kept in --work. No row is there twice.
All sides search the same float32 distributions, to which a small constant is added, because FAISS returns NaN where a
feature is 0; ours searches them once more without it. They take turns, --rounds times; medians count, and the ratios
are the medians of the rounds' own.

`growth` is measured on rows of which those beyond the real ones are made of two real rows each, drawn and mixed at
random, as key poses are mixed to frames. `disk` searches a file half as large again as the memory that its process may
have.
`scores` ranks and scores all rows for 10,000 queries, which takes ten minutes and more: it runs when it is named.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial.distance import jensenshannon

from pydeepexpr.cli import run
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.score import mid_ranks, retrieval_score
from pydeepexpr.features import FeatureStore
from pydeepexpr.retrieval import Distributions, Index, jensen_shannon, normalise, rank

QUERIES, K = 64, 10
CONSTANT = 1e-5  # the average element of a distribution is 1/512
ROOT = Path(__file__).resolve().parents[1]


def features(stores: list[Path], rows: int, work: Path) -> np.ndarray:
    """Return FC6 of `rows` images and QUERIES more, whose places are spread over all of them and which come last."""
    found = [FeatureStore.open(store).fc6 for store in stores]
    missing = rows + QUERIES - sum(map(len, found))
    if missing > 0:
        found.append(rendered(missing, work).fc6)
    fc6 = np.concatenate(found)
    fc6 = fc6[np.sort(np.random.default_rng(0).permutation(len(fc6))[: rows + QUERIES])]
    asked = np.linspace(0, len(fc6) - 1, QUERIES).astype(int)
    return np.concatenate([np.delete(fc6, asked, axis=0), fc6[asked]])


def rendered(count: int, work: Path) -> FeatureStore:
    """Return the features of at least so many frames of the cast, by the tools that a user has."""
    each = -(-count // 8) + 8
    frames, registered, lmdb, store = (work / f"{name}-{each}" for name in ("frames", "registered", "lmdb", "store"))
    steps = [
        ("render_rig", frames, "--frames", each),
        ("register", "--database", "rig", frames, registered),
        ("build_lmdb", registered, lmdb, "--split", "random", "--val", 0, "--test", 0),
        ("extract_features", ROOT / "models/human.caffemodel", lmdb / "train_lmdb", store),
    ]
    if not (store / "meta.json").is_file():
        for tool, *arguments in steps:
            subprocess.run([sys.executable, ROOT / "tools" / f"{tool}.py", *map(str, arguments)], check=True)
    return FeatureStore.open(store)


def with_constant(distributions: np.ndarray) -> np.ndarray:
    """Return distributions without an element that is 0, float32."""
    moved = distributions.astype(np.float64) + CONSTANT
    return (moved / moved.sum(axis=1, keepdims=True)).astype(np.float32)


def by_formula(query: np.ndarray, store: np.ndarray) -> np.ndarray:
    """Return the divergences by the formula, as one writes it in NumPy."""
    middle = (query + store) / 2
    return ((query * np.log(query / middle)).sum(axis=1) + (store * np.log(store / middle)).sum(axis=1)) / 2


def by_hellinger(query: np.ndarray, roots: np.ndarray, store: np.ndarray) -> np.ndarray:
    """Return the K nearest rows by the bounds of one product: ln 2 · h² ≤ JS ≤ h² with h² = 1 − Σ √(p · q)."""
    squared = 1 - roots @ np.sqrt(query)
    seeds = np.argpartition(squared, K)[:K]
    enough = jensen_shannon(query, store[seeds]).max() + 1e-5
    kept = np.flatnonzero(np.log(2) * squared <= enough)
    return kept[np.argsort(jensen_shannon(query, store[kept]), kind="stable")[:K]]


def milliseconds(call: Callable[[], object], queries: int = 1) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3 / queries


def in_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    for measure in sides.values():
        measure()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            taken[name].append(measure())
    return taken


def table(taken: dict[str, list[float]], against: str) -> None:
    base = np.array(taken[against])
    for name, times in taken.items():
        ratio = np.median(base / np.array(times))
        print(f"  {name:46} {np.median(times):9.2f} ms a query   {against.split(',')[0]} takes {ratio:7.1f} ×")


def against(stores: list[Path], rows: int, work: Path, rounds: int) -> None:
    """Compare with what a user could pick instead."""
    try:
        import faiss
    except ImportError:
        raise UserError("this needs faiss-cpu: pip install faiss-cpu") from None
    everything = features(stores, rows, work)
    sparse = Distributions(everything, "l1")[:]
    dense = with_constant(sparse)
    sparse_queries, sparse = sparse[rows:], sparse[:rows]
    queries, dense = dense[rows:], dense[:rows]
    flat = faiss.IndexFlat(dense.shape[1], faiss.METRIC_JensenShannon)
    flat.add(dense)
    print(
        f"{rows:,} × {dense.shape[1]} FC6, normalised by l1, {(sparse > 0).mean():.0%} above 0 "
        f"(then + {CONSTANT:g}); {QUERIES} queries that are not among them; "
        f"faiss {faiss.__version__}, {faiss.omp_get_max_threads()} threads"
    )
    started = time.perf_counter()
    index = Index(dense)
    made = time.perf_counter()
    index.project()
    print(f"the index: {made - started:.2f} s, its coordinates {time.perf_counter() - made:.2f} s; answers are checked")
    scan, of_sparse = Index(dense, landmarks=10**9), Index(sparse)
    of_sparse.project()
    for number in range(0, QUERIES, 8):  # the same answers as the definition, and as FAISS but for its rounding
        truth, distances = rank(queries[number], dense, K)
        for searched in (index, scan):
            np.testing.assert_array_equal(searched.search(queries[number : number + 1], K)[0][0], truth)
        np.testing.assert_allclose(flat.search(queries[number : number + 1], K)[0][0], distances, atol=1e-5)

    roots = np.sqrt(dense)
    np.testing.assert_array_equal(by_hellinger(queries[0], roots, dense), rank(queries[0], dense, K)[0])
    number = iter(range(10**9))

    def one(search: Callable[[np.ndarray], object], pool: np.ndarray, times: int = 8) -> Callable[[], float]:
        def measure() -> float:
            asked = [pool[next(number) % QUERIES][None] for _ in range(times)]
            return milliseconds(lambda: [search(query) for query in asked], times)

        return measure

    print(f"top {K}, a query at a time")
    single = {
        "FAISS flat, single": one(lambda q: flat.search(q, K), queries, 2),
        "SciPy": one(lambda q: np.argpartition(jensenshannon(q.T, dense.T), K), queries, 1),
        "NumPy, the formula": one(lambda q: np.argpartition(by_formula(q, dense), K), queries, 1),
        "Hellinger bounds, then the definition": one(lambda q: by_hellinger(q[0], roots, dense), queries),
        "every row compared (the first 128 queries)": one(lambda q: scan.search(q, K), queries),
        "index": one(lambda q: index.search(q, K), queries),
        "index, features with zeros": one(lambda q: of_sparse.search(q, K), sparse_queries),
    }
    index.asked = index.compared = index.evaluated = 0
    taken = in_turns(single, rounds)
    table(taken, "FAISS flat, single")
    share = index.compared / index.asked / rows
    print(f"  rows compared in float32 {share:.2%}, evaluated in float64 {index.evaluated / index.asked:.1f} a query")

    print(f"top {K}, {QUERIES} queries at once")
    batch = {
        "FAISS flat, batch": lambda: milliseconds(lambda: flat.search(queries, K), QUERIES),
        "FAISS flat, single": one(lambda q: flat.search(q, K), queries, 2),
        "index": lambda: milliseconds(lambda: index.search(queries, K), QUERIES),
        "index, features with zeros": lambda: milliseconds(lambda: of_sparse.search(sparse_queries, K), QUERIES),
    }
    taken = in_turns(batch, max(2, rounds // 2))
    table(taken, "FAISS flat, batch")
    table(taken, "FAISS flat, single")

    print("full ranking, a query at a time")
    full = {
        "FAISS flat, k = N": one(lambda q: flat.search(q, rows), queries, 1),
        "index, float64": one(lambda q: np.argsort(index.divergences(q)[0], kind="stable"), queries, 1),
        "index, features with zeros": one(
            lambda q: np.argsort(of_sparse.divergences(q)[0], kind="stable"), sparse_queries, 1
        ),
    }
    table(in_turns(full, rounds), "FAISS flat, k = N")
    full = {
        "FAISS flat, k = N, batch": lambda: milliseconds(lambda: flat.search(queries[:8], rows), 8),
        "index, float64": lambda: milliseconds(
            lambda: np.argsort(index.divergences(queries[:8]), axis=1, kind="stable"), 8
        ),
        "index, features with zeros": lambda: milliseconds(
            lambda: np.argsort(of_sparse.divergences(sparse_queries[:8]), axis=1, kind="stable"), 8
        ),
    }
    print("full ranking, 8 queries at once")
    table(in_turns(full, 2), "FAISS flat, k = N, batch")

    print("rows without clusters, where no bound helps (gamma(1) elements, drawn independently)")
    loose = np.random.default_rng(0).gamma(1.0, size=(rows + QUERIES, 512)).astype(np.float32)
    loose /= loose.sum(axis=1, keepdims=True)
    loose, asked = loose[:rows], loose[rows:]
    plain, pruned = Index(loose, landmarks=10**9), Index(loose)
    pruned.project()
    pair = {"every row compared": one(lambda q: plain.search(q, K), asked)}
    pair["index"] = one(lambda q: pruned.search(q, K), asked)
    table(in_turns(pair, rounds), "every row compared")
    print(f"  rows compared in float32 {pruned.compared / pruned.asked / rows:.1%}")


def scores(stores: list[Path], rows: int, work: Path, rounds: int) -> None:
    """Rank everything for 10,000 queries and score it (equation 6), block by block, in a process of its own."""
    everything = features(stores, rows, work)
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "scores.npy", everything)
    subprocess.run([sys.executable, __file__, "--score", "--rows", str(rows), "--work", str(work)], check=True)


def score(rows: int, work: Path) -> None:
    everything = np.load(work / "scores.npy", mmap_mode="r")
    index = Index(Distributions(everything[:rows], "l1").loaded())
    asked = np.random.default_rng(0).permutation(rows)[:10_000]
    labels = np.arange(rows) % 7  # the work is the same for any labels
    started, found = time.perf_counter(), []
    for start in range(0, len(asked), 16):
        block = asked[start : start + 16]
        ranks = mid_ranks(index.divergences(normalise(everything[block], "l1")))
        found.append(retrieval_score(ranks, labels[block][:, None] == labels))
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"full rankings: {len(asked):,} queries × {rows:,} rows ranked and scored in {took:.0f} s "
        f"({took / len(asked) * 1e3:.1f} ms a query), peak {peak:.0f} MiB; "
        f"mean score {np.concatenate(found).mean():.4f}, chance {3 / 7:.4f}"
    )


def grown(real: np.ndarray, rows: int) -> np.ndarray:
    """Return rows of which those beyond the real ones are mixtures of two."""
    if rows <= len(real):
        return real[:rows]
    generator = np.random.default_rng(1)
    result = np.empty((rows, real.shape[1]), np.float32)
    result[: len(real)] = real
    for start in range(len(real), rows, 10_000):
        stop = min(start + 10_000, rows)
        first, second = generator.integers(len(real), size=(2, stop - start))
        share = generator.random((stop - start, 1), dtype=np.float32)
        result[start:stop] = share * real[first] + (1 - share) * real[second]
    return result


def growth(stores: list[Path], rows: int, work: Path, rounds: int) -> None:
    """Show time and memory from 10⁴ to 10⁶ rows, each size in a process of its own."""
    everything = features(stores, rows, work)
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "growth.npy", everything)
    print(
        "growth, features with zeros: rows, ms a query one at a time and 64 at once, rows compared, memory ÷ features"
    )
    for count in (10_000, 31_600, rows, 100_000, 316_000, 1_000_000):
        command = [sys.executable, __file__, "--one-size", str(count), "--work", str(work), "--rounds", str(rounds)]
        subprocess.run(command, check=True)


def one_size(work: Path, count: int, rounds: int) -> None:
    everything = np.load(work / "growth.npy", mmap_mode="r")
    real = Distributions(np.asarray(everything), "l1")[:]
    queries, real = real[-QUERIES:], real[:-QUERIES]
    data = grown(real, count)
    del everything, real
    before = anonymous()
    index = Index(data)
    started = time.perf_counter()
    index.project()
    took = time.perf_counter() - started
    single = min(milliseconds(lambda q=q: index.search(q[None], K)) for q in queries[:8])
    times = [milliseconds(lambda q=q: index.search(q[None], K)) for _ in range(rounds) for q in queries[:16]]
    index.asked = index.compared = index.evaluated = 0
    batch = [milliseconds(lambda: index.search(queries, K), QUERIES) for _ in range(max(2, rounds // 2))]
    grew = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = data.nbytes
    print(
        f"  {count:9,} {np.median(times):8.2f} (best {single:.2f}) {np.median(batch):8.2f} "
        f"{index.compared / index.asked / count:8.2%}   {(size + max(0, anonymous() - before)) / size:.2f} held, "
        f"coordinates in {took:.1f} s; process peak {grew / 2**20:.0f} MiB",
        flush=True,
    )


def anonymous() -> int:
    """Return the bytes of memory that the process holds and no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def disk(stores: list[Path], rows: int, work: Path, rounds: int) -> None:
    """Search a file of features that is larger than the memory which a process of its own may have."""
    everything = features(stores, rows, work)
    real, queries = everything[:rows], everything[rows:]
    count = 600_000
    work.mkdir(parents=True, exist_ok=True)
    path = work / "large.npy"
    np.save(path, grown(real, count))
    np.save(work / "queries.npy", queries)
    subprocess.run([sys.executable, __file__, "--from-disk", str(path), "--work", str(work)], check=True)
    path.unlink()


def from_disk(path: Path, work: Path) -> None:
    limit = 800 * 2**20  # half of which Python with its libraries has taken before anything is searched
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    features, queries = np.load(path, mmap_mode="r"), np.load(work / "queries.npy")
    try:
        np.empty(features.shape, np.float32)[:] = 0
    except MemoryError:
        pass
    else:
        raise UserError("the limit on memory did not hold")
    index = Index(Distributions(features, "l1"))
    started = time.perf_counter()
    index.project()
    took = time.perf_counter() - started
    asked = normalise(queries, "l1").astype(np.float32)
    times = [milliseconds(lambda q=q: index.search(q[None], K)) for q in asked[:32]]
    found = index.search(asked[:1], K)
    best: list[tuple[float, int]] = []
    for start in range(0, len(index), 10_000):
        block = Distributions(features[start : start + 10_000], "l1")[:]
        best = sorted([*best, *zip(jensen_shannon(asked[0], block), range(start, start + len(block)), strict=True)])[:K]
    assert found[0][0].tolist() == [row for _, row in best]
    print(
        f"a file of {features.nbytes / 2**20:.0f} MiB ({len(index):,} rows) searched with at most "
        f"{limit >> 20} MiB of data: {np.median(times):.1f} ms a query, "
        f"{index.compared / index.asked / len(index):.2%} of the rows read, "
        f"coordinates in {took:.0f} s, {anonymous() / 2**20:.0f} MiB held; the answer is the definition's"
    )


PARTS = {"against": against, "growth": growth, "disk": disk, "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", nargs="*", type=Path, default=[], help="feature stores to take rows of first")
    parser.add_argument("--rows", type=int, default=55_767)
    parser.add_argument("--work", type=Path, default=Path("work/bench"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS)[:-1])
    parser.add_argument("--one-size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--score", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--from-disk", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one_size:
        one_size(given.work, given.one_size, given.rounds)
    elif given.score:
        score(given.rows, given.work)
    elif given.from_disk:
        from_disk(given.from_disk, given.work)
    else:
        for part in given.parts:
            PARTS[part](given.stores, given.rows, given.work, given.rounds)


if __name__ == "__main__":
    run(main)
