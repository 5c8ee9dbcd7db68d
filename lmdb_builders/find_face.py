"""The face of one record, by the best landmarks that can be had."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lmdb_builders.quality import quality_flags
from lmdb_builders.records import Record
from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.images import read_image

__all__ = ["Found", "find_face"]

_UNKNOWN = np.full(len(faces.GEOMETRY), np.nan, np.float32)


class Found(NamedTuple):
    """The face of a record."""

    face: faces.Face
    how: str  #: "rendered", "detected", "neutral-frame" or "whole-image": the manifest's column `face`
    quality: list[str]  #: what is doubtful about it (`quality.FLAGS`)


def find_face(record: Record, *, cropped: bool, alignment: str) -> Found | None:
    """Return the registered face of a record and how it was found.

    A photograph's face is detected. A character's landmarks are the rendered ones where the record has them, else the
    detected ones; else those of its neutral frames stand in. The geometry of a stand-in is unknown.

    Parameters
    ----------
    record : Record
    cropped : bool
        The image shows one face that fills it, so that it may stand in for a face not found.
    alignment : {"affine", "similarity", "none"}
        As in `faces.ALIGNMENTS`.

    Returns
    -------
    Found
        None if there is no face.

    Raises
    ------
    UserError
        If the image cannot be read, or rendered landmarks form no face.
    """
    image = record.read()
    face, how, others = _best(record, image, cropped, alignment)
    if face is None:
        return None
    person = not record.character
    return Found(face, how, quality_flags(face, image.shape, others=others, person=person))


def _best(record: Record, image: np.ndarray, cropped: bool, alignment: str) -> tuple[faces.Face | None, str, int]:
    """Return the face or None, how it was found, and how many others there are."""
    if record.landmarks is not None:
        return faces.face_at(image, record.landmarks, alignment=alignment), "rendered", 0
    if record.character:
        # No limit on the fit to the mean face: a character's proportions are not a person's.
        if found := faces.analyse(image, alignment=alignment):
            return found[0], "detected", len(found) - 1
        if (landmarks := _landmarks_at_rest(record.at_rest)) is not None:
            face = faces.face_at(image, landmarks, alignment=alignment)
            return face._replace(geometry=_UNKNOWN, stand_in=True), "neutral-frame", 0
    found = faces.analyse(image, cropped=cropped, alignment=alignment)
    if not found:
        return None, "", 0
    return found[0], "whole-image" if found[0].stand_in else "detected", len(found) - 1


@functools.cache
def _landmarks_at_rest(paths: tuple[Path, ...]) -> np.ndarray | None:
    """Return the landmarks of the first image in which a face is found."""
    for path in paths:
        try:
            found = faces.analyse(read_image(path))
        except UserError:  # the frame is rejected when its own turn comes
            continue
        if found:
            return found[0].landmarks
    return None
