import dataclasses
import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.rig.camera import Camera
from pydeepexpr.rig.colour import LINEAR, decode
from pydeepexpr.rig.kernels import vertex_normals
from pydeepexpr.rig.lights import STUDIO, Light, Lights
from pydeepexpr.rig.mesh import Mesh, join
from pydeepexpr.rig.rasteriser import Frame, over, render, visible

#: A focal length of `size` pixels at 64 cm: at z = 0 and size 64, a centimetre is a pixel.
CAMERA = Camera(distance=64.0, field=math.degrees(2 * math.atan(0.5)), centre=(0.0, 0.0))
#: Matt surfaces show their colours, wherever they turn.
EVEN = Lights((), sky=(1.0, 1.0, 1.0), ground=(1.0, 1.0, 1.0))
WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


def rectangle(left, right, bottom, top, z=0.0, colour=WHITE, gloss=0.0):
    """A rectangle that faces the camera; `z` may be a function of x."""
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    height = z if callable(z) else lambda x: z
    vertices = np.array([(x, y, height(x)) for x, y in corners], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(vertices, triangles, np.tile(np.float32(colour), (4, 1)), np.full(4, gloss, np.float32))


def ball(radius=16.0, rings=96, centre=(0.0, 0.0, 0.0), colour=WHITE, gloss=0.0):
    polar, around = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.arange(2 * rings) * np.pi / rings, indexing="ij")
    vertices = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), -np.sin(polar) * np.sin(around)], axis=-1)
    row, column = np.indices((rings, 2 * rings))
    a, b = row * 2 * rings + column, row * 2 * rings + (column + 1) % (2 * rings)
    c, d = a + 2 * rings, b + 2 * rings
    triangles = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3).astype(np.int32)
    vertices = (vertices.reshape(-1, 3) * radius + centre).astype(np.float32)
    count = len(vertices)
    return Mesh(vertices, triangles, np.tile(np.float32(colour), (count, 1)), np.full(count, gloss, np.float32))


def seen_on_ball(size, radius=16.0):
    """Return depth and normal of `ball` in every pixel of `CAMERA`, by intersecting the rays with the sphere."""
    x = (np.arange(size) - 0.5 * (size - 1)) / CAMERA.focal_length(size)
    ray = np.stack([*np.meshgrid(x, -x), -np.ones((size, size))], axis=-1)  # of depth 1
    square, along = (ray**2).sum(-1), CAMERA.distance * ray[..., 2]
    root = along**2 - square * (CAMERA.distance**2 - radius**2)
    with np.errstate(invalid="ignore"):
        depth = (-along - np.sqrt(root)) / square
    return depth, (ray * depth[..., None] + [0, 0, CAMERA.distance]) / radius


def brightness(frame):
    return decode(frame.rgba[..., 0])


# Coverage


def test_silhouette_of_a_ball():
    """The cone of tangents from distance d meets the image in a circle of radius f·r / √(d² − r²)."""
    alpha = render(ball(), CAMERA, EVEN, size=128, samples=4).rgba[..., 3]
    radius = 128 * 16 / math.sqrt(64**2 - 16**2)
    assert alpha.sum() / 255 == pytest.approx(math.pi * radius**2, rel=2e-3)
    np.testing.assert_array_equal(alpha, alpha[:, ::-1])


@pytest.mark.parametrize(("samples", "share"), [(2, 128), (4, 128), (3, 85), (1, 0)])
def test_half_covered_pixels(samples, share):
    """The edge runs through the centres of column 40: a pixel's samples to the right of it are covered.

    Of three columns of samples the middle one lies on the edge; 0.01 cm takes it out.
    """
    edge = 40 - 31.5 + 0.01
    alpha = render(rectangle(edge, 20.0, -20.0, 20.0), CAMERA, EVEN, size=64, samples=samples).rgba[..., 3]
    np.testing.assert_array_equal(alpha[32, 38:43], [0, 0, share, 255, 255])


def test_colours_average_in_linear_light():
    mesh = join([rectangle(-10, 0.5, -10, 10, colour=BLACK), rectangle(0.5, 10, -10, 10, colour=WHITE)])
    rgba = render(mesh, CAMERA, EVEN, size=64).rgba
    np.testing.assert_array_equal(rgba[32, 31:34], [[0, 0, 0, 255], [188, 188, 188, 255], [255, 255, 255, 255]])


def test_edges_keep_their_colour():
    """Alpha is straight: a pixel's colour is that of its covered part alone."""
    rgba = render(rectangle(0.5, 10, -10, 10, colour=(0.5, 0.2, 1.0)), CAMERA, EVEN, size=64).rgba
    assert rgba[32, 32, 3] == 128
    np.testing.assert_array_equal(rgba[32, 32, :3], [188, 124, 255])
    np.testing.assert_array_equal(rgba[32, 10], 0)


def test_shared_edges_leave_no_gap():
    frame = render(ball(radius=60.0, rings=40, centre=(0, 0, -70)), CAMERA, EVEN, size=64, samples=3)
    np.testing.assert_array_equal(frame.rgba[20:44, 20:44], 255)


def test_the_nearer_surface_is_seen_in_any_order():
    near, far = rectangle(-5, 5, -5, 5, z=1.0, colour=WHITE), rectangle(-20, 20, -20, 20, z=0.0, colour=BLACK)
    frames = [render(join(order), CAMERA, EVEN, size=64) for order in ([near, far], [far, near])]
    np.testing.assert_array_equal(frames[0].rgba, frames[1].rgba)
    np.testing.assert_array_equal(frames[0].rgba[32, [15, 32]], [[0, 0, 0, 255], [255, 255, 255, 255]])
    np.testing.assert_allclose(frames[0].depth[32, [15, 32]], [64, 63], rtol=1e-6)


def test_surfaces_that_cross_are_parted_where_they_meet():
    white, black = (
        rectangle(-20, 20, -9, 9, z=lambda x: 0.5 * (x - 5), colour=WHITE),
        rectangle(-20, 20, -9, 9, z=lambda x: 0.5 * (5 - x), colour=BLACK),
    )
    row = render(join([white, black]), CAMERA, EVEN, size=64).rgba[32, :, 0]
    column = int(CAMERA.project([[5, 0, 0]], 64)[0, 0])
    assert (row[column - 4 : column].tolist(), row[column + 1 : column + 5].tolist()) == ([0] * 4, [255] * 4)


def test_backs_are_not_drawn():
    front = rectangle(-5, 5, -5, 5)
    back = dataclasses.replace(front, triangles=front.triangles[:, ::-1])
    assert render(front, CAMERA, EVEN, size=64).rgba[32, 32, 3] == 255
    assert not render(back, CAMERA, EVEN, size=64).rgba.any()


def test_surfaces_that_reach_beyond_the_image():
    frame = render(rectangle(-1e4, 1e4, -1e4, 1e4), CAMERA, EVEN, size=32)
    np.testing.assert_array_equal(frame.rgba, 255)
    assert not render(rectangle(40, 50, -5, 5), CAMERA, EVEN, size=32).rgba.any()


@pytest.mark.parametrize("z", [63.5, 64.0, 70.0])
def test_what_touches_or_lies_behind_the_camera_is_left_out(z):
    behind, seen = rectangle(-1, 1, -1, 1, z=z, colour=BLACK), rectangle(-5, 5, -5, 5)
    across = rectangle(-9, 9, -9, 9, z=lambda x: z if x < 0 else 0.0, colour=BLACK)
    alone = render(seen, CAMERA, EVEN, size=64)
    np.testing.assert_array_equal(render(join([behind, across, seen]), CAMERA, EVEN, size=64).rgba, alone.rgba)


def test_an_empty_mesh_is_an_empty_frame():
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.float32), np.zeros(0))
    frame = render(empty, CAMERA, size=8)
    assert frame.rgba.shape == (8, 8, 4)
    assert not frame.rgba.any()
    assert np.isinf(frame.depth).all()


# Surfaces and light


def test_depth_of_a_ball():
    frame = render(ball(), CAMERA, EVEN, size=65, samples=1)
    depth, normal = seen_on_ball(65)
    front = normal[..., 2] > 0.4  # NaN beside the ball
    assert front.sum() > 500
    np.testing.assert_allclose(frame.depth[front], depth[front], atol=0.02)
    assert np.isinf(frame.depth[0, 0])


def test_light_on_a_matt_ball():
    """Lambert: albedo · colour · cos(normal, lamp)."""
    towards = np.array([-0.6, 0.0, 0.8])
    frame = render(ball(colour=(0.5, 0.5, 0.5)), CAMERA, Lights((Light(tuple(3 * towards), WHITE),)), 65, 1)
    _, normal = seen_on_ball(65)
    front = normal[..., 2] > 0.2
    expected = 0.5 * np.maximum(0, normal[front] @ towards)
    assert (expected == 0).sum() > 20
    np.testing.assert_allclose(brightness(frame)[front], expected, atol=0.006)


def test_a_large_lamp_reaches_into_the_shade():
    lamp = Light((-1.0, 0.0, 0.0), WHITE, wrap=0.5)
    frame = render(ball(colour=(0.5, 0.5, 0.5)), CAMERA, Lights((lamp,)), 65, 1)
    _, normal = seen_on_ball(65)
    front = normal[..., 2] > 0.2
    expected = 0.5 * np.maximum(0, (0.5 - normal[front, 0]) / 1.5)
    np.testing.assert_allclose(brightness(frame)[front], expected, atol=0.006)


def test_soft_light_from_above_and_below():
    frame = render(ball(), CAMERA, Lights((), sky=(0.8, 0.8, 0.8), ground=(0.2, 0.2, 0.2)), 65, 1)
    _, normal = seen_on_ball(65)
    front = normal[..., 2] > 0.2
    np.testing.assert_allclose(brightness(frame)[front], 0.5 + 0.3 * normal[front, 1], atol=0.006)


def test_highlights_lie_where_the_normal_halves_lamp_and_camera():
    towards = np.array([0.6, 0.48, 0.64])
    frame = render(ball(colour=BLACK, gloss=1.0), CAMERA, Lights((Light(tuple(towards), WHITE),)), 129, 1)
    depth, normal = seen_on_ball(129)
    row, column = np.unravel_index(brightness(frame).argmax(), (129, 129))
    to_camera = np.array([0, 0, CAMERA.distance]) - 16 * normal[row, column]
    half = towards + to_camera / np.linalg.norm(to_camera)
    assert normal[row, column] @ half / np.linalg.norm(half) > math.cos(math.radians(2))
    assert depth[row, column] < 56


def test_gloss_tightens_highlights():
    lights = Lights((Light((0.0, 0.0, 1.0), WHITE),))
    matt, skin, wet = (
        brightness(render(ball(colour=BLACK, gloss=g), CAMERA, lights, 65, 1))[32] for g in (0.0, 0.4, 1.0)
    )
    assert not matt.any()
    assert wet[32] == pytest.approx(0.9, abs=0.01)  # the tight lobe's strength
    assert 0 < skin[32] < wet[32]
    assert (skin > 0.5 * skin.max()).sum() > (wet > 0.5 * wet.max()).sum() > 0


def test_bright_spots_are_cut_at_white_before_they_are_averaged():
    """Else one sample ten times as bright as white would bleach a whole edge."""
    mesh = join([rectangle(-10, 0.5, -10, 10, colour=BLACK), rectangle(0.5, 10, -10, 10, colour=(10.0, 10.0, 10.0))])
    assert render(mesh, CAMERA, EVEN, size=64).rgba[32, 32, 0] == 188


def test_colours_are_interpolated_in_perspective():
    """On a slope, the middle between two vertices does not appear in the middle between their pictures."""
    mesh = rectangle(-16, 16, -16, 16, z=lambda x: x)
    mesh = dataclasses.replace(mesh, colours=np.float32([WHITE if x > 0 else BLACK for x in mesh.vertices[:, 0]]))
    frame = render(mesh, CAMERA, EVEN, size=64, samples=1)
    slope = (np.arange(20, 45) - 31.5) / 64
    x = 64 * slope / (1 + slope)  # where the ray x = slope · (64 − z) meets z = x
    np.testing.assert_allclose(brightness(frame)[32, 20:45], (x + 16) / 32, atol=0.006)


def test_vertex_normals_are_weighted_by_area():
    """A corner of two upright triangles, one with twice the other's area."""
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, -1]], float)
    normals = vertex_normals(vertices, np.array([[0, 1, 2], [0, 2, 3]], np.uintp))
    np.testing.assert_allclose(normals[0], np.array([-1, 0, 2]) / math.sqrt(5))
    np.testing.assert_allclose(normals[[1, 3]], [[0, 0, 1], [-1, 0, 0]])


def test_degenerate_triangles_and_loose_vertices_do_no_harm():
    seen = rectangle(-5, 5, -5, 5)
    line = Mesh(np.float32([[0, 0, 9], [1, 0, 9], [2, 0, 9], [7, 7, 7]]), np.int32([[0, 1, 2], [1, 1, 1]]), *seen_of(4))
    np.testing.assert_array_equal(render(join([line, seen]), CAMERA, size=32).rgba, render(seen, CAMERA, size=32).rgba)


def seen_of(count):
    return np.ones((count, 3), np.float32), np.zeros(count, np.float32)


def test_hollows_darken_and_planes_and_balls_do_not():
    lights = dataclasses.replace(EVEN, occlusion=1.0)
    plane = brightness(render(rectangle(-40, 40, -40, 40), CAMERA, lights, 64, 1))
    np.testing.assert_array_equal(plane, 1)
    convex = render(ball(), CAMERA, lights, 64, 1)
    assert brightness(convex)[convex.rgba[..., 3] > 0].min() > 0.97
    fold = join([rectangle(-20, 0, -20, 20, z=lambda x: -x), rectangle(0, 20, -20, 20, z=lambda x: x)])
    across = brightness(render(fold, CAMERA, lights, 256, 1))[128]
    assert across[126:130].max() < 0.85
    assert across[90] == across[166] == 1
    assert brightness(render(fold, CAMERA, EVEN, 256, 1))[128, 128] == 1


def test_a_shadow_falls_away_from_the_lamp():
    """A square of 4 cm, 4 cm above a wall: light from the right, at a slope of 3 in 4, moves its shadow 3 cm left."""
    lamp = Light((0.6, 0.0, 0.8), WHITE, shadow=0.5)
    scene = join([rectangle(-2, 2, -2, 2, z=4.0, colour=BLACK), rectangle(-14, 14, -14, 14, colour=(0.8, 0.8, 0.8))])
    row = brightness(render(scene, CAMERA, Lights((lamp,)), 512, 1))[256]
    at = {x: row[round(CAMERA.project([[x, 0, 0]], 512)[0, 0])] for x in (-8.0, -6.0, -3.7, -3.0, -2.4, 2.4, 3.0, 8.0)}
    np.testing.assert_allclose([at[x] for x in (-8.0, -6.0, 2.4, 3.0, 8.0)], 0.64, atol=0.006)
    np.testing.assert_allclose([at[x] for x in (-3.7, -3.0, -2.4)], 0.32, atol=0.006)
    edge = CAMERA.project([[-5.0, 0, 0]], 512)[0, 0]
    soft = row[int(edge - 4) : int(edge + 8)]
    assert (np.diff(soft) <= 0).all()
    assert 0.32 < soft[4] < 0.64


def test_every_lamp_casts_its_own_shadow():
    """From the right 0.5 of white and a full shadow 3 cm to the left, from the left 0.3 and half a shadow; the third
    lamp casts none. The cosine of all is 0.8."""
    lamps = (
        Light((0.0, 0.6, 0.8), (0.1, 0.1, 0.1)),
        Light((0.6, 0.0, 0.8), (0.5, 0.5, 0.5), shadow=1.0),
        Light((-0.6, 0.0, 0.8), (0.3, 0.3, 0.3), shadow=0.5),
    )
    scene = join([rectangle(-1.5, 1.5, -6, 6, z=4.0, colour=BLACK), rectangle(-14, 14, -14, 14)])
    for order in (lamps, lamps[::-1], (lamps[1], lamps[0], lamps[2])):
        row = brightness(render(scene, CAMERA, Lights(order), 512, 1))[256]
        at = [row[round(CAMERA.project([[x, 0, 0]], 512)[0, 0])] for x in (-8.0, -3.0, 3.0, 8.0)]
        np.testing.assert_allclose(at, 0.8 * np.array([0.9, 0.4, 0.75, 0.9]), atol=0.01)


@pytest.mark.parametrize("towards", [(0.0, 0.0, 1.0), (-0.6, 0.0, 0.8), (0.0, 1.0, 0.0), (0.5, -0.7, 0.5)])
def test_nothing_stands_in_its_own_light(towards):
    with_shadow, without = (
        brightness(render(ball(), CAMERA, Lights((Light(towards, (0.8, 0.8, 0.8), shadow=s),)), 128, 1))
        for s in (1.0, 0.0)
    )
    np.testing.assert_allclose(with_shadow, without, atol=0.05)


# Frames


def test_visible():
    mesh = join([rectangle(-5, 5, -5, 5, z=2.0), rectangle(-40, 40, -40, 40, z=-4.0)])
    frame = render(mesh, CAMERA, size=64)
    points = [
        *([0, 0, 2], [0, 0, 9], [0, 0, 1.8], [0, 0, 1.6], [0, 0, -4]),  # on, before, just behind, behind, far behind
        *([20, 0, -4], [20, 0, -5], [33, 0, 0], [0, -33, 0], [0, 0, 63.5], [0, 0, 80]),
    ]
    expected = [True, True, True, False, False, True, False, False, False, False, False]
    assert visible(np.array(points, float), CAMERA, frame).tolist() == expected
    assert visible(np.array(points[3:5], float), CAMERA, frame, slack=0.5).tolist() == [True, False]


def test_points_beside_the_mesh_are_visible():
    frame = render(rectangle(-5, 5, -5, 5), CAMERA, size=64)
    assert visible([[20.0, 20, -50]], CAMERA, frame).tolist() == [True]


def test_over():
    rgba = np.zeros((1, 4, 4), np.uint8)
    rgba[0] = [[10, 20, 30, 255], [10, 20, 30, 0], [255, 255, 255, 128], [0, 0, 0, 128]]
    frame = Frame(rgba, np.zeros((1, 4), np.float32))
    half_white, half_black = 188, 187  # sRGB of 128/255 and of 127/255
    expected = [[30, 20, 10], [0, 0, 0], [half_white] * 3, [0, 0, 0]]
    np.testing.assert_array_equal(over(frame, (0, 0, 0))[0], expected)
    picture = np.tile(np.uint8([[[255, 0, 255]]]), (1, 4, 1))
    expected = [[30, 20, 10], [255, 0, 255], [255, half_white, 255], [half_black, 0, half_black]]
    np.testing.assert_array_equal(over(frame, picture)[0], expected)
    assert rgba[0, 1].tolist() == [10, 20, 30, 0]  # the frame is left as it is


def test_srgb_by_the_standard():
    """Values of IEC 61966-2-1: the line near black, and the power above it."""
    np.testing.assert_allclose(
        LINEAR[[0, 1, 10, 188, 255]], [0, 1 / 255 / 12.92, 10 / 255 / 12.92, 0.5029, 1], atol=1e-4
    )


def scene():
    lights = dataclasses.replace(STUDIO)
    mesh = join([ball(12, 24, colour=(0.6, 0.4, 0.3), gloss=0.3), ball(5, 12, (6, 3, 9), (0.9, 0.9, 0.9), 1.0)])
    return render(mesh, CAMERA, lights, size=24)


def digest(frame):
    return hashlib.sha256(frame.rgba.tobytes() + frame.depth.tobytes()).hexdigest()


def test_the_same_frame_in_every_process():
    code = f"import runpy; m = runpy.run_path({__file__!r}); print(m['digest'](m['scene']()))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == digest(scene()) == digest(scene())


def test_the_same_frame_without_the_compiler():
    """Nothing is reordered or contracted: Python's own arithmetic gives the same picture."""
    code = f"import runpy, sys; m = runpy.run_path({__file__!r}); sys.stdout.buffer.write(m['scene']().rgba.tobytes())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment).stdout
    interpreted = np.frombuffer(printed, np.uint8).reshape(24, 24, 4).astype(int)
    # Python takes a power by logarithms, the compiler by multiplication: a last bit, seldom a level, differs.
    assert np.abs(interpreted - scene().rgba).max() <= 1


# Mistakes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colours": np.ones((3, 3))}, "do not fit together"),
        ({"gloss": np.ones((4, 1))}, "do not fit together"),
        ({"triangles": np.zeros((2, 4), int)}, "do not fit together"),
        ({"triangles": np.array([[0, 1, 4]])}, "name vertices that it does not have; it has 4"),
        ({"triangles": np.array([[0, 1, -1]])}, "name vertices"),
        ({"vertices": np.full((4, 3), np.nan)}, "not finite"),
        ({"gloss": np.full(4, np.inf)}, "not finite"),
    ],
)
def test_bad_meshes(changes, message):
    with pytest.raises(UserError, match=message):
        render(dataclasses.replace(rectangle(-1, 1, -1, 1), **changes), CAMERA)


@pytest.mark.parametrize(
    ("size", "samples", "message"),
    [
        (0, 2, "size must lie between 1 and 4096, got 0"),
        (5000, 2, "size"),
        (64, 0, "samples must lie between 1 and 8, got 0"),
        (64, 9, "samples"),
    ],
)
def test_bad_sizes(size, samples, message):
    with pytest.raises(UserError, match=message):
        render(rectangle(-1, 1, -1, 1), CAMERA, size=size, samples=samples)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lights((), sky=(-1.0, 0, 0)), "colour"),
        (lambda: Lights((Light((1.0, 0, 0), (1.0, 1)),)), "colour"),
        (lambda: Lights((Light((0.0, 0, 0), WHITE),)), "direction"),
        (lambda: Lights((Light((0.0, 0, math.nan), WHITE),)), "direction"),
        (lambda: Lights((Light((0.0, 0, 1), WHITE, wrap=2.0),)), "wrap"),
        (lambda: Lights((Light((0.0, 0, 1), WHITE, shadow=-0.1),)), "shadow"),
        (lambda: Lights((), occlusion=-1.0), "occlusion"),
    ],
)
def test_bad_lights(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    "background", [np.zeros((2, 2, 3), np.uint8), (0, 0, 256), (0.5, 0.5, 0.5), np.zeros((1, 1, 3))]
)
def test_bad_backgrounds(background):
    frame = Frame(np.zeros((1, 1, 4), np.uint8), np.zeros((1, 1), np.float32))
    with pytest.raises(UserError, match="background must be a BGR colour"):
        over(frame, background)
