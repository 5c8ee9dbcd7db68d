"""How muscles move skin: K. Waters, "A muscle model for animating three-dimensional facial expression", SIGGRAPH 1987.

The paper's pulls are proportional to the contraction, so each muscle's is a field of displacements, worked out once at
rest (`pull`); a pose adds them up, weighted (`contract`). Two things differ from the paper: muscles act side by side on
the skin at rest, not one after the other on what the last one left, so that their order does not matter; and the pull
fades to zero at the rim of the cone, where the paper's cos α ends with a step that tears the skin.
"""

from collections.abc import Sequence

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.rig.anatomy import ROWS, TONE, Muscle

__all__ = ["contract", "contraction", "linear", "pull", "sheet", "sphincter"]


def linear(
    points: np.ndarray, bone: np.ndarray, skin: np.ndarray, angle: np.ndarray, start: np.ndarray, finish: np.ndarray
) -> np.ndarray:
    """Return the pull of linear muscles at full contraction.

    A point P at the distance D from the bone V1, seen from there at the angle α from the muscle's line V1V2, moves
    towards V1 by A·R: R = sin(π/2 · D/Rs) up to the radius Rs, cos(π/2 · (D − Rs)/(Rf − Rs)) on to Rf, 0 beyond; and
    A = cos(π/2 · α/Ω) within the cone Ω, 0 outside (Waters 1987, section 3.2, with the angular factor stretched).

    Parameters
    ----------
    points : (V, 3) float array
        The skin at rest.
    bone, skin : (M, 3) float array
        V1 and V2 of M muscles.
    angle : (M,) float array
        Ω in degrees.
    start, finish : (M,) float array
        Rs and Rf.

    Returns
    -------
    (M, V, 3) float64
        Of length 0 to 1.
    """
    bone, skin = np.asarray(bone, np.float64)[:, None], np.asarray(skin, np.float64)[:, None]
    angle, start, finish = (np.asarray(value, np.float64)[:, None] for value in (angle, start, finish))
    to_bone = bone - points
    distance = np.linalg.norm(to_bone, axis=-1)
    unit = to_bone / np.maximum(distance, 1e-9)[..., None]
    axis = (bone - skin) / np.linalg.norm(bone - skin, axis=-1, keepdims=True)
    alpha = np.degrees(np.arccos(np.clip((unit * axis).sum(axis=-1), -1, 1)))
    angular = np.cos(np.pi / 2 * np.minimum(alpha / angle, 1))
    return (angular * _radial(distance, start, finish))[..., None] * unit


def _radial(distance: np.ndarray, start: np.ndarray, finish: np.ndarray) -> np.ndarray:
    rising = np.sin(np.pi / 2 * np.minimum(distance / start, 1))
    falling = np.cos(np.pi / 2 * np.clip((distance - start) / (finish - start), 0, 1))
    return np.where(distance <= start, rising, falling)


def sheet(
    points: np.ndarray, bone: np.ndarray, skin: np.ndarray, width: np.ndarray, start: np.ndarray, finish: np.ndarray
) -> np.ndarray:
    """Return the pull of sheet muscles at full contraction: parallel fibres, all with the direction skin → bone.

    The distance D is measured along the fibres from the line on which they are fixed, and fades as a linear muscle's
    does (Waters 1987, section 3.3). Across the fibres the paper's sheet ends with a step; here the pull fades as cos²,
    to a half at the distance `width` from the middle fibre and to zero at twice that.

    Parameters and result are those of `linear`, with `width` in centimetres in place of an angle.
    """
    bone, skin = np.asarray(bone, np.float64)[:, None], np.asarray(skin, np.float64)[:, None]
    width, start, finish = (np.asarray(value, np.float64)[:, None] for value in (width, start, finish))
    fibre = (bone - skin) / np.linalg.norm(bone - skin, axis=-1, keepdims=True)
    offset = points - bone
    along = -(offset * fibre).sum(axis=-1)
    beside = np.linalg.norm(offset + along[..., None] * fibre, axis=-1)
    sideways = np.cos(np.pi / 2 * np.minimum(beside / (2 * width), 1)) ** 2
    strength = np.where(along > 0, sideways * _radial(along, start, finish), 0)
    return strength[..., None] * fibre


def sphincter(points: np.ndarray, centre: np.ndarray, half_width: np.ndarray, half_height: np.ndarray) -> np.ndarray:
    """Return the pull of sphincters at full contraction: to the centre, as the string of a bag.

    A point P moves by f·(C − P), f = 1 − √(ly²·px² + lx²·py²) / (lx·ly), 0 outside of the ellipse with the half axes lx
    and ly (Waters 1987, section 3.4).

    Parameters
    ----------
    points : (V, 3) float array
    centre : (M, 3) float array
    half_width, half_height : (M,) float array
        lx and ly.

    Returns
    -------
    (M, V, 3) float64
        z is left alone.
    """
    offset = np.asarray(centre, np.float64)[:, None] - points
    lx, ly = (np.asarray(value, np.float64)[:, None] for value in (half_width, half_height))
    px, py = offset[..., 0], offset[..., 1]
    fade = np.maximum(1 - np.sqrt((ly * px) ** 2 + (lx * py) ** 2) / (lx * ly), 0)
    return fade[..., None] * offset * (1, 1, 0)


#: What pulls a kind of muscle, and the columns of `ROWS` that it takes.
_MODELS = (
    ("linear", linear, ("bone", "skin", "angle", "start", "finish")),
    ("sheet", sheet, ("bone", "skin", "angle", "start", "finish")),
    ("sphincter", sphincter, ("bone", "start", "finish")),
)


def pull(points: np.ndarray, below: np.ndarray, rows: Sequence[Muscle] = ROWS) -> np.ndarray:
    """Return what each muscle of the right side does to the skin at full contraction, in centimetres.

    Parameters
    ----------
    points : (V, 3) float array
        The skin at rest.
    below : (V,) float array
        How much each vertex belongs to the lower lip and what hangs on it: 0 to 1.
    rows : sequence of Muscle

    Returns
    -------
    (M, V, 3) float64
        Zero for lids and the jaw, which slide and turn instead of pulling.
    """
    fields = np.zeros((len(rows), len(points), 3))
    for kind, model, names in _MODELS:
        chosen = [number for number, row in enumerate(rows) if row.kind == kind]
        if chosen:
            columns = [np.array([getattr(rows[number], name) for number in chosen]) for name in names]
            fields[chosen] = model(points, *columns)
    for row, field in zip(rows, fields, strict=True):
        field *= row.strength
        if row.forward:
            reach = np.linalg.norm((points - row.skin)[:, :2], axis=1) / (row.finish - row.start)
            field[:, 2] += row.forward * np.exp(-(reach**2))
        if row.kind == "sphincter":
            field *= _half(points, row)[:, None]
        if row.part:
            field *= (below if row.part == "below" else 1 - below)[:, None]
    return fields


def _half(points: np.ndarray, row: Muscle) -> np.ndarray:
    """Return each vertex' share in the half ring of a row: the mouth's right one, the eye's upper or lower one."""
    if row.bone[0] == 0:
        return np.clip(0.5 + points[:, 0] / 1.6, 0, 1)
    upper = np.clip(0.5 + (points[:, 1] - row.bone[1]) / 0.6, 0, 1)
    return upper if row.skin[1] > row.bone[1] else 1 - upper


def contraction(activations: np.ndarray) -> np.ndarray:
    """Return how much muscles are shortened by activations: 0 at their resting tone, 1 when fully active.

    Parameters
    ----------
    activations : (..., 27) array
        0 to 1, in the order of `MUSCLES`.

    Returns
    -------
    (..., 27) float32
        Below the tone negative: a relaxed muscle gives way. −1 would be as long as the pull is.

    Raises
    ------
    UserError
        If there are not 27, or one is outside 0 to 1 or not a number.
    """
    activations = np.asarray(activations, np.float32)
    if activations.shape[-1:] != TONE.shape:
        raise UserError(
            f"activations are {len(TONE)} a side, in the order of MUSCLES; got the shape {activations.shape}"
        )
    if not ((activations >= 0) & (activations <= 1)).all():
        raise UserError("activations lie between 0 and 1; some do not")
    return (activations - TONE) / (1 - TONE)


def contract(rest: np.ndarray, fields: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Return the skin with its muscles contracted.

    Parameters
    ----------
    rest : (V, 3) float array
    fields : (M, V, 3) float array
        Of `pull`.
    amounts : (M,) float array
        Of `contraction`.

    Returns
    -------
    (V, 3) float array
    """
    return rest + np.tensordot(amounts, fields, axes=1)
