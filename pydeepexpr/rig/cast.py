"""The cast: eight characters, and who plays the human side."""

from dataclasses import dataclass, field

from pydeepexpr.rig.camera import Camera
from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.lights import Light, Lights
from pydeepexpr.rig.performers import performer

__all__ = ["CAST", "Character", "performer"]


#: A studio with large lamps: few shadows, as feature animation lights a character that shall be liked. The two behind
#: the head draw its outline, so that dark hair shows before the black that networks see.
_SOFT = Lights(
    lamps=(
        Light((-0.45, 0.55, 0.90), (0.66, 0.62, 0.57), 0.4, 0.5),
        Light((0.80, 0.10, 0.80), (0.24, 0.25, 0.28), 0.6),
        Light((0.75, 0.50, -0.70), (0.60, 0.60, 0.64), 0.0),
        Light((-0.80, 0.60, -0.80), (0.50, 0.52, 0.58), 0.0),
    ),
    sky=(0.32, 0.33, 0.35),
    ground=(0.26, 0.23, 0.21),
    occlusion=0.5,
)


@dataclass(frozen=True)
class Character:
    """A character of the cast.

    Attributes
    ----------
    description : str
        Who it is, in a line.
    identity : Identity
    camera : Camera
        Takes in the head with its hair and a little of the shoulders.
    lights : Lights
    """

    description: str
    identity: Identity
    camera: Camera = field(default_factory=Camera)
    lights: Lights = _SOFT


#: The characters by name; docs/images/cast.png shows them.
# fmt: off
CAST: dict[str, Character] = {
    "tilda": Character(
        "A girl of eight who has already climbed that tree",
        Identity(
            head_width=1.18, head_depth=1.05, skull_height=1.0, face_length=0.95, face_width=1.12, cheekbones=0.4,
            cheeks=1.6, jaw_width=0.88, chin_size=0.8, chin_length=0.75, brow_ridge=0.0, eye_size=1.57, eye_height=1.1,
            eye_spacing=1.04, eye_tilt=3, iris_size=1.4, pupil_size=1.3, lashes=0.5, nose_length=0.95, nose_width=0.8,
            nose_depth=0.75, nose_tip=1.0, nose_turn=0.7, nose_bridge=0.8, mouth_width=0.95, upper_lip=0.8,
            lower_lip=1.0, ear_angle=42, brow_thickness=1.4, brow_arch=0.7, brow_height=0.35, neck_width=0.66,
            blush=0.55, freckles=0.4, wrinkles=0.3, hairline=-0.5, eye_depth=-0.6, motion=1.2, skin="#f6cfb4",
            lips="#d17a6c", iris="#4f9a55", hair="#c4541f", brows="#8f3c16", shirt="#d9a733", hair_style="ponytail",
        ),
        Camera(field=21.5, centre=(0.0, 0.0)),
    ),
    "bruno": Character(
        "A blacksmith of forty-five with a soft heart",
        Identity(
            head_width=1.04, head_depth=1.05, skull_height=0.84, face_length=1.05, face_width=1.18, cheekbones=1.0,
            cheeks=0.9, jaw_width=1.35, chin_size=1.6, chin_length=1.12, chin_forward=0.5, brow_ridge=0.9,
            eye_size=1.28, eye_height=1.15, eye_spacing=0.96, eye_tilt=-2, iris_size=1.3, pupil_size=1.15, lashes=0.1,
            nose_length=0.98, nose_width=1.4, nose_depth=1.2, nose_tip=1.6, nose_bridge=1.2, mouth_width=1.05,
            upper_lip=0.7, lower_lip=1.0, ear_size=1.1, ear_angle=32, brow_thickness=2.3, brow_arch=0.3,
            brow_length=1.12, brow_height=0.15, neck_width=1.3, blush=0.4, stubble=0.9, wrinkles=0.9, hairline=0.3,
            motion=1.15, skin="#c9946c", lips="#a8655a", iris="#8a5c34", hair="#2a1d15", brows="#20160f",
            shirt="#7a2f2a", beard="full", hair_style="crop",
        ),
        Camera(field=21.5, centre=(0.0, -2.1)),
    ),
    "imani": Character(
        "A drummer of twenty-six, never off the beat",
        Identity(
            skull_height=1.02, face_length=0.96, cheekbones=1.4, cheeks=0.8, jaw_width=0.85, chin_size=0.85,
            chin_length=0.92, brow_ridge=0.0, eye_size=1.46, eye_height=1.1, eye_spacing=1.0, eye_tilt=6, iris_size=1.3,
            pupil_size=1.2, lashes=1.0, nose_length=0.95, nose_width=1.25, nose_depth=0.8, nose_tip=1.1,
            nose_bridge=1.0, mouth_width=1.05, upper_lip=1.2, lower_lip=1.4, ear_size=0.9, brow_thickness=1.4,
            brow_arch=0.9, brow_height=0.25, neck_width=0.7, blush=0.3, wrinkles=0.4, hair_volume=2.0, eye_depth=-0.6,
            motion=1.2, skin="#94613f", lips="#b3525a", iris="#7a4d28", hair="#2a1b15", brows="#1a110e",
            shirt="#e07a3f", hair_style="curly",
        ),
        Camera(field=25.0, centre=(0.0, 1.1)),
    ),
    "otis": Character(
        "A retired postman of seventy-six who knew every dog",
        Identity(
            head_width=0.98, head_depth=1.0, skull_height=0.8, face_length=1.15, face_width=1.0, cheekbones=1.3,
            cheeks=1.1, jaw_width=1.05, chin_size=1.05, chin_length=1.1, brow_ridge=0.6, eye_size=1.2, eye_height=1.08,
            eye_tilt=-7, iris_size=1.25, lashes=0.05, nose_length=1.15, nose_width=1.45, nose_depth=1.4, nose_tip=1.9,
            nose_turn=-0.1, nose_bridge=1.1, mouth_width=1.05, upper_lip=0.6, lower_lip=0.8, ear_size=1.5, ear_angle=48,
            brow_thickness=2.3, brow_arch=0.7, brow_length=1.15, brow_height=0.35, neck_width=0.85, blush=0.8,
            wrinkles=1.4, motion=1.1, skin="#eab99b", lips="#b9716a", iris="#6f93a8", hair="#e6e2da", brows="#e9e5de",
            shirt="#3f5b4a", beard="moustache", hair_style="bald",
        ),
        Camera(field=22.0, centre=(0.0, -3.2)),
    ),
    "mei": Character(
        "An astronomer of twenty who sleeps by day",
        Identity(
            head_width=1.05, skull_height=1.0, face_length=0.95, face_width=1.05, cheekbones=0.8, cheeks=1.1,
            jaw_width=0.8, chin_size=0.75, chin_length=0.85, brow_ridge=0.0, eye_size=1.5, eye_height=1.05,
            eye_spacing=0.97, eye_tilt=7, iris_size=1.4, pupil_size=1.2, lashes=0.8, nose_length=0.92, nose_width=0.85,
            nose_depth=0.65, nose_tip=0.85, nose_turn=0.4, nose_bridge=0.8, mouth_width=0.85, upper_lip=0.9,
            lower_lip=1.0, ear_size=0.85, brow_thickness=1.1, brow_arch=0.5, brow_height=0.2, neck_width=0.62,
            blush=0.6, wrinkles=0.3, hair_length=0.85, eye_depth=-0.6, motion=1.15, skin="#f3d2b3", lips="#cf5a62",
            iris="#4a342a", hair="#1d1c2b", brows="#1c1a1f", shirt="#5b4b8a", hair_style="bob",
        ),
        Camera(field=22.5, centre=(0.0, 0.2)),
    ),
    "greta": Character(
        "A headmistress of sixty-eight, strict about puddings",
        Identity(
            head_width=0.88, skull_height=0.95, face_length=1.2, face_width=0.94, cheekbones=1.6, cheeks=0.4,
            jaw_width=0.78, chin_size=0.75, chin_length=1.1, chin_forward=0.3, brow_ridge=0.2, eye_size=1.24,
            eye_height=1.05, eye_spacing=0.98, eye_tilt=5, iris_size=1.3, lashes=0.6, nose_length=1.15, nose_width=0.9,
            nose_depth=1.3, nose_tip=1.1, nose_bridge=0.8, mouth_width=0.86, upper_lip=0.8, lower_lip=0.9, ear_size=1.0,
            brow_thickness=1.0, brow_arch=1.1, brow_height=0.5, neck_width=0.62, blush=0.5, wrinkles=1.4, motion=1.1,
            skin="#efcfbb", lips="#b23a48", iris="#5d7d9a", hair="#b4b6c0", brows="#6d6c74", shirt="#2f4858",
            glasses="round", frame="#8c2f39", hair_style="bun",
        ),
        Camera(field=27.0, centre=(0.0, -1.3)),
    ),
    "finn": Character(
        "A boy of fourteen who grew a foot this year",
        Identity(
            head_width=0.92, skull_height=0.92, face_length=1.05, face_width=0.9, cheekbones=0.6, cheeks=0.6,
            jaw_width=0.84, chin_size=0.85, chin_length=0.95, brow_ridge=0.1, eye_size=1.44, eye_height=1.12,
            eye_tilt=-1, iris_size=1.25, pupil_size=1.15, lashes=0.2, nose_length=1.05, nose_width=1.0, nose_depth=1.3,
            nose_tip=1.4, nose_turn=0.3, nose_bridge=0.8, mouth_width=1.08, upper_lip=0.8, lower_lip=0.9, ear_size=1.25,
            ear_angle=52, brow_thickness=1.4, brow_arch=0.4, brow_height=0.3, neck_width=0.62, blush=0.6, wrinkles=0.4,
            hair_volume=0.85, eye_depth=-0.6, motion=1.2, skin="#f7d3ba", lips="#cc7a72", iris="#4d86b8",
            hair="#e0b455", brows="#a87a2c", shirt="#3d7f86", hair_style="spiky",
        ),
        Camera(field=26.0, centre=(0.0, 0.4)),
    ),
    "ravi": Character(
        "A baker of thirty, up before the birds",
        Identity(
            head_width=1.08, head_depth=1.02, skull_height=0.86, face_length=0.98, face_width=1.25, cheekbones=0.7,
            cheeks=2.0, jaw_width=1.15, chin_size=1.0, chin_length=0.9, brow_ridge=0.2, eye_size=1.4, eye_height=1.1,
            eye_spacing=1.0, eye_tilt=1, iris_size=1.35, pupil_size=1.2, lashes=0.6, nose_length=0.98, nose_width=1.15,
            nose_depth=1.1, nose_tip=1.4, nose_bridge=1.0, mouth_width=0.98, upper_lip=0.9, lower_lip=1.1,
            brow_thickness=1.8, brow_arch=0.6, brow_length=1.1, brow_height=0.2, neck_width=1.1, blush=0.4, stubble=0.3,
            wrinkles=0.6, hair_volume=1.25, ear_size=1.15, ear_angle=38, motion=1.2, skin="#ba845a", lips="#a9564f",
            iris="#5f3b20", hair="#221a1c", brows="#1a1214", shirt="#d3c7a6", hair_style="quiff",
        ),
        Camera(field=22.0, centre=(0.0, -0.5)),
    ),
}
# fmt: on
