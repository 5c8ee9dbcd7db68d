"""What a user's mistake raises."""

__all__ = ["ToldError", "UserError"]


class UserError(RuntimeError):
    """Something the user gave cannot be used.

    The message is one line that says what was wrong, where, and what to do. Command-line fronts print it and
    exit with status 2 (`pydeepexpr.cli.run`). It is a `RuntimeError` because that is what pycaffe raises.
    """


class ToldError(UserError):
    """A mistake that one of the project's commands has told already, on standard error: it is not printed again."""
