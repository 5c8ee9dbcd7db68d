"""The order of rendered faces by what their rigs were set to, in the place of an expert's."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.score import mid_ranks
from pydeepexpr.evaluation.study.questionnaire import Picture, Questionnaire
from pydeepexpr.evaluation.study.votes import Ranked, Votes

__all__ = ["BY", "order_by_action_units"]

#: Whose votes these are.
BY = "distance between rig action units (known, no person)"


def order_by_action_units(questionnaire: Questionnaire, frames: Sequence[str | os.PathLike]) -> Votes:
    """Rank each set's faces by how far the action units that made them lie from those that made the query.

    For rendered material alone, whose truth is known. The distance is Euclidean, over the intensities (0 to 1) of the
    24 action units of either half of the face: all weigh alike, whether the whole brow moves with one or a lid a
    little. It is what the two rigs were told to do; not what the faces look like, for characters are built unlike, head
    and light differ, and people do not see action units. It stands where the papers have an expert, and is none.

    Parameters
    ----------
    questionnaire : Questionnaire
        A ranking study whose queries and faces were all rendered by `tools/render_rig.py`.
    frames : sequence of path
        Every `frames.parquet` that describes some of them: people and cast are rendered into folders of their own.
        Faces are found by their names there, or as files that lie beside it.

    Returns
    -------
    Votes
        By `BY`, of no rater. Faces at exactly the same distance share their mid-rank.

    Raises
    ------
    UserError
        If this is no ranking study, a file is missing or of another kind, or it does not describe a face.
    """
    if questionnaire.kind != "ranking":
        raise UserError(f"an order is for a ranking study, and this is a {questionnaire.kind} study")
    known = _read(frames)

    def units(picture: Picture) -> np.ndarray:
        found = known.get(picture.source, known.get(os.path.abspath(picture.source)))
        if found is None:
            named = ", ".join(map(os.fspath, frames)) or "no file at all"
            raise UserError(f"{picture.source} is not described in {named}; give the frames.parquet of its rendering")
        return found

    questions = {}
    for question in questionnaire.questions:
        if question.query is None:
            raise UserError(f"question {question.identifier} has no query; draw the study again")
        asked = units(question.query)
        distances = np.array([[np.linalg.norm(units(picture) - asked) for picture in question.pictures]])
        names = [picture.identifier for picture in question.pictures]
        questions[question.identifier] = Ranked(0, dict(zip(names, mid_ranks(distances)[0].tolist(), strict=True)))
    return Votes("ranking", questionnaire.identifier, BY, 0, questions)


def _read(frames: Sequence[str | os.PathLike]) -> dict[str, np.ndarray]:
    """Return action units by name, as the file has it, and by the path of the image."""
    found: dict[str, np.ndarray] = {}
    for file in frames:
        try:
            table = pq.read_table(file, columns=["path", "action_units"], partitioning=None)
        except FileNotFoundError:
            raise UserError(f"there is no {os.fspath(file)}; tools/render_rig.py writes a frames.parquet") from None
        except (OSError, pa.ArrowException):
            raise UserError(
                f"{os.fspath(file)} is no frames.parquet; give one that tools/render_rig.py wrote"
            ) from None
        folder = Path(file).resolve().parent
        for name, units in zip(table["path"].to_pylist(), table["action_units"].to_pylist(), strict=True):
            values = np.array(units, dtype=np.float64)
            if name in found and not np.array_equal(found[name], values):
                raise UserError(f"two files describe an image {name} differently; give those of one rendering")
            found[name] = found[str(folder / name)] = values
    return found
