"""A few frames as they looked when they were last looked at.

A change to the rig that shall change them: look at the new frames, then run this file as a script to pin them anew.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pydeepexpr.rig.pose import expression_pose
from pydeepexpr.rig.sitters import sitter

PINS = Path(__file__).parents[1] / "golden" / "rig" / "frames.json"

#: Who, and arguments of `expression_pose`.
FRAMES = {
    "tilda joy": ("tilda", {"expression": "joy", "intensity": 0.8}),
    "bruno anger": ("bruno", {"expression": "anger", "asymmetry": 0.3, "head": (0.2, 0.0, 0.05)}),
    "otis surprise": ("otis", {"expression": "surprise", "gaze": (0.3, -0.1)}),
    "p7 sadness": ("p7", {"expression": "sadness"}),
}


def looks(name):
    """Return what is pinned of a frame: its mean RGBA, and 8 × 8 means of its picture on black, in levels of 255."""
    who, pose = FRAMES[name]
    rgba, _, _ = sitter(who).render(expression_pose(**pose), 256)
    black = (rgba[..., :3] * (rgba[..., 3:] / 255.0)).mean(axis=-1)
    thumbnail = cv2.resize(black, (8, 8), interpolation=cv2.INTER_AREA)
    return {"mean": rgba.mean(axis=(0, 1)).round(2).tolist(), "thumbnail": thumbnail.round(1).tolist()}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_look_as_they_did(name):
    pinned, found = json.loads(PINS.read_text())[name], looks(name)
    np.testing.assert_allclose(found["mean"], pinned["mean"], atol=0.3)
    np.testing.assert_allclose(found["thumbnail"], pinned["thumbnail"], atol=1.0)


if __name__ == "__main__":
    lines = [f"  {json.dumps(name)}: {json.dumps(looks(name))}" for name in FRAMES]
    PINS.parent.mkdir(parents=True, exist_ok=True)
    PINS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
