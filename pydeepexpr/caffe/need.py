"""Which bottoms and parameters need a gradient (Caffe's rules, from Net::Init)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydeepexpr.caffe.assembly import Assembly

__all__ = ["gradient_needs"]


def gradient_needs(net: "Assembly", force: bool) -> list[list[bool]]:
    """Return for every layer a flag for each bottom, followed by one for each parameter.

    A parameter needs a gradient unless its `lr_mult` is 0; a bottom needs one if something before it does, unless
    `propagate_down` says otherwise. A layer that contributes to no loss needs none, and neither does one whose tops
    get no gradient because of `propagate_down`. With `force` (force_backward) every parameter has one, loss or not, and
    every bottom that can. A bottom that cannot (`no_gradient_to`) may need one all the same: backward refuses it.
    """
    needs: list[list[bool]] = []
    blob_needs: dict[str, bool] = {}
    layers = [step.layer for step in net.steps]
    for layer, bottoms, tops in zip(layers, net.bottoms, net.tops, strict=True):
        specs = layer.param.param
        of_bottoms = [blob_needs[name] for name in bottoms]
        of_parameters = [i >= len(specs) or specs[i].lr_mult != 0 for i in range(len(layer.blobs))]
        needed = any(of_bottoms) or any(of_parameters)
        for name in tops:
            blob_needs[name] = needed
        for i, told in enumerate(layer.param.propagate_down):
            of_bottoms[i] = told and needed
        needs.append(of_bottoms + of_parameters)

    under_loss: set[str] = set()
    skipped: set[str] = set()  # blobs that the layer above sends no gradient
    for i in reversed(range(len(layers))):
        is_loss = any(net.steps[i].loss_weights)
        contributes = is_loss or not under_loss.isdisjoint(net.tops[i])
        if not contributes or (skipped.issuperset(net.tops[i]) and not is_loss):
            needs[i] = [False] * len(needs[i])
        if contributes:
            under_loss.update(net.bottoms[i])
        skipped.update(name for name, need in zip(net.bottoms[i], needs[i], strict=False) if not need)

    for i, layer in enumerate(layers):
        count = len(net.bottoms[i])
        if force:
            needs[i] = [need or k >= count or k not in layer.no_gradient_to for k, need in enumerate(needs[i])]
        for k in layer.constants:
            needs[i][k] = False
    return needs
