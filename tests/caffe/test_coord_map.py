"""Coordinate maps against the geometry that they describe: where a pixel's receptive field is centred."""

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe import layers as L
from pydeepexpr.caffe import params as P
from pydeepexpr.caffe.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    conv_params,
    coord_map,
    coord_map_from_to,
    crop,
    crop_params,
    inverse,
)
from pydeepexpr.errors import UserError


def hourglass(kernel=3, stride=1, pad=0, pool=2, up=2, up_pad=0, dims=2):
    """Convolution, pooling, and a deconvolution of twice its stride as kernel, over an image."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 1, *[100] * dims]})
    n.aux = L.Input(shape={"dim": [2, 1, 20, 20]})
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=kernel, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool, pad=0)
    n.up = L.Deconvolution(n.pool, num_output=10, kernel_size=2 * up, stride=up, pad=up_pad)
    return n


def assert_map(got, axis, scale, shift):
    assert got[0] == axis
    np.testing.assert_array_equal(np.broadcast_to(got[1], np.shape(scale)), scale)
    np.testing.assert_array_equal(np.broadcast_to(got[2], np.shape(shift)), shift)


def test_maps_of_single_layers():
    data = L.Input()

    def of(top):
        return coord_map(top.fn)

    # y = (x + pad − (k − 1)/2) / stride: the centre of the window that begins at stride · y − pad
    assert_map(of(L.Convolution(data, kernel_size=5, stride=2, pad=1)), 1, [0.5], [-0.5])
    assert_map(of(L.Convolution(data, kernel_size=3, dilation=4)), 1, [1], [-4])
    assert_map(of(L.Pooling(data, kernel_size=3, stride=2)), 1, [0.5], [-0.5])
    assert_map(of(L.Im2col(data, convolution_param={"kernel_size": 3, "pad": 1})), 1, [1], [0])
    assert_map(of(L.Deconvolution(data, convolution_param={"kernel_size": [4], "stride": 2, "pad": 1})), 1, [2], [0.5])
    assert_map(of(L.Crop(data, data, axis=2, offset=[3, 4])), 1, 1, [-3, -4])
    assert_map(of(L.Crop(data, data, crop_param={"axis": 3, "offset": 5})), 2, 1, [-5])
    for kind in ("ReLU", "Dropout", "LRN", "Eltwise", "Scale"):
        assert_map(of(getattr(L, kind)(data)), None, 1, 0)
    with pytest.raises(UndefinedMapException, match="InnerProduct maps no coordinates"):
        of(L.InnerProduct(data))


def test_parameters_of_single_layers():
    # a kernel of 3 with dilation 4 reaches over 9 pixels
    data = L.Input()
    dilated = L.Convolution(data, convolution_param={"kernel_size": 3, "dilation": 4, "stride": [1, 2], "axis": 2})
    for top, wanted in (
        (dilated, (2, [1, 2], [9], [0])),
        (L.Pooling(data, kernel_size=[2, 3], pad=1), (1, [1], [2, 3], [1])),
    ):
        axis, *rest = conv_params(top.fn)
        assert (axis, *(part.tolist() for part in rest)) == wanted
    assert crop_params(L.Crop(data, data, crop_param={"axis": 1, "offset": [3, 4]}).fn)[1].tolist() == [3, 4]
    assert crop_params(L.Crop(data, data).fn) == (2, [0])


def test_composition_and_inverse():
    down, shift = (1, np.array([0.5]), np.array([3.0])), (None, 1, np.array([2.0]))
    assert_map(compose(down, shift), 1, [0.5], [4])
    assert_map(compose(shift, down), 1, [0.5], [5])
    assert_map(compose(down, inverse(down)), 1, [1], [0])
    with pytest.raises(AxisMismatchException, match="the maps begin at the axes 1 and 2"):
        compose(down, (2, 1, 0))


def test_down_and_up_again_leave_pixels_where_they_were():
    n = hourglass()
    assert_map(coord_map_from_to(n.up, n.data), 1, [1], [0])
    assert_map(coord_map_from_to(n.data, n.up), 1, [1], [0])


def test_layers_that_pass_through_change_nothing():
    n = hourglass()
    n.relu = L.ReLU(n.up)
    n.same = L.Convolution(n.relu, num_output=1, kernel_size=1)
    for top in (n.relu, n.same):
        assert_map(coord_map_from_to(top, n.data), 1, [1], [0])


@pytest.mark.parametrize(("pad", "up_pad", "shift"), [(10, 0, -10), (0, 10, 10), (10, 10, 0)])
def test_padding_shifts(pad, up_pad, shift):
    n = hourglass(pad=pad, up_pad=up_pad)
    assert_map(coord_map_from_to(n.up, n.data), 1, [1], [shift])


def test_several_bottoms_are_mapped_alike():
    n = hourglass()
    n.left, n.right = L.Convolution(n.data, n.aux, ntop=2, num_output=10, kernel_size=5, stride=2)
    left, right = coord_map_from_to(n.left, n.data), coord_map_from_to(n.right, n.aux)
    assert_map(left, *right)


def test_each_spatial_axis_has_its_own_map():
    square, other = hourglass(), hourglass(kernel=5, stride=2, pad=10)
    both = hourglass(kernel=[3, 5], stride=[1, 2], pad=[0, 10])
    maps = [coord_map_from_to(n.up, n.data) for n in (square, other, both)]
    assert_map(maps[2], 1, [maps[0][1][0], maps[1][1][0]], [maps[0][2][0], maps[1][2][0]])
    n = hourglass(kernel=[3, 3, 3], stride=[1, 1, 1], pad=[0, 1, 2], dims=3)
    assert_map(coord_map_from_to(n.up, n.data), 1, [1, 1, 1], [0, -1, -2])


def test_through_a_crop():
    n = hourglass()
    n.crop = L.Crop(n.up, n.data, axis=2, offset=2)
    assert_map(coord_map_from_to(n.crop, n.data), 1, [1], [2])


def test_crop_makes_the_layer_that_lines_blobs_up():
    # The hourglass over an image padded by 30: the top begins 30 pixels before the image
    n = hourglass(pad=30)
    n.cut = crop(n.up, n.data)
    layer = n.cut.fn
    assert (layer.type_name, layer.inputs) == ("Crop", (n.up, n.data))
    assert layer.params == {"crop_param": {"axis": 2, "offset": [30]}}


def test_what_crop_cuts_is_what_lies_on_the_image():
    # Deltas through identity kernels: after the crop each pixel is where it was
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 9, 9]})
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=3, pad=4, weight_filler={"value": 0})
    n.cut = crop(n.conv, n.data)
    net = caffe.Net(n.to_proto(), caffe.TEST)
    net.params["conv"][0].data[0, 0, 1, 1] = 1
    image = np.random.default_rng(0).normal(size=(1, 1, 9, 9)).astype(np.float32)
    np.testing.assert_array_equal(net.forward(data=image)["cut"], image)


@pytest.mark.parametrize(
    ("build", "kind", "said"),
    [
        (lambda: hourglass(pool=3, up=2), AssertionError, "the scales of the two blobs differ"),
        (lambda: hourglass(up_pad=10), AssertionError, "offset .* is negative"),
        (lambda: hourglass(kernel=4, pad=30), AssertionError, "no whole number of pixels"),
    ],
)
def test_crops_that_cannot_be(build, kind, said):
    n = build()
    with pytest.raises(kind, match=said) as error:
        crop(n.up, n.data)
    assert isinstance(error.value, UserError)


def test_blobs_that_nothing_connects():
    n = hourglass()
    n.ip = L.InnerProduct(n.up, num_output=10)
    for top in (n.ip, n.aux):
        with pytest.raises(RuntimeError, match="no map between the two blobs"):
            coord_map_from_to(top, n.data)


def test_height_and_width_apart_have_no_map():
    with pytest.raises(AssertionError, match="Convolution gives kernel_h, kernel_w; give kernel_size"):
        coord_map(L.Convolution(L.Input(), kernel_h=3, kernel_w=1).fn)
    with pytest.raises(ValueError, match="Pooling has no kernel_size"):
        coord_map(L.Pooling(L.Input(), global_pooling=True).fn)


def test_many_paths_take_no_time():
    # 60 layers with two inputs each: 2⁶⁰ paths, 61 blobs
    top = data = L.Input()
    for _ in range(60):
        top = L.Eltwise(L.ReLU(top), L.Convolution(top, kernel_size=3, pad=1))
    assert_map(coord_map_from_to(top, data), 1, [1], [0])
