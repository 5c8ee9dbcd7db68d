"""Running a net over more items than its batch holds (pycaffe's `forward_all` and `forward_backward_all`)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from pydeepexpr.caffe.raised import BadValue

if TYPE_CHECKING:
    from pydeepexpr.caffe.net import Net

__all__ = ["forward_all", "forward_backward_all"]

Arrays = dict[str, np.ndarray]


def forward_all(net: "Net", blobs: Iterable[str], inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Return the outputs, and the blobs asked for, of all items, batch after batch."""
    if not inputs:
        raise BadValue(f"forward_all needs the net's inputs by name: {net.inputs}")
    outputs = _Collected([*net.outputs, *blobs], _count(inputs))
    for batch in _batches(net, inputs):
        outputs.add(net.forward(blobs=blobs, **batch))
    return outputs.arrays()


def forward_backward_all(
    net: "Net", blobs: Iterable[str], diffs: Iterable[str], given: Mapping[str, np.ndarray]
) -> tuple[Arrays, Arrays]:
    """Return the outputs and the gradients of the inputs, and what else is asked for, of all items."""
    inputs = {name: given[name] for name in net.inputs if name in given}
    tops = {name: given[name] for name in net.outputs if name in given}
    if not given or len(inputs) + len(tops) != len(given):
        raise BadValue(
            f"forward_backward_all was given {sorted(given)}; "
            f"the net's inputs are {net.inputs}, its outputs {net.outputs}"
        )
    count = _count({**inputs, **tops})
    outputs, gradients = _Collected([*net.outputs, *blobs], count), _Collected([*net.inputs, *diffs], count)
    for forth, back in zip_longest(_batches(net, inputs), _batches(net, tops), fillvalue={}):
        outputs.add(net.forward(blobs=blobs, **forth))
        gradients.add(net.backward(diffs=diffs, **back))
    return outputs.arrays(), gradients.arrays()


class _Collected:
    """Arrays that grow by a batch at a time, cut to `count` items at the end."""

    def __init__(self, names: Iterable[str], count: int):
        self._parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        self._count = count

    def add(self, batch: Mapping[str, np.ndarray]) -> None:
        for name, parts in self._parts.items():
            parts.append(np.array(batch[name], ndmin=1))

    def arrays(self) -> Arrays:
        return {name: np.concatenate(parts)[: self._count] for name, parts in self._parts.items() if parts}


def _count(arrays: Mapping[str, np.ndarray]) -> int:
    counts = {name: len(values) for name, values in arrays.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise BadValue(f"the arrays need one length, above 0, but have: {counts}")
    return next(iter(counts.values()))


def _batches(net: "Net", arrays: Mapping[str, np.ndarray]) -> Iterator[Arrays]:
    """Yield batches of the size of the net's first blob, the last padded with zeros."""
    if not arrays:
        return
    size = next(iter(net.blobs.values())).shape[0]
    for start in range(0, _count(arrays), size):
        batch = {name: np.asarray(values[start : start + size]) for name, values in arrays.items()}
        missing = size - _count(batch)
        yield {name: np.pad(part, [(0, missing), *[(0, 0)] * (part.ndim - 1)]) for name, part in batch.items()}
