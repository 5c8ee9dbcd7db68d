"""Single frames: who shows what and how, the picture of it, and its row of the manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.rig.anatomy import MUSCLES, SIDES
from pydeepexpr.rig.cast import CAST
from pydeepexpr.rig.key_poses import UNITS, KeyPose, key_pose, key_poses, personal_generator
from pydeepexpr.rig.pose import Pose, blend
from pydeepexpr.rig.sequences import Between, divide, sequence
from pydeepexpr.rig.sitters import PERFORMERS_A_SEED, performer_name, performer_number, sitter

__all__ = ["FRAMES", "CharacterShots", "PerformerShots", "Shot", "character_shots", "performer_shots", "render_again"]

_NUMBERS = pa.list_(pa.float32())

#: The columns of the manifest (docs/formats.md). Values of left and right stand one side after the other.
FRAMES = pa.schema(
    [
        ("path", pa.string()),
        ("character", pa.string()),
        ("subject", pa.string()),
        ("expression", pa.string()),
        ("n", pa.int32()),
        ("split", pa.string()),
        ("size", pa.int16()),
        ("landmarks", _NUMBERS),
        ("visible", pa.list_(pa.bool_())),
        ("action_units", _NUMBERS),
        ("muscles", _NUMBERS),
        ("gaze", _NUMBERS),
        ("head", _NUMBERS),
        ("first", pa.int16()),
        ("second", pa.int16()),
        ("blend", pa.float32()),
    ],
    metadata={
        "action_units": " ".join(f"{side}_{unit}" for side in SIDES for unit in UNITS),
        "muscles": " ".join(f"{side}_{muscle}" for side in SIDES for muscle in MUSCLES),
    },
)


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame to render.

    Attributes
    ----------
    path : str
        Where it goes, below the database's root.
    who : str
        A name that `sitter` knows.
    expression : str
    n : int
        Its number, from 1, among the frames of the same person and expression.
    size : int
    key : KeyPose
        What is shown; of blended frames, as it lies between the key poses.
    between : Between
        Its part and its key poses; performers' frames are key poses themselves and name themselves twice.
    """

    path: str
    who: str
    expression: str
    n: int
    size: int
    key: KeyPose
    between: Between

    def take(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the picture, (H, W, 4) BGRA or (H, W, 3) BGR uint8, and the row of `FRAMES`."""
        sits = sitter(self.who)
        rgba, landmarks, visible = sits.render(self.key.pose, self.size)
        row = {
            "path": self.path,
            "character": "" if sits.background is not None else self.who,
            "subject": self.who if sits.background is not None else "",
            "expression": self.expression,
            "n": self.n,
            "size": self.size,
            **asdict(self.between),
            "landmarks": landmarks.ravel(),
            "visible": visible,
            "action_units": self.key.units.ravel(),
            "muscles": self.key.pose.activations.ravel(),
            "gaze": self.key.pose.gaze,
            "head": self.key.pose.head,
        }
        how = cv2.COLOR_RGBA2BGRA if sits.background is None else cv2.COLOR_RGBA2BGR
        return cv2.cvtColor(rgba, how), row


def render_again(row: Mapping[str, Any]) -> np.ndarray:
    """Render a frame from its row of the manifest.

    Parameters
    ----------
    row : mapping
        `character` or `subject`, `muscles`, `gaze`, `head` and `size`, as `FRAMES` has them.

    Returns
    -------
    (size, size, 4) uint8
        RGBA, equal to the frame that was written. Performers' photographs are opaque.

    Raises
    ------
    UserError
        If a column is missing, does not hold as many numbers as it should, or the rig knows nobody of that name.
    """
    who = row.get("character") or row.get("subject")
    lacking = [name for name in ("muscles", "gaze", "head", "size") if row.get(name) is None]
    if lacking or not who:
        raise UserError(
            f"the frame cannot be rendered again: its row lacks {', '.join(lacking) or 'character, subject'}"
        )
    muscles = _numbers(row, "muscles", len(SIDES) * len(MUSCLES)).reshape(len(SIDES), -1)
    pose = Pose(muscles, _numbers(row, "gaze", 2), _numbers(row, "head", 3))
    return sitter(who).render(pose, row["size"])[0]


def _numbers(row: Mapping[str, Any], name: str, count: int) -> np.ndarray:
    """Return a column's numbers: (count,) float32."""
    try:
        numbers = np.asarray(row[name], np.float32)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (count,):
        raise UserError(f"the frame cannot be rendered again: its {name} are not {count} numbers: {row[name]!r:.60}")
    return numbers


@dataclass(frozen=True)
class CharacterShots:
    """The frames of a character with an expression, as `sequence` lays them out between its key poses."""

    who: str
    expression: str
    frames: int
    seed: int
    size: int

    @property
    def name(self) -> str:
        return f"{self.who}_{self.expression}"

    def shots(self, start: int, stop: int) -> list[Shot]:
        """Return the frames from `start` (the first is 0) up to, not including, `stop`."""
        keys = key_poses(self.who, self.expression, self.seed)
        rng = personal_generator(f"{self.who} in motion", self.expression, self.seed)
        shots = []
        for n, at in enumerate(sequence(divide(len(keys), rng), self.frames, rng)[start:stop], start + 1):
            first, second = keys[at.first], keys[at.second]
            units = ((1 - at.blend) * first.units + at.blend * second.units).astype(np.float32)
            key = KeyPose(units, blend(first.pose, second.pose, at.blend))
            path = f"{self.who}/{self.name}/{self.name}_{n}.png"
            shots.append(Shot(path, self.who, self.expression, n, self.size, key, at))
        return shots


@dataclass(frozen=True)
class PerformerShots:
    """A performer's photographs: of every expression in turn, each a key pose of its own."""

    who: str
    split: str
    frames: int
    seed: int
    size: int

    @property
    def name(self) -> str:
        return self.who

    def shots(self, start: int, stop: int) -> list[Shot]:
        """Return the frames from `start` (the first is 0) up to, not including, `stop`."""
        shots = []
        draw = {name: personal_generator(self.who, name, self.seed) for name in EXPRESSIONS}
        first = performer_number(self.who) * self.frames  # where the one before left off: remainders even out
        for i in range(self.frames):
            expression, n = EXPRESSIONS[(first + i) % len(EXPRESSIONS)], i // len(EXPRESSIONS) + 1
            path = f"{expression}/{self.who}_{n}.png"
            at = Between(self.split, n - 1, n - 1, 0.0)
            shots.append(Shot(path, self.who, expression, n, self.size, key_pose(expression, draw[expression]), at))
        return shots[start:stop]


def character_shots(characters: Sequence[str] | None, frames: int, seed: int, size: int) -> list[CharacterShots]:
    """Lay out the frames of characters (default: the whole cast), `frames` each, evenly among the expressions."""
    characters = list(CAST) if characters is None else list(dict.fromkeys(characters))
    if unknown := [name for name in characters if name not in CAST]:
        raise UserError(f"there is no character {unknown[0]!r}; the cast is: {', '.join(CAST)}")
    if not characters:
        raise UserError("no character was named")
    _check(frames, seed, size)
    each = np.diff(np.arange(len(EXPRESSIONS) + 1) * frames // len(EXPRESSIONS)).tolist()
    return [
        CharacterShots(name, expression, count, seed, size)
        for name in characters
        for expression, count in zip(EXPRESSIONS, each, strict=True)
    ]


def performer_shots(performers: int, frames: int, seed: int, size: int) -> list[PerformerShots]:
    """Lay out the photographs of performers, `frames` each; performers are divided into the parts."""
    if not 1 <= performers <= PERFORMERS_A_SEED:
        raise UserError(f"the number of performers must lie between 1 and {PERFORMERS_A_SEED}, got {performers}")
    _check(frames, seed, size)
    parts = divide(performers, np.random.default_rng(seed)).tolist()
    return [
        PerformerShots(performer_name(seed * PERFORMERS_A_SEED + i), part, frames, seed, size)
        for i, part in enumerate(parts)
    ]


def _check(frames: int, seed: int, size: int) -> None:
    if frames < 1:
        raise UserError(f"the number of frames must be at least 1, got {frames}")
    if seed < 0:
        raise UserError(f"a seed is a whole number from 0, got {seed}")
    if not 16 <= size <= 2048:
        raise UserError(f"the size of a frame must lie between 16 and 2048 pixels, got {size}")
