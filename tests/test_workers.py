import os
import signal
import subprocess
import sys
import time
from functools import partial

import cv2
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.workers import available_cores, available_memory, run_all


def square(number):
    return number * number


def fail(number):
    raise ValueError(number)


def die():
    os._exit(9)


def cv2_threads():
    return cv2.getNumThreads()


@pytest.mark.parametrize("before", [None, "7"])
def test_libraries_in_workers_start_no_threads(before, monkeypatch):
    """Two workers with two threads each in NumPy's library rendered 17 frames/s where one thread each makes 100."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
        if before:
            monkeypatch.setenv(name, before)
    assert list(run_all([partial(os.getenv, "OPENBLAS_NUM_THREADS")] * 2, 2, chunk=1)) == ["1", "1"]
    assert os.getenv("OPENBLAS_NUM_THREADS") == before


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_results_come_in_order(workers, count):
    tasks = (partial(square, number) for number in range(count))
    assert list(run_all(tasks, workers)) == [number * number for number in range(count)]


def test_tasks_are_made_as_they_are_needed():
    made = []

    def tasks():
        for number in range(10_000):
            made.append(number)
            yield partial(square, number)

    results = run_all(tasks(), 2)
    assert next(results) == 0
    results.close()
    assert len(made) < 500


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_task_raises_is_raised(workers):
    with pytest.raises(ValueError, match="3"):
        list(run_all([partial(square, 1), partial(fail, 3)], workers))


def test_a_dead_worker_is_reported():
    with pytest.raises(UserError, match="worker process died"):
        list(run_all([die], 2))


def test_workers_leave_the_cores_to_one_another():
    assert list(run_all([cv2_threads] * 3, 2)) == [1, 1, 1]
    assert available_cores() >= 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    """The child prints its workers' ids, then waits in them for ever."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time\n"
        "from pydeepexpr.workers import run_all\n"
        "def show():\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n    list(run_all([show], 2))\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(50):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def test_available_memory_is_what_is_free_and_allowed():
    """As a process that limits itself sees it: numbers from the system's own tool where there is one."""
    resource = pytest.importorskip("resource", reason="limits are POSIX's")
    assert 1 << 20 < available_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    code = (
        "import resource; from pydeepexpr.workers import available_memory;"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({700 << 20}, {resource.RLIM_INFINITY}));"
        "print(available_memory())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) == 700 << 20
