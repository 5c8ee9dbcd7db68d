"""Table 1 at the size of the papers' data: 10,000 human queries against FERG-DB's 55,767 frames of six characters.

    python benchmarks/table1.py [--queries 10000] [--work work/bench/table1]

The features are random, as sparse as FC6 behind its ReLU; the frames' numbers and labels are FERG-DB's. What is timed
is the command that a user types, `tools/evaluate.py table1`: three rankings of every query, equation 6, the bootstrap.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from lmdb_builders.ferg import PUBLISHED
from pydeepexpr.cli import run
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features.writing import write_store
from pydeepexpr.lineage import ModelIdentity

ROOT = Path(__file__).resolve().parents[1]
TRANSFORM = {"crop_size": 227, "scale": 1 / 64, "mean_value": [128.0] * 3}
PERSONS = 200


def make_store(path: Path, who: str, labels: np.ndarray, seed: int) -> None:
    """Write random features of labelled images: of a character, or (without a name) of persons."""
    rng = np.random.default_rng(seed)
    ancestry = ("0" * 64,) if who else ()
    model = ModelIdentity(who or "human", f"{seed:064x}" if who else "0" * 64, ancestry, TRANSFORM)
    count = len(labels)
    rows = {
        "key": [f"{number:08d}" for number in range(count)],
        "source": [f"{who}/{number}.png" for number in range(count)],
        "path": [""] * count,
        "database": ["random"] * count,
        "subject": [""] * count if who else [f"p{number % PERSONS}" for number in range(count)],
        "character": [who] * count,
        "split": ["test"] * count,
        "expression": pa.array(labels, pa.int8()),
    }
    fc6 = np.maximum(rng.normal(size=(count, 512)).astype(np.float32), 0)
    prob = rng.dirichlet(np.ones(len(EXPRESSIONS)), count).astype(np.float32)
    with write_store(path, model, rng.normal(size=(len(EXPRESSIONS), 512)).astype(np.float32)) as writer:
        writer.append(fc6, prob, rng.random((count, 9), dtype=np.float32), pa.table(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--work", type=Path, default=Path("work/bench/table1"), help="default: %(default)s")
    given = parser.parse_args()
    make_store(given.work / "people", "", np.arange(given.queries) % len(EXPRESSIONS), 0)
    for seed, (who, counts) in enumerate(PUBLISHED.items(), 1):
        make_store(given.work / who, who, np.repeat(np.arange(len(EXPRESSIONS)), counts), seed)
    stores = [str(given.work / name) for name in ("people", *PUBLISHED)]
    started = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "tools/evaluate.py"), "table1", *stores], check=True)
    took, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{given.queries:,} queries × {sum(map(sum, PUBLISHED.values())):,} images: {took:.0f} s "
        f"({used.ru_utime + used.ru_stime:.0f} s of processor), peak {used.ru_maxrss / 2**10:.0f} MiB"
    )


if __name__ == "__main__":
    run(main)
