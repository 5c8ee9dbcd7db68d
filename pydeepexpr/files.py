"""Files that are whole or absent, and the record of what made them."""

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pydeepexpr.errors import UserError

__all__ = [
    "atomic_directory",
    "atomic_file",
    "provenance",
    "read_json",
    "read_names",
    "replace_directory",
    "resumable_directory",
    "sha256_of",
    "write_json",
]

_PLAN, _LOCK = "plan.json", "lock"

_RECORDED_PACKAGES = ("torch", "numpy", "opencv-python-headless", "dlib-bin", "av")


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, remove it otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)  # mkstemp's 0600 would hide the file from a group
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def replace_directory(folder: str | os.PathLike, path: str | os.PathLike) -> None:
    """Move a finished folder to `path`, on the same file system, in the place of what is there."""
    folder, path = Path(folder), Path(path)
    if not path.exists():
        os.replace(folder, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.replace(path, old / path.name)
    os.replace(folder, path)
    shutil.rmtree(old)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; put it in the place of `path` when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    mask = os.umask(0)
    os.umask(mask)
    partial.chmod(0o777 & ~mask)
    try:
        yield partial
        replace_directory(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def resumable_directory(path: str | os.PathLike, made_of: dict[str, object]) -> Iterator[Path]:
    """Yield the folder ``.NAME.partial`` beside `path`; put it in the place of `path` when the block ends well.

    A block that ends otherwise leaves it, even where the process is killed: the next call with the same `made_of` finds
    in it what was done, one with another `made_of` finds it empty. Nobody else works in it meanwhile.

    Parameters
    ----------
    path : path
    made_of : dict
        All that decides the result, as JSON can hold it.

    Raises
    ------
    UserError
        If another process is at the same work, or nothing can be written there.
    """
    path = Path(path)
    partial = path.parent / f".{path.name}.partial"
    plan, lock = partial / _PLAN, FileLock(partial / _LOCK)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another process is at work on {path}; wait for it, or stop it") from None
    except OSError as error:
        raise UserError(f"cannot write in {partial}: {error.strerror}") from None
    with lock:
        if _read_json(plan) != json.loads(json.dumps(made_of)):
            for old in partial.iterdir():
                if old.name != _LOCK:
                    shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
            write_json(plan, made_of)
        yield partial
        replace_directory(partial, path)
        for name in (_PLAN, _LOCK):
            (path / name).unlink(missing_ok=True)


def _read_json(path: Path) -> object:
    """Return what a file holds; None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_of(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def provenance() -> dict[str, object]:
    """Return what an artefact records of its making: command, time (UTC) and versions."""
    versions = {"python": platform.python_version()}
    for name in ("pydeepexpr", *_RECORDED_PACKAGES):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    command = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"command": command, "made": now.isoformat(timespec="seconds"), "versions": versions}


def read_json(path: str | os.PathLike, wanted: str) -> Any:
    """Return what a JSON file holds.

    Parameters
    ----------
    path : path
    wanted : str
        Which file should have been given, for the error: `the study.json that tools/study.py wrote`.

    Raises
    ------
    UserError
        If it cannot be read, or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{os.fspath(path)} is no JSON file; give {wanted}") from None


def read_names(path: str | os.PathLike) -> list[str]:
    """Read a list of image names (docs/formats.md): one a line; empty lines and those that begin with `#` are skipped.

    Raises
    ------
    UserError
        If the list cannot be read or names nothing.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list of names {os.fspath(path)}: {error}") from None
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise UserError(f"{os.fspath(path)} names no image")
    return names
