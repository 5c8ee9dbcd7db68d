"""The papers' filter of key poses: images that enough people saw as intended (Aneja et al. 2016, section 3.1)."""

import os

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.votes import Recognised, Votes
from pydeepexpr.evaluation.table import Table
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import atomic_file

__all__ = ["AGREEMENT", "divide", "filter_key_poses"]

#: "We only used the expression key poses having 70% MT test agreement".
AGREEMENT = 0.7


def divide(votes: Votes, least: float = AGREEMENT) -> tuple[list[Recognised], list[Recognised]]:
    """Return the faces that at least this share of the votes saw as intended, and the others.

    A face without votes is among the others: nobody has confirmed it.

    Raises
    ------
    UserError
        If these are no votes on what people recognised, or `least` is no share.
    """
    if votes.kind != "recognition":
        raise UserError("these votes rank faces; give those of a study of recognition")
    if not 0 <= least <= 1:
        raise UserError(f"--agreement {least:g} is no share; give one of 0 to 1, the papers' is {AGREEMENT}")
    kept: list[Recognised] = []
    excluded: list[Recognised] = []
    for face in votes.questions.values():
        if isinstance(face, Recognised):
            confirmed = face.share is not None and face.share >= least
            (kept if confirmed else excluded).append(face)
    return kept, excluded


def filter_key_poses(
    votes: Votes, out: str | os.PathLike, kept: str | os.PathLike | None = None, agreement: float = AGREEMENT
) -> Table:
    """Write the names of the images that too few recognised, as `tools/build_lmdb.py --exclude` takes them.

    Parameters
    ----------
    votes : Votes
        Of a recognition study.
    out : path
        The list of those to leave out: also an image of which only one of several questions fails.
    kept : path, optional
        A list of the others.
    agreement : float
        The least share of votes, 0 to 1, for the intended expression.

    Returns
    -------
    Table
        How many there are of each, an expression a row.
    """
    passing, failing = divide(votes, agreement)
    fallen = {face.source for face in failing}
    left = {face.source for face in passing} - fallen
    _write(out, fallen, f"fewer than {agreement:.0%} recognised as intended ({votes.by})")
    if kept is not None:
        _write(kept, left, f"at least {agreement:.0%} recognised as intended ({votes.by})")
    unseen = [face for face in failing if face.share is None]
    parts = (passing, failing, unseen)
    rows = [[name, *(sum(face.intended == name for face in faces) for faces in parts)] for name in EXPRESSIONS]
    rows.append(["all", *map(len, parts)])
    columns = ("intended", "kept", "left out", "of these without votes")
    said = f"{votes.by}; kept are faces that at least {agreement:.0%} of the votes saw as intended."
    return Table("Key poses", columns, rows, said=said, last=True)


def _write(path: str | os.PathLike, names: set[str], why: str) -> None:
    lines = [f"# Images that {why}; made by tools/study.py filter.", *sorted(names)]
    with atomic_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
