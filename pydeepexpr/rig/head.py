"""A head: built once from an identity, posed often."""

import numpy as np
from numba import njit

from pydeepexpr.errors import UserError
from pydeepexpr.rig.beard import Beard
from pydeepexpr.rig.brows import Brows
from pydeepexpr.rig.eyes import Eyes
from pydeepexpr.rig.glasses import glasses
from pydeepexpr.rig.hair import hair
from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.landmarks import landmark_marks
from pydeepexpr.rig.mesh import Mesh, join
from pydeepexpr.rig.mouth import Mouth
from pydeepexpr.rig.muscles import contraction
from pydeepexpr.rig.pose import Pose
from pydeepexpr.rig.skin import Skin
from pydeepexpr.rig.template import template
from pydeepexpr.rig.torso import ears, neck

__all__ = ["PIVOT", "Head"]

#: The point about which the head turns, in centimetres.
PIVOT = np.array([0.0, -6.5, -6.0], np.float32)


class Head:
    """A head of one identity.

    The mesh holds skin, eyes, brows, beard, mouth, ears, hair, glasses and neck, in this order; its triangles are the
    same for all poses, and for all identities of one style of hair, beard and glasses.

    Parameters
    ----------
    identity : Identity
    """

    def __init__(self, identity: Identity):
        self.identity = identity
        self._skin = Skin.of(identity)
        self._eyes = Eyes.of(identity)
        self._brows = Brows.of(identity, self._skin.rest)
        self._beard = Beard.of(identity, self._skin.rest)
        self._mouth = Mouth.of(self._skin)
        body, follow = neck(identity)
        still = join([ears(identity), hair(identity), glasses(identity), body])
        self._still = still.vertices.astype(np.float32)
        stays = np.concatenate([np.ones(len(self._still) - len(follow), np.float32), follow])

        parts = (
            (template().triangles, self._skin.gloss),
            (self._eyes.triangles, self._eyes.gloss),
            (self._brows.triangles, self._brows.gloss),
            (self._beard.triangles, self._beard.gloss),
            (self._mouth.triangles, self._mouth.gloss),
            (still.triangles, still.gloss),
        )
        starts = np.cumsum([0, *(len(gloss) for _, gloss in parts)])
        triangles = [part + start for (part, _), start in zip(parts, starts, strict=False)]
        self._triangles = np.concatenate(triangles).astype(np.int32)
        self._gloss = np.concatenate([gloss for _, gloss in parts]).astype(np.float32)
        self._still_colours = still.colours.astype(np.float32)
        self._follow = np.concatenate([np.ones(starts[-2], np.float32), stays])
        self._corners, self._weights = landmark_marks(identity)

    def pose(self, pose: Pose | None = None) -> Mesh:
        """Return the head's surface in a pose.

        Parameters
        ----------
        pose : Pose, optional
            The resting one by default.

        Returns
        -------
        Mesh
        """
        pose = Pose() if pose is None else pose
        amounts = contraction(pose.activations)
        skin, skin_colours = self._skin.pose(amounts, pose.gaze)
        eyes, eye_colours = self._eyes.pose(skin, pose.gaze)
        brows, beard = self._brows.pose(skin), self._beard.pose(skin)
        mouth = self._mouth.pose(self._skin, skin, amounts)
        vertices = np.concatenate([skin, eyes, brows, beard, mouth, self._still])
        colours = np.concatenate(
            [
                *(skin_colours, eye_colours, self._brows.colours, self._beard.colours),
                *(self._mouth.colours, self._still_colours),
            ]
        )
        return Mesh(_turned(vertices, self._follow, _rotation(pose.head)), self._triangles, colours, self._gloss)

    def landmarks(self, posed: Pose | Mesh | None = None) -> np.ndarray:
        """Return the 49 landmarks of a pose or of a mesh that `pose` gave.

        Returns
        -------
        (49, 3) float32
            In the order of `pydeepexpr.faces.landmarks`; left is the viewer's.

        Raises
        ------
        UserError
            If the mesh is not one of this head's.
        """
        mesh = posed if isinstance(posed, Mesh) else self.pose(posed)
        if len(mesh.vertices) != len(self._follow):
            raise UserError(f"the mesh has {len(mesh.vertices)} vertices, this head has {len(self._follow)}")
        return np.einsum("nk,nkd->nd", self._weights, mesh.vertices[self._corners]).astype(np.float32)


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Return the rotation by yaw, pitch and roll: (3, 3)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles), np.sin(angles)
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return yaw @ pitch @ roll


@njit(cache=True, error_model="numpy")
def _turned(vertices, follow, rotation):
    """Return vertices turned about the pivot, each by its share: the neck's by less the lower they are."""
    turned = np.empty_like(vertices)
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0] - PIVOT[0], vertices[v, 1] - PIVOT[1], vertices[v, 2] - PIVOT[2]
        for k in range(3):
            there = PIVOT[k] + rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z
            turned[v, k] = vertices[v, k] + follow[v] * (there - vertices[v, k])
    return turned
