"""Flags as Caffe's binaries take them (gflags): `-name value` or `-name=value`, one dash or two, in any place."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from pydeepexpr.errors import UserError

__all__ = ["COMMON_FLAGS", "Flag", "described", "parse", "whole_number"]

_TRUTHS = {"true": True, "t": True, "yes": True, "y": True, "1": True}
_TRUTHS |= {"false": False, "f": False, "no": False, "n": False, "0": False}
_LEVEL = os.environ.get("GLOG_minloglevel", "")  # noqa: SIM112 (glog's own spelling)


@dataclass(frozen=True)
class Flag:
    """A flag; its default says whether it is a text, a whole number or a switch.

    Attributes
    ----------
    default : str, int or bool
    help : str
    choices : sequence of str
        What a text may be, if not anything.
    """

    default: str | int | bool
    help: str
    choices: Sequence[str] = ()


#: Flags of every command: glog's.
COMMON_FLAGS = {
    "help": Flag(False, "show this and end"),
    "logtostderr": Flag(True, "taken as given: the log goes to standard error"),
    "alsologtostderr": Flag(True, "taken as given"),
    "minloglevel": Flag(
        int(_LEVEL) if _LEVEL.isdigit() else 0, "show 0 all, 1 warnings, 2 errors only (or set GLOG_minloglevel)"
    ),
    "log_dir": Flag("", "folder for a file with the log beside"),
}


def parse(
    argv: Sequence[str], flags: Mapping[str, Flag], up_to_first_word: bool = False
) -> tuple[SimpleNamespace, list[str]]:
    """Return the flags' values by name, and the other words.

    As in gflags the last of equal flags counts, a switch is also turned off by `-noNAME`, and `--` ends the flags.

    Parameters
    ----------
    argv : sequence of str
    flags : mapping of str to Flag
    up_to_first_word : bool
        Whether what follows the first word is left alone.

    Raises
    ------
    UserError
        If a flag is unknown, lacks its value or has one that does not fit.
    """
    values = {name: flag.default for name, flag in flags.items()}
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if words and up_to_first_word:
            words += [word, *rest]
        elif word == "--":
            words += rest
        elif len(word) < 2 or word[0] != "-":
            words.append(word)
        else:
            name, has_value, value = word.removeprefix("-").removeprefix("-").partition("=")
            if name.startswith("no") and name not in flags and isinstance(values.get(name[2:]), bool) and not has_value:
                name, has_value, value = name[2:], "=", "false"
            if name not in flags:
                raise UserError(f"there is no flag -{name}; the flags are: {', '.join(f'-{known}' for known in flags)}")
            if not has_value:
                value = "true" if isinstance(values[name], bool) else next(rest, None)
            values[name] = _value(name, flags[name], value)
    return SimpleNamespace(**values), words


def _value(name: str, flag: Flag, text: str | None) -> str | int | bool:
    if text is None:
        raise UserError(f"the flag -{name} lacks its value: {flag.help}")
    if isinstance(flag.default, bool):
        if text.lower() not in _TRUTHS:
            raise UserError(f"the switch -{name} is true or false, not {text!r}")
        return _TRUTHS[text.lower()]
    if isinstance(flag.default, int):
        return whole_number(text, f"-{name}")
    if flag.choices and text not in flag.choices:
        raise UserError(f"-{name} is one of {', '.join(flag.choices)}, not {text!r}")
    return text


def whole_number(text: str, what: str, least: int | None = None) -> int:
    """Return a text as the number that it says; `what` names it in the error."""
    try:
        number = int(text)
    except ValueError:
        raise UserError(f"{what} is a whole number, not {text!r}") from None
    if least is not None and number < least:
        raise UserError(f"{what} is {least} or more, not {number}")
    return number


def described(flags: Mapping[str, Flag]) -> str:
    """Return a line of help for each flag."""
    wide = max(len(name) for name in flags)
    return "\n".join(
        f"  -{name:<{wide}}  {flag.help}"
        + (f" ({', '.join(flag.choices)})" if flag.choices else "")
        + ("" if flag.default in ("", False, True) else f" (default: {flag.default})")
        for name, flag in flags.items()
    )
