"""What is asked for: the faces of an image as the network and the geometry see them."""

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.images import read_image
from pydeepexpr.recogniser import Recogniser

if TYPE_CHECKING:
    from pydeepexpr.faces import Face

__all__ = ["KINDS", "Image", "NoFaceError", "Query", "describe", "find_faces", "look", "look_at_all"]

#: What a query may be: a photograph of anything, in which the face is detected and registered; a photograph that is
#: a face already, whole if none is detected; a character's frame, registered as such frames are for training, by
#: position, size and roll, and whole if no face is detected; an image that the network shall see whole in any case.
KINDS = ("photograph", "cropped", "character", "as-is")

#: An image file, or its pixels: (H, W, 3) uint8, BGR.
Image = str | os.PathLike | np.ndarray


class NoFaceError(UserError):
    """A photograph shows no face."""


@dataclasses.dataclass(frozen=True)
class Query:
    """A face as the network and the geometry see it.

    Attributes
    ----------
    name : str
        The path that the image was read from, as given; empty for pixels.
    face : (256, 256, 3) uint8 array
        BGR, registered.
    box : (4,) array
        Left, top, right, bottom of the face in the image's pixels.
    landmarks : (49, 2) array
        x, y in the image's pixels; of a stand-in the mean face's.
    geometry : (9,) array
        Geometric measures, NaN where unknown.
    score : float
        The detector's confidence, NaN where nothing was detected.
    fit_error : float
        How far the steady landmarks lie from the mean face's, pixels of `face`; NaN for a stand-in.
    fc6 : (D,) float32 array
        Features, ≥ 0.
    prob : (C,) float32 array
        Class probabilities.
    stand_in : bool
        No face was found and the whole image stands in for it.
    number : int
        Which of the image's faces it is, from 0, the best.
    others : int
        How many further faces the image shows.
    """

    name: str
    face: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    geometry: np.ndarray
    score: float
    fit_error: float
    fc6: np.ndarray
    prob: np.ndarray
    stand_in: bool
    number: int = 0
    others: int = 0

    @property
    def predicted(self) -> int:
        """The label of the highest probability."""
        return int(np.argmax(self.prob))


def look(recogniser: Recogniser, image: Image, kind: str = "photograph") -> Query:
    """Describe the best face of a photograph or of a character's frame.

    Parameters
    ----------
    recogniser : Recogniser
    image : path, or (H, W, 3) uint8 array
        An image file, of which what is transparent counts as black, or BGR pixels.
    kind : {'photograph', 'cropped', 'character', 'as-is'}
        What it shows and how the face is brought before the network (`KINDS`). Where no face is detected there is no
        geometry either.

    Raises
    ------
    UserError
        If the file is no image, or the kind is not known.
    NoFaceError
        If a photograph shows no face.
    """
    name, faces = _faces_of(image, kind)
    (query,) = describe(recogniser, faces[:1], name)
    return dataclasses.replace(query, others=len(faces) - 1)


def look_at_all(recogniser: Recogniser, image: Image, kind: str = "photograph") -> list[Query]:
    """Describe every face of an image, the best first; as `look` does."""
    name, faces = _faces_of(image, kind)
    return describe(recogniser, faces, name)


def describe(recogniser: Recogniser, faces: "Sequence[Face]", name: str = "") -> list[Query]:
    """Describe the faces of one image, in one batch through the network.

    Parameters
    ----------
    recogniser : Recogniser
    faces : sequence of Face
    name : str
        What the image is called.
    """
    if not faces:
        return []
    fc6, prob = recogniser.features([face.registered for face in faces])
    return [
        Query(
            name=name,
            face=face.registered,
            box=np.asarray(face.box, dtype=np.float64),
            landmarks=np.asarray(face.landmarks, dtype=np.float64),
            geometry=np.asarray(face.geometry, dtype=np.float64),
            score=float(face.score),
            fit_error=float(face.error),
            fc6=fc6[number],
            prob=prob[number],
            stand_in=face.stand_in,
            number=number,
            others=len(faces) - 1,
        )
        for number, face in enumerate(faces)
    ]


def find_faces(pixels: np.ndarray, kind: str = "photograph") -> "list[Face]":
    """Return the faces of an image as a query of some kind has them registered, the best first.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 array
        BGR.
    kind : {'photograph', 'cropped', 'character', 'as-is'}
        See `KINDS`.

    Raises
    ------
    UserError
        If the kind is not known, or the array is no image.
    """
    from pydeepexpr import faces

    if kind not in KINDS:
        raise UserError(f"no query is of the kind {kind!r}; use one of: {', '.join(KINDS)}")
    if kind in ("photograph", "cropped"):
        return faces.analyse(pixels, cropped=kind == "cropped")
    # A plain detection first: `cropped` asks for a person's proportions, which a character need not have.
    alignment = faces.CHARACTER_ALIGNMENT if kind == "character" else "none"
    return faces.analyse(pixels, alignment=alignment) or faces.analyse(pixels, cropped=True, alignment=alignment)


def _faces_of(image: Image, kind: str) -> "tuple[str, list[Face]]":
    """Return what an image is called and its faces, of which there is at least one."""
    if isinstance(image, np.ndarray):
        name, pixels = "", image
    else:
        name = os.fspath(image)
        try:
            pixels = read_image(image)
        except UserError as error:
            raise UserError(f"cannot read the photograph {name}: {error}") from None
    faces = find_faces(pixels, kind)
    if not faces:
        raise NoFaceError(
            f"no face found in {name or 'the image'}; give a photograph in which one face looks to the front and "
            "fills at least a fifth of the height, --cropped for an image that is a face already, or --character for "
            "a character's frame"
        )
    return name, faces
