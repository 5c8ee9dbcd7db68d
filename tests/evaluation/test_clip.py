"""Human and characters side by side."""

from types import SimpleNamespace

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.clip import ClipDrawer, write_clip
from pydeepexpr.performance import Answer, Moment
from pydeepexpr.video import Frame, read_video

COLOURS = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255)}


def gallery(colour):
    return SimpleNamespace(face=lambda row: np.full((256, 256, 3), colour, np.uint8) if row >= 0 else None)


def answer(number=0, row=5, stand_in=False, box=(20, 10, 60, 50)):
    query = SimpleNamespace(
        number=number, predicted=3, prob=np.full(7, 1 / 7), stand_in=stand_in, box=np.array(box, float)
    )
    match = SimpleNamespace(row=row, predicted=0, source="x/joy_1.png", key="k")
    return Answer(query, {name: [match] for name in COLOURS})


def moment(*answers, shape=(120, 160)):
    return Moment(Frame(0, 0.0, np.full((*shape, 3), (0, 255, 255), np.uint8)), list(answers))


def share(picture, colour):
    return (np.abs(picture.astype(int) - colour).sum(axis=2) < 8).mean() * picture.shape[1] * picture.shape[0]


def test_the_frame_stands_left_of_each_characters_picture():
    picture = ClipDrawer({name: gallery(colour) for name, colour in COLOURS.items()}).draw(moment(answer()))
    assert picture.shape[0] == 480 and picture.shape[1] % 2 == 0
    places = {name: np.nonzero((picture == colour).all(axis=2)) for name, colour in COLOURS.items()}
    human = np.nonzero((picture == (0, 255, 255)).all(axis=2))
    assert all(columns.min() > human[1].max() for _, columns in places.values())
    rows = {name: ys.mean() for name, (ys, _) in places.items()}
    assert rows["a"] == rows["b"] < 240 < rows["c"]  # three characters: two rows of two
    assert places["a"][1].max() < places["b"][1].min() and places["a"][1].min() == places["c"][1].min()
    assert share(picture, COLOURS["a"]) == share(picture, COLOURS["c"]) > 200 * 200


@pytest.fixture
def drawer():
    return ClipDrawer({"a": gallery(COLOURS["a"])})


def test_the_face_is_framed_where_it_is(drawer):
    framed, bare = drawer.draw(moment(answer())), drawer.draw(moment(answer(stand_in=True)))
    rows, columns = np.nonzero((framed != bare).any(axis=2))
    scale = (480 - 26) / 120
    for found, expected in ((columns, (20, 60)), (rows, (10, 50))):
        np.testing.assert_allclose([found.min(), found.max()], np.array(expected) * scale, atol=2)


def test_without_a_face_no_character_shows(drawer):
    picture = drawer.draw(moment())
    assert share(picture, COLOURS["a"]) == 0 and picture.shape == drawer.draw(moment(answer())).shape


@pytest.mark.parametrize("missing", [None, SimpleNamespace(face=lambda row: None)])
def test_where_a_picture_is_missing_a_card_is_drawn(missing):
    cards = ClipDrawer({"a": missing}).draw(moment(answer()))
    empty = ClipDrawer({"a": missing}).draw(moment())
    assert share(cards, (255, 255, 255)) > 20 and cards.shape == empty.shape


def test_several_faces_have_a_row_each_and_too_many_are_left_out():
    drawer = ClipDrawer({"a": gallery(COLOURS["a"])}, slots=2)
    areas = [
        share(drawer.draw(moment(*(answer(number) for number in range(count)))), COLOURS["a"]) for count in range(4)
    ]
    assert areas[0] == 0 < areas[1] and areas[2] == areas[3] == 2 * areas[1]


@pytest.mark.parametrize("shape", [(120, 160), (161, 91), (91, 161), (40, 4000), (1000, 20), (1080, 1920)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_pictures_are_even_whatever_the_frames_shape(shape, count):
    drawer = ClipDrawer({name: gallery(COLOURS[name]) for name in list(COLOURS)[:count]})
    height, width = drawer.draw(moment(answer(), shape=shape)).shape[:2]
    assert height == 480 and width % 2 == 0


def test_faces_that_reach_beyond_the_frame_and_long_names(tmp_path):
    drawer = ClipDrawer({"a" * 200: gallery(COLOURS["a"])}, slots=3)
    far = answer(box=(-500, -300, 900, 700))
    far.matches["a" * 200] = far.matches["a"]
    assert drawer.draw(moment(far)).shape[0] == 480


def test_the_clip_keeps_the_times_of_its_frames(drawer, tmp_path):
    times = [0.0, 0.04, 0.2]
    with write_clip(tmp_path / "c.mp4", {"a": gallery(COLOURS["a"])}) as append:
        for number, time in enumerate(times):
            append(Moment(moment().frame._replace(number=number, time=time), [answer()] * (number > 0)))
    frames = list(read_video(tmp_path / "c.mp4"))
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-4)
    blue = [frame.image[200, -200].astype(int) for frame in frames]
    assert np.abs(blue[0] - (46, 46, 46)).max() < 12 and np.abs(blue[1] - COLOURS["a"]).max() < 30


def test_a_clip_is_a_video(tmp_path):
    with pytest.raises(UserError, match=r"cannot write the clip .*c\.gif; end the name in \.mp4"):
        write_clip(tmp_path / "c.gif", {}).__enter__()
