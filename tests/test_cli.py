"""What a person at a terminal sees."""

import errno
import subprocess
import sys

import pytest

from pydeepexpr import cli
from pydeepexpr.errors import UserError


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (UserError("no LMDB at x; build it"), 2, "error: no LMDB at x; build it\n"),
        (OSError(errno.ENOSPC, "No space left on device", "out/a"), 2, "error: No space left on device: out/a\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_mistakes_become_one_line_and_a_status(raised, status, said, capsys):
    def main():
        raise raised

    with pytest.raises(SystemExit) as stopped:
        cli.run(main)
    assert (stopped.value.code, capsys.readouterr().err) == (status, said)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3)])
def test_the_return_value_is_the_status(returned, status):
    with pytest.raises(SystemExit) as stopped:
        cli.run(lambda: returned)
    assert stopped.value.code == status


def test_a_programming_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 // 0)


def test_a_closed_pipe_is_no_error():
    code = "from pydeepexpr import cli\ncli.run(lambda: [print('x' * 1000) for _ in range(10000)] and 0)"
    done = subprocess.run(
        f'{sys.executable} -c "{code}" | head -1', shell=True, capture_output=True, text=True, check=True
    )
    assert done.stdout == "x" * 1000 + "\n" and "Traceback" not in done.stderr


def test_pairs():
    assert cli.read_pairs(["a=1", "b.c=x=y", "d="], "--option") == {"a": "1", "b.c": "x=y", "d": ""}
    assert cli.read_pairs([], "--option") == {}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a"], "--option a is no NAME=VALUE"),
        (["a=1", "=2"], "--option =2 is no NAME=VALUE"),
        (["a=1", "b=1", "a=1"], "--option a is given twice"),
    ],
)
def test_what_is_no_pair(texts, message):
    with pytest.raises(UserError, match=message):
        cli.read_pairs(texts, "--option")


def test_progress_in_a_log_is_plain_lines(capsys):
    assert list(cli.progress(iter("abc"), 3, "letters", every_s=0)) == list("abc")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("letters: 1/3 (") and lines[-1].startswith("letters: 3 in ")
    assert not any("\r" in line for line in lines)
