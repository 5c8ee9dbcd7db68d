"""From photographs to characters' answers, one after the other."""

import sys
from collections.abc import Iterator, Mapping, Sequence

from pydeepexpr.errors import UserError
from pydeepexpr.performance import Answer
from pydeepexpr.pipeline import Retriever
from pydeepexpr.queries import look, look_at_all

__all__ = ["answer_photographs"]


def answer_photographs(
    files: Sequence[str], retrievers: Mapping[str, Retriever], k: int, *, kind: str = "photograph", which: str = "best"
) -> Iterator[tuple[str, list[Answer]]]:
    """Yield the answers to the faces of each photograph.

    Parameters
    ----------
    files : sequence of str
        Images.
    retrievers : mapping of str to Retriever
        By the store's name, all with the same network.
    k : int
        Matches a face and store.
    kind : {'photograph', 'cropped', 'character', 'as-is'}
        See `queries.KINDS`.
    which : {'best', 'all'}
        Which faces of an image.

    Yields
    ------
    str, list of Answer
        A file, and the answers to its faces. One of several that shows no face or cannot be read has none, and is
        named on the standard error.

    Raises
    ------
    UserError
        If none of them is a photograph of a face.
    """
    recogniser = next(iter(retrievers.values())).recogniser
    failure, answered = None, 0
    for file in files:
        try:
            queries = [look(recogniser, file, kind)] if which == "best" else look_at_all(recogniser, file, kind)
        except UserError as error:
            if len(files) > 1:
                print(f"left out: {error}", file=sys.stderr)
            failure, queries = error, []
        answered += len(queries)
        yield (
            file,
            [Answer(query, {name: one.retrieve(query, k) for name, one in retrievers.items()}) for query in queries],
        )
    if failure and not answered:
        raise failure
