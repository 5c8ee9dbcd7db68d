"""What Caffe does to a network's description before it builds it: choose the layers, insert the splits."""

from collections import defaultdict

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["filter_net", "insert_splits"]


def _meets(state: pb.NetState, rule: pb.NetStateRule) -> bool:
    stages = set(state.stage)
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )


def filter_net(net: pb.NetParameter, state: pb.NetState) -> pb.NetParameter:
    """Return a copy with the layers that `state` (phase, level, stages) includes.

    A layer with `include` rules is kept when one of them is met; with `exclude` rules, when none is.

    Raises
    ------
    UserError
        If a layer has rules of both kinds.
    """
    kept = pb.NetParameter()
    kept.CopyFrom(net)
    del kept.layer[:]
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise UserError(f"layer {layer.name!r} has include and exclude rules; keep the one kind or the other")
        if layer.include:
            keep = any(_meets(state, rule) for rule in layer.include)
        else:
            keep = not any(_meets(state, rule) for rule in layer.exclude)
        if keep:
            kept.layer.add().CopyFrom(layer)
    return kept


def insert_splits(net: pb.NetParameter) -> pb.NetParameter:
    """Return a copy in which every top that is used several times passes through a Split layer.

    Names are Caffe's: top `r` of layer `r`, the layer's 0th, becomes `r_r_0_split_0`, `r_r_0_split_1` … made by the
    layer `r_r_0_split`. A `loss_weight` on a top counts as a use, the first: its gradient adds to those of the others.

    Raises
    ------
    UserError
        If a layer's bottom is nobody's top.
    """
    producer: dict[str, tuple[int, int]] = {}  # blob name → (layer, top) that made it last
    uses: dict[tuple[int, int], int] = defaultdict(int)
    source: dict[tuple[int, int], tuple[int, int]] = {}  # (layer, bottom) → (layer, top)
    for i, layer in enumerate(net.layer):
        for j, bottom in enumerate(layer.bottom):
            if bottom not in producer:
                raise UserError(f"layer {layer.name!r} reads the bottom {bottom!r}, which no layer before it makes")
            source[i, j] = producer[bottom]
            uses[producer[bottom]] += 1
        for j, top in enumerate(layer.top):
            producer[top] = (i, j)
            uses[i, j] += _loss_weight(layer, j) != 0

    def split_name(layer: int, top: int) -> str:
        return f"{net.layer[layer].top[top]}_{net.layer[layer].name}_{top}_split"

    result = pb.NetParameter()
    result.CopyFrom(net)
    del result.layer[:]
    used: dict[tuple[int, int], int] = defaultdict(int)
    for i, layer in enumerate(net.layer):
        copy = result.layer.add()
        copy.CopyFrom(layer)
        for j in range(len(layer.bottom)):
            made_by = source[i, j]
            if uses[made_by] > 1:
                copy.bottom[j] = f"{split_name(*made_by)}_{used[made_by]}"
                used[made_by] += 1
        for j, top in enumerate(layer.top):
            if uses[i, j] > 1:
                name = split_name(i, j)
                split = result.layer.add(name=name, type="Split", bottom=[top])
                split.top.extend(f"{name}_{k}" for k in range(uses[i, j]))
                if weight := _loss_weight(layer, j):
                    split.loss_weight.extend([weight] + [0.0] * (uses[i, j] - 1))
                    copy.loss_weight[j] = 0.0
                    used[i, j] += 1
    return result


def _loss_weight(layer: pb.LayerParameter, top: int) -> float:
    return layer.loss_weight[top] if top < len(layer.loss_weight) else 0.0
