"""Builds that are interrupted, killed, finished or replaced."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lmdb_builders.build import build_lmdb
from pydeepexpr.caffe import database_writers
from pydeepexpr.errors import UserError
from pydeepexpr.files import sha256_of
from tests.lmdb_builders.building.made_builds import count_encoded, read


@pytest.mark.parametrize("crops", ["random", "mirrored"])
def test_an_interrupted_build_goes_on_where_it_stopped(faces, tmp_path, monkeypatch, crops):
    monkeypatch.setattr(database_writers, "_BATCH", 4)
    options = {"encode": "png", "workers": 1, "crops": crops}
    records = 28 if crops == "random" else 42
    with monkeypatch.context() as patch:
        count_encoded(patch, stop_at=12)
        with pytest.raises(KeyboardInterrupt):
            build_lmdb([faces], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists(), "nothing half-made can be taken for complete"
    with monkeypatch.context() as patch:
        calls = count_encoded(patch)
        build_lmdb([faces], tmp_path / "out", **options)
    assert records - 11 <= len(calls) <= records - 4, "at least the first transaction was there already"
    build_lmdb([faces], tmp_path / "whole", **options)
    for split in ("train", "val", "test"):
        assert read(tmp_path / f"out/{split}_lmdb") == read(tmp_path / f"whole/{split}_lmdb")
    for name in ("manifest.parquet", "mean.binaryproto"):
        assert sha256_of(tmp_path / "out" / name) == sha256_of(tmp_path / "whole" / name)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole").iterdir()
    )
    assert not list(tmp_path.glob(".*"))


def test_another_build_starts_afresh(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(database_writers, "_BATCH", 4)
    with monkeypatch.context() as patch:
        count_encoded(patch, stop_at=12)
        with pytest.raises(KeyboardInterrupt):
            build_lmdb([faces], tmp_path / "out", workers=1)
    calls = count_encoded(monkeypatch)
    build_lmdb([faces], tmp_path / "out", workers=1, seed=1)
    assert len(calls) == 28


def test_a_damaged_half_of_a_build_is_made_again(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(database_writers, "_BATCH", 4)
    with monkeypatch.context() as patch:
        count_encoded(patch, stop_at=12)
        with pytest.raises(KeyboardInterrupt):
            build_lmdb([faces], tmp_path / "out", encode="png", workers=1)
    (tmp_path / ".out.partial/train_lmdb/data.mdb").write_bytes(b"cut short")
    build_lmdb([faces], tmp_path / "out", encode="png", workers=1)
    assert len(read(tmp_path / "out/train_lmdb")) == 14


KILLED = """
import sys
from lmdb_builders import build
from pydeepexpr.caffe import database_writers

database_writers._BATCH = 4
encode, count = build.encode_face, 0

def slowly(*given):
    global count
    count += 1
    if count == 12:
        print("now", flush=True)
        sys.stdin.readline()  # for ever
    return encode(*given)

build.encode_face = slowly
build.build_lmdb([sys.argv[1]], sys.argv[2], encode="png", workers=1)
"""


def test_a_killed_build_is_not_taken_for_complete_and_goes_on(faces, tmp_path, monkeypatch):
    command = [sys.executable, "-c", KILLED, str(faces), str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        with pytest.raises(UserError, match=r"another process is at work on .*out"):
            build_lmdb([faces], tmp_path / "out", encode="png")
        process.kill()  # SIGKILL: nothing can be tidied up
    assert not (tmp_path / "out").exists()
    calls = count_encoded(monkeypatch)
    build_lmdb([faces], tmp_path / "out", encode="png", workers=1)
    assert 17 <= len(calls) <= 24, "28 faces, of which one or two transactions of four were there already"
    build_lmdb([faces], tmp_path / "whole", encode="png", workers=1)
    for split in ("train", "val", "test"):
        assert read(tmp_path / f"out/{split}_lmdb") == read(tmp_path / f"whole/{split}_lmdb")
    assert sha256_of(tmp_path / "out/mean.binaryproto") == sha256_of(tmp_path / "whole/mean.binaryproto")
    assert not list(tmp_path.glob(".*"))


def test_an_earlier_build_survives_a_failed_replacement(faces, tmp_path, monkeypatch):
    out = tmp_path / "out"
    build_lmdb([faces], out)
    before = (out / "build.json").read_bytes()

    resource = pytest.importorskip("resource")  # POSIX only
    monkeypatch.setattr(database_writers.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))  # writes beyond 2 MiB fail, as on a full disk
    try:
        with pytest.raises(UserError, match=r"cannot write .*out: No space left on device"):
            build_lmdb([faces], out, encode="raw", force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (out / "build.json").read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_finished_build_is_left_as_it_is(faces, tmp_path, monkeypatch):
    first = build_lmdb([faces], tmp_path / "out")
    calls = count_encoded(monkeypatch)
    assert build_lmdb([faces], tmp_path / "out") == first and not calls


def test_force_replaces_an_earlier_build(faces, tmp_path):
    out = tmp_path / "out"
    build_lmdb([faces], out)
    with pytest.raises(UserError, match=r"out exists already; .* --force"):
        build_lmdb([faces], out, seed=1)
    build_lmdb([faces], out, seed=1, force=True)
    assert json.loads((out / "build.json").read_text())["options"]["seed"] == 1
    assert list(tmp_path.iterdir()) == [out]


def test_force_replaces_nothing_but_a_build(faces, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1").write_text("words")
    with pytest.raises(UserError, match="was not made by build_lmdb"):
        build_lmdb([faces], tmp_path / "thesis", force=True)
    for place in (faces, faces.parent):
        with pytest.raises(UserError, match="holds the registered faces"):
            build_lmdb([faces], place, force=True)
    assert (tmp_path / "thesis/chapter1").read_text() == "words"
