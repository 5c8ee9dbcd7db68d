"""Choosing layers and inserting splits, held against the rules of Caffe's net.cpp and insert_splits.cpp."""

from collections import Counter

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe.graph import filter_net, insert_splits
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def net(text):
    return text_format.Parse(text, pb.NetParameter())


def layer(name, bottoms=(), tops=(), more=""):
    bottoms, tops = (
        " ".join(f'{kind}: "{blob}"' for blob in blobs) for kind, blobs in (("bottom", bottoms), ("top", tops))
    )
    return f'layer {{ name: "{name}" type: "T" {bottoms} {tops} {more} }}\n'


def flows(param):
    return [(item.name, list(item.bottom), list(item.top)) for item in param.layer]


def test_a_blob_used_twice_passes_through_a_split_with_caffes_names():
    # SplitLayerName: blob_layer_index_split; SplitBlobName adds _use
    got = insert_splits(net(layer("d", [], ["x", "y"]) + layer("a", ["y"], ["a"]) + layer("b", ["y", "x"], ["b"])))
    assert flows(got) == [
        ("d", [], ["x", "y"]),
        ("y_d_1_split", ["y"], ["y_d_1_split_0", "y_d_1_split_1"]),
        ("a", ["y_d_1_split_0"], ["a"]),
        ("b", ["y_d_1_split_1", "x"], ["b"]),
    ]
    assert got.layer[1].type == "Split"


def test_an_in_place_layer_makes_a_new_version_of_the_blob():
    text = layer("d", [], ["x"]) + layer("r", ["x"], ["x"]) + layer("a", ["x"], ["a"]) + layer("b", ["x"], ["b"])
    assert flows(insert_splits(net(text))) == [
        ("d", [], ["x"]),
        ("r", ["x"], ["x"]),
        ("x_r_0_split", ["x"], ["x_r_0_split_0", "x_r_0_split_1"]),
        ("a", ["x_r_0_split_0"], ["a"]),
        ("b", ["x_r_0_split_1"], ["b"]),
    ]


def test_one_layer_that_uses_a_blob_twice_gets_two_copies():
    got = insert_splits(net(layer("d", [], ["x"]) + layer("a", ["x", "x"], ["a"])))
    assert list(got.layer[2].bottom) == ["x_d_0_split_0", "x_d_0_split_1"]


def test_a_loss_weight_is_the_first_use():
    # insert_splits.cpp: a loss weight counts as one more use of a top
    got = insert_splits(net(layer("d", [], ["x"], "loss_weight: 3") + layer("a", ["x"], ["a"])))
    assert list(got.layer[1].loss_weight) == [3, 0] and not any(got.layer[0].loss_weight)
    assert list(got.layer[2].bottom) == ["x_d_0_split_1"]


def test_a_loss_alone_needs_no_split():
    param = net(layer("d", [], ["x"], "loss_weight: 3"))
    assert insert_splits(param) == param


def test_only_the_top_with_a_loss_among_several_hands_it_to_its_split():
    text = layer("d", [], ["x", "y"], "loss_weight: 3 loss_weight: 4") + layer("a", ["y"], ["a"])
    got = insert_splits(net(text))
    assert list(got.layer[0].loss_weight) == [3, 0] and list(got.layer[1].loss_weight) == [4, 0]


def test_a_bottom_that_nobody_makes():
    with pytest.raises(UserError, match="layer 'a' reads the bottom 'x', which no layer before it makes"):
        insert_splits(net(layer("a", ["x"], ["a"])))


BLOBS = st.sampled_from("pqrs")


@st.composite
def graphs(draw):
    """Draw chains of layers over few blob names: reuse, in-place layers and loss weights are all frequent."""
    made = ["p"]
    text = layer("in", [], ["p"])
    for number in range(draw(st.integers(0, 8))):
        bottoms = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3))
        tops = draw(st.lists(BLOBS, min_size=1, max_size=2, unique=True))
        weights = draw(st.lists(st.sampled_from([0, 1, 2]), min_size=len(tops), max_size=len(tops)) | st.just([]))
        text += layer(f"l{number}", bottoms, tops, " ".join(f"loss_weight: {weight}" for weight in weights))
        made += tops
    return net(text)


def sources(param):
    """Return for every bottom the (layer, top) that last made its name, looking through splits; and its direct one."""
    direct, origin, producer = {}, {}, {}
    for item in param.layer:
        for k, name in enumerate(item.bottom):
            direct[item.name, k] = producer[name]
            origin[item.name, k] = producer[name]
            if producer[name][0].endswith("_split"):
                origin[item.name, k] = direct[producer[name][0], 0]
        for k, name in enumerate(item.top):
            producer[name] = (item.name, k)
    return direct, origin


@given(graphs())
def test_after_splitting_nothing_is_used_twice_and_every_layer_reads_what_it_read_before(param):
    got = insert_splits(param)
    direct, origin = sources(got)
    uses = Counter(direct.values())
    for item in got.layer:
        for k, weight in enumerate(item.loss_weight):
            uses[item.name, k] += weight != 0
    assert max(uses.values(), default=0) <= 1
    wanted, _ = sources(param)
    assert {key: value for key, value in origin.items() if not key[0].endswith("_split")} == wanted
    total = sum(sum(item.loss_weight) for item in param.layer)
    assert sum(sum(item.loss_weight) for item in got.layer) == total


@given(graphs())
def test_splitting_changes_no_more_than_it_must(param):
    before = param.SerializeToString()
    got = insert_splits(param)
    assert param.SerializeToString() == before
    assert [item.name for item in got.layer if item.type != "Split"] == [item.name for item in param.layer]
    assert insert_splits(got) == got


@pytest.mark.parametrize("rule", ["include { phase: TEST } exclude { phase: TRAIN }", "include { } exclude { }"])
def test_a_layer_with_both_kinds_of_rules(rule):
    with pytest.raises(UserError, match="layer 'a' has include and exclude rules; keep the one kind or the other"):
        filter_net(net(layer("a", more=rule)), pb.NetState())


@pytest.mark.parametrize(
    ("rule", "state", "kept"),
    [
        ("include { }", "", True),
        ("exclude { }", "", False),
        ("include { min_level: 1 max_level: 2 }", "level: 0", False),
        ("include { min_level: 1 max_level: 2 }", "level: 1", True),
        ("include { min_level: 1 max_level: 2 }", "level: 2", True),
        ("include { min_level: 1 max_level: 2 }", "level: 3", False),
        ("include { phase: TRAIN }", "", False),  # a state's phase is TEST unless told
        ('include { stage: "a" not_stage: "b" }', 'stage: "a"', True),
        ('include { stage: "a" not_stage: "b" }', 'stage: "a" stage: "b"', False),
        ('exclude { stage: "a" } exclude { stage: "b" }', 'stage: "b"', False),
        ('exclude { stage: "a" } exclude { stage: "b" }', 'stage: "c"', True),
        ('exclude { stage: "a" phase: TRAIN }', 'stage: "a"', True),
    ],
)
def test_rules_of_net_state(rule, state, kept):
    # Net::StateMeetsRule; a layer is in if no exclude rule is met, or any include rule
    got = filter_net(net("name: 'n'" + layer("a", more=rule)), text_format.Parse(state, pb.NetState()))
    assert len(got.layer) == kept and got.name == "n"
