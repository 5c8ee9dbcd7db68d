"""Datums and BlobProtos, made by OpenCV and protobuf."""

import cv2
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pydeepexpr.caffe.datum import array_to_blobproto, blobproto_to_array, datum_to_image, floats_to_datum, read_mean
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)


def raw(**changes):
    fields = {"channels": 3, "height": 5, "width": 4, "data": IMAGE.transpose(2, 0, 1).tobytes()} | changes
    return pb.Datum(**fields)


def encoded(image, extension=".png"):
    return pb.Datum(encoded=True, data=cv2.imencode(extension, image)[1].tobytes())


def test_raw_and_encoded_pixels_are_the_same():
    for datum in (raw(), encoded(IMAGE)):
        image = datum_to_image(datum)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, IMAGE)


def test_floats():
    values = np.linspace(-1, 1, 60, dtype=np.float32)
    image = datum_to_image(raw(data=b"", float_data=values))
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image.transpose(2, 0, 1).ravel(), values)


@pytest.mark.parametrize("shape", [(512,), (4, 3), (2, 3, 4)])
def test_floats_survive_a_datum_as_protobuf_itself_writes_it(shape):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    datum = pb.Datum.FromString(floats_to_datum(values, 6))
    assert (datum.channels, datum.height, datum.width, datum.label) == (*(*shape, 1, 1)[:3], 6)
    expected = pb.Datum(channels=datum.channels, height=datum.height, width=datum.width, label=6)
    expected.float_data.extend(values.ravel().tolist())
    assert datum == expected and datum.SerializeToString() == expected.SerializeToString()
    np.testing.assert_array_equal(datum_to_image(datum).transpose(2, 0, 1).ravel(), values.ravel())


def test_grey_images_have_one_channel_unless_colour_is_forced():
    grey = IMAGE[:, :, 0].copy()
    np.testing.assert_array_equal(datum_to_image(encoded(grey))[:, :, 0], grey)
    assert datum_to_image(encoded(grey)).shape == (5, 4, 1)
    np.testing.assert_array_equal(datum_to_image(encoded(grey), cv2.IMREAD_COLOR), np.repeat(grey[:, :, None], 3, 2))
    forced = datum_to_image(encoded(IMAGE), cv2.IMREAD_GRAYSCALE)[:, :, 0].astype(int)
    assert np.abs(forced - cv2.cvtColor(IMAGE, cv2.COLOR_BGR2GRAY)).max() <= 1  # the PNG decoder rounds otherwise


def test_jpeg_is_what_opencv_decodes():
    datum = encoded(IMAGE, ".jpg")
    np.testing.assert_array_equal(datum_to_image(datum), cv2.imdecode(np.frombuffer(datum.data, np.uint8), -1))


@pytest.mark.parametrize(
    ("datum", "said"),
    [
        (raw(height=6), r"a Datum holds 60 values but says \(3, 6, 4\); build the LMDB again"),
        (raw(data=b""), r"a Datum holds 0 values but says \(3, 5, 4\)"),
        (raw(data=IMAGE.tobytes()[:-1]), "a Datum holds 59 values"),
        (raw(data=b"", float_data=[1, 2]), "a Datum holds 2 values"),
        (pb.Datum(data=b"abc"), r"a Datum holds 3 values but says \(0, 0, 0\)"),
        (pb.Datum(), r"a Datum holds 0 values but says \(0, 0, 0\)"),
        (raw(height=-5, width=-4), r"a Datum holds 60 values but says \(3, -5, -4\)"),
        (raw(data=b"", channels=1 << 30, height=1 << 30, width=16), "a Datum holds 0 values"),  # 2⁶⁴ is no 0
        (
            encoded(IMAGE.astype(np.uint16) * 256),
            "an encoded Datum is an image of uint16 pixels; make",
        ),
        (encoded(IMAGE.astype(np.float32), ".tiff"), "an encoded Datum is an image of float32 pixels"),
        (pb.Datum(encoded=True), "an encoded Datum does not decode as an image"),
        (pb.Datum(encoded=True, data=b"\x89PNG no"), "an encoded Datum does not decode as an image"),
        (pb.Datum(encoded=True, data=encoded(IMAGE).data[:40]), "an encoded Datum does not decode as an image"),
    ],
)
def test_damaged_datums(datum, said):
    with pytest.raises(UserError, match=said):
        datum_to_image(datum)


def floats():
    return raw(data=b"", float_data=np.linspace(-1, 1, 60, dtype=np.float32))


SOUND = [raw(), encoded(IMAGE), encoded(IMAGE, ".jpg"), encoded(IMAGE[:, :, 0]), floats()]


@settings(max_examples=300)
@given(st.sampled_from(SOUND), st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=6), st.data())
def test_damage_is_an_error_or_an_image(datum, changes, data):
    content = bytearray(datum.SerializeToString())
    for place, byte in changes:
        content[place % len(content)] = byte
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    flag = data.draw(st.sampled_from([cv2.IMREAD_UNCHANGED, cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE]))
    try:
        image = datum_to_image(pb.Datum.FromString(bytes(content)), flag)
    except (UserError, DecodeError) as error:  # the readers turn protobuf's error into one that names the record
        assert isinstance(error, DecodeError) or "\n" not in str(error)
    else:
        assert image.ndim == 3 and image.size and image.dtype in (np.uint8, np.float32)


SHAPES = hnp.array_shapes(min_dims=0, max_dims=5, min_side=1, max_side=4)


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_an_array_survives_a_blobproto_bit_for_bit(array):
    proto = pb.BlobProto.FromString(array_to_blobproto(array, -array).SerializeToString())
    assert tuple(proto.shape.dim) == array.shape
    assert blobproto_to_array(proto).tobytes() == array.tobytes()
    assert blobproto_to_array(proto).shape == array.shape
    assert blobproto_to_array(proto, diff=True).tobytes() == (-array).tobytes()


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_the_bytes_are_those_that_protobuf_writes(array):
    wanted = pb.BlobProto(data=array.ravel())
    wanted.shape.dim.extend(array.shape)
    assert array_to_blobproto(array).SerializeToString() == wanted.SerializeToString()


def test_arrays_of_other_types_and_orders():
    array = np.arange(6, dtype=np.float64).reshape(2, 3).T
    np.testing.assert_array_equal(blobproto_to_array(array_to_blobproto(array)), array)


def test_a_large_array_has_a_length_of_several_bytes():
    array = np.arange(100_000, dtype=np.float32)
    np.testing.assert_array_equal(array_to_blobproto(array).data, array)


def test_old_and_scalar_shapes():
    assert blobproto_to_array(pb.BlobProto(num=1, channels=2, height=3, width=1, data=range(6))).shape == (1, 2, 3, 1)
    # Blob::ToProto of a blob without axes writes no shape
    assert blobproto_to_array(pb.BlobProto(data=[5])).shape == ()


def test_a_mean_file(tmp_path):
    mean = np.random.default_rng(1).random((3, 5, 4)).astype(np.float32)
    path = tmp_path / "mean.binaryproto"
    for proto in (array_to_blobproto(mean), pb.BlobProto(num=1, channels=3, height=5, width=4, data=mean.ravel())):
        path.write_bytes(proto.SerializeToString())
        np.testing.assert_array_equal(read_mean(path), mean)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the mean file"),
        (b"\xff\xff", "is truncated or no BlobProto file"),
        (pb.BlobProto(num=1, channels=3, height=5, width=4, data=[1]).SerializeToString(), "but holds 1 values"),
        (array_to_blobproto(np.ones((3, 5), np.float32)).SerializeToString(), r"is \(3, 5\), no single C×H×W image"),
        (array_to_blobproto(np.ones((2, 3, 5, 4))).SerializeToString(), r"is \(2, 3, 5, 4\), no single C×H×W image"),
        (b"", "holds 0 values"),
    ],
)
def test_mean_files_that_are_none(tmp_path, content, said):
    path = tmp_path / "mean.binaryproto"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_mean(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
