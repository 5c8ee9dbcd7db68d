"""Caffe's command line: `python -m pydeepexpr.caffe train -solver solver.prototxt`, and its companions."""

import sys
from collections.abc import Sequence

from pydeepexpr import caffe, cli
from pydeepexpr.caffe.commands import COMMANDS
from pydeepexpr.caffe.commands.caffe_flags import CAFFE_FLAGS
from pydeepexpr.caffe.commands.flags import COMMON_FLAGS, parse
from pydeepexpr.caffe.commands.logs import shown
from pydeepexpr.caffe.commands.registry import CALL
from pydeepexpr.errors import UserError

__all__ = ["main"]


def main(argv: Sequence[str]) -> int | None:
    """Run the command that `argv` names, with its flags and words, and return the exit status (None: 0).

    Raises
    ------
    UserError
        If there is no such command, or it cannot do what it was asked for.
    """
    flags, words = parse(argv, {**CAFFE_FLAGS, **COMMON_FLAGS, "version": COMMON_FLAGS["help"]}, up_to_first_word=True)
    if flags.version:
        print(f"caffe version {caffe.__version__}")
        return 0
    if flags.help or words == ["help"]:
        print(_help())
        return 0
    if not words:
        print(_help(), file=sys.stderr)
        return 2
    name, *rest = words
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r}; the commands are: {', '.join(COMMANDS)}")
    command = COMMANDS[name]
    flags, words = command.parse([*argv[: len(argv) - len(words)], *rest])
    if flags.help:
        print(command.help())
        return 0
    with shown(flags, name):
        return command.function(flags, *words)


def _help() -> str:
    wide = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{wide}}  {command.summary}" for name, command in COMMANDS.items())
    return f"""usage: {CALL} COMMAND [flags] ...

Caffe's command line and its companions, on PyTorch. Flags are written -name value, -name=value or with two dashes.

commands:
{commands}

COMMAND -help tells more. To call them by the names that they have in Caffe:
  alias caffe='{CALL}'
  alias convert_imageset='{CALL} convert_imageset'"""


if __name__ == "__main__":
    cli.run(lambda: main(sys.argv[1:]))
