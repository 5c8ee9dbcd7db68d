"""Net: a graph of layers built from a prototxt, with pycaffe's interface."""

import numbers
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from pydeepexpr.caffe import batches, mode
from pydeepexpr.caffe.assembly import Assembly
from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.debug_info import log_backward, log_forward, log_parameters
from pydeepexpr.caffe.execution import autocast
from pydeepexpr.caffe.hdf5_weights import load_hdf5, save_hdf5
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.raised import BadValue, UnknownName
from pydeepexpr.caffe.readers import read_net
from pydeepexpr.caffe.weights import load_weights, save_weights
from pydeepexpr.errors import UserError

__all__ = ["Net"]

Names = Iterable[str] | None


class Net:
    """A network of layers (pycaffe's `Net`).

    Parameters
    ----------
    network_file : path-like or NetParameter
        The prototxt, or its parsed form.
    phase : int
        `TRAIN` or `TEST`. The older order ``Net(network, weights, phase)`` works too.
    level : int, optional
    stages : sequence of str, optional
        What the layers' include and exclude rules are held against, beside the phase.
    weights : path-like, optional
        A `.caffemodel` to copy parameters from.

    Attributes
    ----------
    blobs : OrderedDict of str to Blob
    layers : list of Layer
        A layer written in Python is its class's own instance.
    layer_dict : OrderedDict of str to Layer
    inputs, outputs : list of str
        Names of the blobs that the user sets and that nothing in the net uses.
    bottom_names, top_names : OrderedDict of str to list of str
        Names of each layer's blobs.
    blob_loss_weights : OrderedDict of str to float
    learnable : list of (Blob, ParamSpec)
        The parameters that are nobody else's, with their rates.
    debug_info : bool
        Whether each layer's mean absolute values are logged.

    Raises
    ------
    UserError
        If a file cannot be read, a layer is unknown, or shapes do not fit.
    """

    def __init__(
        self,
        network_file: str | os.PathLike | pb.NetParameter,
        *args: int | str | os.PathLike | Sequence[str],
        phase: int | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | os.PathLike | None = None,
    ):
        for value in args:
            if isinstance(value, numbers.Integral) and phase is None:
                phase = value
            elif isinstance(value, str | os.PathLike) and weights is None:
                weights = value
            elif isinstance(value, numbers.Integral):
                level = value
            elif isinstance(value, Sequence) and not isinstance(value, str) and stages is None:
                stages = value
            else:
                raise TypeError(f"Net(network_file, phase, level, stages, weights) does not take {value!r} there")
        if phase not in (mode.TRAIN, mode.TEST):
            raise TypeError("Net needs a phase: caffe.TRAIN or caffe.TEST")
        param = network_file if isinstance(network_file, pb.NetParameter) else read_net(network_file)
        state = pb.NetState()
        state.CopyFrom(param.state)
        state.phase = phase
        state.level = level or state.level
        state.stage.extend(stages or ())
        self.name = param.name
        self.debug_info = param.debug_info
        self._build(Assembly(param, state))
        if weights is not None:
            self.copy_from(weights)

    def _build(self, parts: Assembly) -> None:
        self._param = parts.param
        self.steps, self.blobs, self.learnable = parts.steps, parts.blobs, parts.learnable
        self._layer_names, self._bottoms, self._tops = parts.names, parts.bottoms, parts.tops
        self.layers = [step.layer.exposed for step in self.steps]
        self.layer_dict = OrderedDict(zip(self._layer_names, self.layers, strict=True))
        self.bottom_names = OrderedDict(zip(self._layer_names, self._bottoms, strict=True))
        self.top_names = OrderedDict(zip(self._layer_names, self._tops, strict=True))
        self.inputs = [
            top for step, tops in zip(self.steps, self._tops, strict=True) if step.layer.type == "Input" for top in tops
        ]
        self.outputs = parts.outputs
        self.blob_loss_weights = OrderedDict((name, 0.0) for name in self.blobs)
        for step, tops in zip(self.steps, self._tops, strict=True):
            self.blob_loss_weights.update(zip(tops, step.loss_weights, strict=True))
        self._callbacks: dict[str, list[Callable[[int], object]]] = {
            f"{when}_{which}": [] for when in ("before", "after") for which in ("forward", "backward")
        }

    @property
    def params(self) -> "OrderedDict[str, list[Blob]]":
        """Parameter blobs by layer name, weights before biases."""
        pairs = zip(self._layer_names, self.layers, strict=True)
        return OrderedDict((name, layer.blobs) for name, layer in pairs if layer.blobs)

    # Numbers in the place of names, as pycaffe has them beside

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self._bottoms[layer]]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self._tops[layer]]

    def _index(self, layer: str) -> int:
        if layer not in self.layer_dict:
            raise UnknownName(f"the net has no layer {layer!r}; it has: {', '.join(self.layer_dict)}")
        return self._layer_names.index(layer)

    def _known(self, names: Iterable[str]) -> list[str]:
        """Return the names once each, in their order."""
        names = list(dict.fromkeys(names))
        if unknown := [name for name in names if name not in self.blobs]:
            raise UnknownName(f"the net has no blob {unknown[0]!r}; it has: {', '.join(self.blobs)}")
        return names

    # Forward

    def forward(
        self, blobs: Names = None, start: str | None = None, end: str | None = None, **inputs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Compute the layers from `start` to `end` (all unless told) and return the outputs.

        Parameters
        ----------
        blobs : iterable of str, optional
            Further blobs to return.
        start, end : str, optional
            First and last layer.
        **inputs : numpy.ndarray
            Values for all of the net's inputs, by name.

        Returns
        -------
        dict of str to numpy.ndarray
            The net's outputs, or the tops of `end`, and the blobs asked for: their very memory, not copies.
        """
        first = self._index(start) if start is not None else 0
        last = self._index(end) if end is not None else len(self.steps) - 1
        names = self._known([*(self._tops[last] if end is not None else self.outputs), *(blobs or ())])
        if inputs:
            if set(inputs) != set(self.inputs):
                raise BadValue(f"the net's inputs are {self.inputs}, but forward was given {sorted(inputs)}")
            for name, values in inputs.items():
                with _fitting(f"input {name!r}", values, self.blobs[name].shape):
                    self.blobs[name].data[...] = values
        self.forward_range(first, last)
        return {name: self.blobs[name].data for name in names}

    def forward_range(self, first: int, last: int) -> float:
        """Compute layers number `first` to `last` and return their weighted loss."""
        losses = []
        with autocast():
            for i in range(first, last + 1):
                self._call_back("before_forward", i)
                self.steps[i].forward()
                losses += self.steps[i].losses()
                if self.debug_info:
                    log_forward(self, i)
                self._call_back("after_forward", i)
        return float(torch.stack(losses).sum()) if losses else 0.0

    def _forward(self, first: int, last: int) -> float:
        return self.forward_range(first, last)

    def forward_all(self, blobs: Names = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Compute all items of `inputs`, however many, batch by batch, and return their outputs, as copies.

        Parameters
        ----------
        blobs : iterable of str, optional
            Further blobs to return.
        **inputs : numpy.ndarray
            Values for all of the net's inputs, by name, of one length.
        """
        return batches.forward_all(self, list(blobs or ()), inputs)

    def forward_backward_all(
        self, blobs: Names = None, diffs: Names = None, **given: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Compute all items and their gradients, batch by batch.

        Parameters
        ----------
        blobs, diffs : iterable of str, optional
            Further blobs whose values, and whose gradients, to return.
        **given : numpy.ndarray
            Values for the net's inputs and gradients for its outputs, by name, of one length.

        Returns
        -------
        outputs, gradients : dict of str to numpy.ndarray
        """
        return batches.forward_backward_all(self, list(blobs or ()), list(diffs or ()), given)

    # Backward

    def backward(
        self, diffs: Names = None, start: str | None = None, end: str | None = None, **tops: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Compute gradients from layer `start` down to `end` (all unless told) and return those of the inputs.

        Parameters
        ----------
        diffs : iterable of str, optional
            Further blobs whose gradients to return.
        start, end : str, optional
            The layer nearest to the outputs, and the one nearest to the inputs.
        **tops : numpy.ndarray
            Gradients to put on all of the net's outputs, by name.

        Returns
        -------
        dict of str to numpy.ndarray
            The gradients of the net's inputs, or of the bottoms of `end`, and those asked for: their very memory.
        """
        first = self._index(start) if start is not None else len(self.steps) - 1
        last = self._index(end) if end is not None else 0
        names = self._known([*(self._bottoms[last] if end is not None else self.inputs), *(diffs or ())])
        if tops:
            if set(tops) != set(self.outputs):
                raise BadValue(
                    f"the net's outputs are {self.outputs}, but backward was given gradients for {sorted(tops)}"
                )
            for name, values in tops.items():
                with _fitting(f"the gradient of {name!r}", values, self.blobs[name].shape):
                    self.blobs[name].diff[...] = values
        self.backward_range(first, last, keep=True)
        return {name: self.blobs[name].diff for name in names}

    def backward_range(self, first: int, last: int, keep: bool = False) -> None:
        """Compute the gradients of layers number `first` down to `last`.

        With `keep`, what forward left for it stays for another backward, in memory until the next forward.
        """
        for i in range(first, last - 1, -1):
            self._call_back("before_backward", i)
            if any(self.steps[i].needs):
                self.steps[i].backward(keep)
                if self.debug_info:
                    log_backward(self, i)
            self._call_back("after_backward", i)
        if self.debug_info:
            log_parameters(self)

    def _backward(self, first: int, last: int) -> None:
        self.backward_range(first, last, keep=True)

    # Callbacks

    def _call_back(self, when: str, layer: int) -> None:
        for function in self._callbacks[when]:
            function(layer)

    def before_forward(self, function: Callable[[int], object]) -> None:
        """Call the function with each layer's number before the layer is computed."""
        self._callbacks["before_forward"].append(function)

    def after_forward(self, function: Callable[[int], object]) -> None:
        """Call the function with each layer's number after the layer was computed."""
        self._callbacks["after_forward"].append(function)

    def before_backward(self, function: Callable[[int], object]) -> None:
        """Call the function with each layer's number before its gradients are computed."""
        self._callbacks["before_backward"].append(function)

    def after_backward(self, function: Callable[[int], object]) -> None:
        """Call the function with each layer's number after its gradients were computed."""
        self._callbacks["after_backward"].append(function)

    # Everything else

    def clear_param_diffs(self) -> None:
        """Set the parameters' gradients to zero."""
        for blob, _ in self.learnable:
            blob.diff_memory.clear()

    def let_blob_diffs_go(self) -> None:
        """Free the memory of the blobs' gradients, but for the seeds of losses and what the user has looked at.

        For a solver's iteration: between forward and backward they would lie there from the iteration before.
        """
        for name, blob in self.blobs.items():
            if not self.blob_loss_weights[name]:
                blob.diff_memory.let_go()

    def reshape(self) -> None:
        """Give every blob the shape that follows from the inputs' shapes."""
        for step in self.steps:
            step.reshape()

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Let the net's first layer, a MemoryData, read its batches from arrays.

        Parameters
        ----------
        data : numpy.ndarray
            N×C×H×W, float32, C order; N is a multiple of the layer's batch size.
        labels : numpy.ndarray
            N or N×1×1×1, float32, C order.
        """
        if self.layers[0].type != "MemoryData":
            raise UserError("set_input_arrays may only be called if the net's first layer is a MemoryData")
        self.layers[0].reset(data, labels)

    def copy_from(self, weights: str | os.PathLike) -> None:
        """Copy parameters from a `.caffemodel` or a `.caffemodel.h5`, by layer name; layers it lacks keep theirs.

        Several files, as in `caffe train -weights a,b`, are copied one after another.
        """
        several = isinstance(weights, str) and not os.path.exists(weights)
        for file in weights.split(",") if several else [weights]:
            load_weights(self, file)

    def save(self, path: str | os.PathLike) -> None:
        """Write the net with its parameters as a `.caffemodel`, whole or not at all."""
        save_weights(self, path)

    def load_hdf5(self, path: str | os.PathLike) -> None:
        """Copy parameters from an HDF5 file, by layer name; layers it lacks keep theirs."""
        load_hdf5(self, path)

    def save_hdf5(self, path: str | os.PathLike) -> None:
        """Write the parameters as an HDF5 file, whole or not at all."""
        save_hdf5(self, path)

    def share_with(self, other: "Net") -> None:
        """Use another net's parameters, layer by layer of the same name."""
        given = dict(zip(_numbered(other._layer_names), other.layers, strict=True))
        for name, layer in zip(_numbered(self._layer_names), self.layers, strict=True):
            theirs = given[name].blobs if name in given else []
            if theirs and [blob.shape for blob in layer.blobs] != [blob.shape for blob in theirs]:
                raise UserError(
                    f"layer {name[0]!r} cannot share parameters: "
                    f"{', '.join(str(blob.shape) for blob in layer.blobs)} here, "
                    f"{', '.join(str(blob.shape) for blob in theirs)} there"
                )
            for blob, shared in zip(layer.blobs, theirs, strict=False):
                blob.share_data(shared)

    def to_proto(self) -> pb.NetParameter:
        """Return the net's description as built: filtered, with splits."""
        param = pb.NetParameter()
        param.CopyFrom(self._param)
        del param.layer[:]
        param.layer.extend(step.layer.param for step in self.steps)
        return param

    def close(self) -> None:
        """Stop the threads of data layers."""
        for step in self.steps:
            step.layer.close()

    def __del__(self):
        for step in getattr(self, "steps", ()):
            step.layer.close(wait=False)


def _numbered(names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield names with how many of the same name came before."""
    seen: Counter[str] = Counter()
    for name in names:
        yield name, seen[name]
        seen[name] += 1


@contextmanager
def _fitting(what: str, values: np.ndarray, shape: tuple[int, ...]) -> Iterator[None]:
    """Say in one line that values do not fit a blob. As in pycaffe they may be broadcast, but not over the batch."""
    message = f"{what} is {np.shape(values)} but its blob is {shape}; reshape the blob or the values"
    if np.shape(values)[:1] != shape[:1]:
        raise BadValue(message)
    try:
        yield
    except ValueError:
        raise BadValue(message) from None
