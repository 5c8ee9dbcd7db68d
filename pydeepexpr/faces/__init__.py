"""Faces in photographs: detection, 49 landmarks, registration onto the average frontal face, nine geometric measures.

Pure functions on arrays. An image is (H, W, 3) uint8 in BGR order, as OpenCV reads it, or (H, W) grey. Points are x, y
in pixels, 0 being the centre of the first pixel; boxes are left, top, right, bottom edges, a whole image being
0, 0, W, H. Left and right are the viewer's.
"""

from pydeepexpr.faces.analyse import Face, analyse, face_at
from pydeepexpr.faces.average import average_face
from pydeepexpr.faces.detect import Detection, confidence, detect, merit
from pydeepexpr.faces.geometry import GEOMETRY, geometry
from pydeepexpr.faces.landmarks import NUM_LANDMARKS, find_landmarks
from pydeepexpr.faces.model import LANDMARK_LICENCE, landmark_model_path
from pydeepexpr.faces.registration import (
    ALIGNMENTS,
    CHARACTER_ALIGNMENT,
    FACE_SIZE,
    MEAN_FACE_FILE,
    DegenerateLandmarks,
    fit_error,
    mean_face,
    register_face,
    registration_matrix,
    whole_image,
)

__all__ = [
    "ALIGNMENTS",
    "CHARACTER_ALIGNMENT",
    "FACE_SIZE",
    "GEOMETRY",
    "LANDMARK_LICENCE",
    "MEAN_FACE_FILE",
    "NUM_LANDMARKS",
    "DegenerateLandmarks",
    "Detection",
    "Face",
    "analyse",
    "average_face",
    "confidence",
    "detect",
    "face_at",
    "find_landmarks",
    "fit_error",
    "geometry",
    "landmark_model_path",
    "mean_face",
    "merit",
    "register_face",
    "registration_matrix",
    "whole_image",
]
