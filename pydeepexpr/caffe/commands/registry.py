"""The table of commands."""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from pydeepexpr.caffe.commands.flags import COMMON_FLAGS, Flag, described, parse
from pydeepexpr.errors import UserError

__all__ = ["CALL", "COMMANDS", "Command", "command"]

CALL = "python -m pydeepexpr.caffe"


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes
    ----------
    name : str
    words : tuple of str
        What it takes beside its flags, in order, as its usage says it: `[OPTIONAL]`, `[ANY NUMBER...]`.
    flags : mapping of str to Flag
    function : callable
        Called with the flags' values and the words; returns the exit status, None for 0.
    """

    name: str
    words: tuple[str, ...]
    flags: Mapping[str, Flag]
    function: Callable[..., int | None]

    @property
    def takes_any(self) -> bool:
        """Whether what follows the first word is not for this command to read."""
        return bool(self.words) and self.words[-1].startswith("[") and self.words[-1].endswith("...]")

    @property
    def summary(self) -> str:
        return inspect.getdoc(self.function).splitlines()[0]

    def help(self) -> str:
        usage = textwrap.fill(" ".join([f"usage: {CALL}", self.name, "[flags]", *self.words]), 120)
        return f"{usage}\n\n{inspect.getdoc(self.function)}\n\nflags:\n{described(self.flags)}"

    def parse(self, argv: Sequence[str]) -> tuple[SimpleNamespace, list[str]]:
        """Return the flags' values and the words of a call.

        Raises
        ------
        UserError
            If a flag cannot be understood, or there are too few or too many words.
        """
        flags, words = parse(argv, self.flags, up_to_first_word=self.takes_any)
        least = sum(not word.startswith("[") for word in self.words)
        if not flags.help and (len(words) < least or (len(words) > len(self.words) and not self.takes_any)):
            given = f"not {' '.join(words)!r}" if words else "none was given"
            raise UserError(f"{self.name} takes {' '.join(self.words) or 'flags only'}, {given}; see {self.name} -help")
        return flags, words


#: Commands by name, in the order in which the help lists them.
COMMANDS: dict[str, Command] = {}


def command(words: str = "", **flags: Flag) -> Callable:
    """Register ``function(flags, *words)`` as the command of its name; its docstring is the help."""

    def register(function: Callable[..., int | None]) -> Callable[..., int | None]:
        name = function.__name__
        COMMANDS[name] = Command(name, tuple(words.split()), {**flags, **COMMON_FLAGS}, function)
        return function

    return register
