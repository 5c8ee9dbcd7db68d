"""The one exception that a user's mistake raises."""

__all__ = ["UserError"]


class UserError(RuntimeError):
    """Something the user gave cannot be used.

    The message is one line that says what was wrong, where, and what to do. Command-line fronts print it and
    exit with status 2 (`pydeepexpr.cli.run`). It is a `RuntimeError` because that is what pycaffe raises.
    """
