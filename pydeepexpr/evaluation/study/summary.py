"""What a study found, as tables."""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from pydeepexpr.evaluation.study.votes import Ranked, Recognised, Votes
from pydeepexpr.evaluation.table import Cell, Table
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["summary"]


def summary(votes: Votes) -> list[Table]:
    """Return what people saw, an expression and a character a row; or the order of each set of faces."""
    if votes.kind == "recognition":
        faces = [one for one in votes.questions.values() if isinstance(one, Recognised)]
        return [_by_expression(votes, faces), *_by_character(votes, faces)]
    return [_orders(votes)]


def _by_expression(votes: Votes, faces: list[Recognised]) -> Table:
    rows = [_row(name, [face for face in faces if face.intended == name]) for name in EXPRESSIONS]
    columns = ("intended", "faces", "votes", "recognised", *EXPRESSIONS)
    formats = dict.fromkeys(("recognised", *EXPRESSIONS), ".1%")
    said = (
        f"{votes.by}. Recognised: the share of votes for the intended expression; then how all votes fell. "
        f"{_agreement(votes)}"
    )
    return Table("What people saw", columns, [*rows, _row("all", faces)], formats, said, last=True)


def _by_character(votes: Votes, faces: list[Recognised]) -> Iterable[Table]:
    characters = sorted({face.character for face in faces} - {""})
    rows = [_row(name, [face for face in faces if face.character == name])[:4] for name in characters]
    if rows:
        columns = ("character", "faces", "votes", "recognised")
        yield Table("What people saw, by character", columns, rows, {"recognised": ".1%"}, f"{votes.by}.")


def _row(name: str, faces: list[Recognised]) -> list[Cell]:
    """Return how many faces and votes there are, the share that was recognised, and how the votes fell."""
    fell: Counter[str] = Counter()
    for face in faces:
        fell.update(face.votes)
    total, right = fell.total(), sum(face.votes[face.intended] for face in faces)
    shares = [fell[expression] / total if total else None for expression in EXPRESSIONS]
    return [name, len(faces), total, right / total if total else None, *shares]


def _orders(votes: Votes) -> Table:
    rows: list[list[Cell]] = [
        [name, one.votes, _order(one)] for name, one in votes.questions.items() if isinstance(one, Ranked)
    ]
    said = f"{votes.by}. Pictures by their identifiers, most similar first; = stands between those that tie. "
    return Table("The order of each set", ("set", "votes", "order"), rows, said=said + _agreement(votes))


def _order(ranked: Ranked) -> str:
    by_rank = groupby(sorted(ranked.ranks, key=ranked.ranks.__getitem__), ranked.ranks.__getitem__)
    return " ".join(" = ".join(names) for _, names in by_rank)


def _agreement(votes: Votes) -> str:
    found = votes.agreement
    if not found:
        return ""
    if found["alpha"] is None:
        return f"{found['measure']} ({found['level']}) is undefined: {found['why']}."
    return f"{found['measure']} ({found['level']}) is {found['alpha']:.3f}; 1 is full agreement, 0 is chance."
