"""Writing networks in Python: `NetSpec`, `layers` (L), `params` (P), `to_proto` (pycaffe's net specification).

``n.conv = L.Convolution(n.data, kernel_size=5, num_output=20)`` notes a layer, ``n.to_proto()`` writes the network.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

import numpy as np
from google.protobuf.message import Message

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.raised import BadType, BadValue, UnknownField
from pydeepexpr.errors import UserError

__all__ = ["Function", "NetSpec", "Top", "assign_proto", "layers", "param_name_dict", "params", "to_proto"]


class Top:
    """One output blob of a layer, for other layers to take as their input.

    Attributes
    ----------
    fn : Function
        The layer.
    n : int
        Which of its tops this is.
    """

    def __init__(self, fn: "Function", n: int):
        self.fn, self.n = fn, n

    def to_proto(self) -> pb.NetParameter:
        """Return the network that makes this blob, with names chosen for all of it."""
        return to_proto(self)


class Function:
    """A layer: its type, its inputs, and its parameters as keywords.

    ``ntop`` says how many tops it has (1 unless told), ``in_place=True`` that they are its bottoms. Every other keyword
    is a field of the layer type's own parameters, or of the layer where those have none of that name or the name ends
    in `param`.

    Attributes
    ----------
    type_name : str
    inputs : tuple of Top
    params : dict
        The keywords, without `ntop` and `in_place`.
    ntop : int
    in_place : bool
    tops : tuple of Top
    """

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: Mapping[str, object]):
        for place, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise BadType(f"{type_name} input {place} is not a Top (type is {type(given)})")
        self.type_name, self.inputs = type_name, inputs
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))


class _Writer:
    """Collects layers in the order in which they need each other, and names what the user did not name."""

    def __init__(self, names: Mapping[Top | Function, str]):
        self._names = dict(names)
        self._numbers: Counter[str] = Counter()
        self.layers: OrderedDict[Function, pb.LayerParameter] = OrderedDict()

    def add(self, function: Function) -> None:
        """Add a layer behind all that it needs."""
        waiting = [function]
        while waiting:  # no recursion: a network may be deeper than Python's stack
            missing = [top.fn for top in waiting[-1].inputs if top.fn not in self.layers]
            if missing:
                waiting.append(missing[0])
            else:
                last = waiting.pop()
                if last not in self.layers:
                    self.layers[last] = self._write(last)

    def _write(self, function: Function) -> pb.LayerParameter:
        layer = pb.LayerParameter(type=function.type_name)
        layer.bottom.extend(self.layers[top.fn].top[top.n] for top in function.inputs)
        if function.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(self._name(top, function) for top in function.tops)
        layer.name = self._name(function.tops[0] if function.tops else function, function)
        for key, value in function.params.items():
            self._assign(layer, key, value)
        return layer

    def _name(self, key: Top | Function, function: Function) -> str:
        if key not in self._names:
            self._numbers[function.type_name] += 1
            self._names[key] = f"{function.type_name}{self._numbers[function.type_name]}"
        return self._names[key]

    def _assign(self, layer: pb.LayerParameter, key: str, value: object) -> None:
        own = _PARAM_NAMES.get(layer.type)
        place = layer
        if own is not None and not key.endswith("param") and key in getattr(layer, own).DESCRIPTOR.fields_by_name:
            place = getattr(layer, own)
        try:
            assign_proto(place, key, value)
        except UserError as error:
            raise type(error)(f"layer {layer.name!r} ({layer.type}): {error}") from None


def to_proto(*tops: Top | Function) -> pb.NetParameter:
    """Return the network that makes the tops, its layers and blobs named by their type and a number.

    Raises
    ------
    UserError
        If neither a layer nor its parameters have a field of a keyword's name, or it does not take the value.
    """
    return _written(tops, {})


def _written(tops, names: Mapping[Top | Function, str]) -> pb.NetParameter:
    writer = _Writer(names)
    for top in tops:
        if not isinstance(top, Top | Function):
            raise BadType(f"a network is made of Tops, not of {type(top).__name__}: {top!r}")
        writer.add(top.fn if isinstance(top, Top) else top)
    return pb.NetParameter(layer=writer.layers.values())


def assign_proto(proto: Message, name: str, value: object) -> None:
    """Set a message's field from Python's values.

    A dict fills a message, a list a repeated field; a single value for a repeated field is a list of one. A name of an
    enum's value serves as its number.

    Raises
    ------
    UserError
        If the message has no such field, or the field does not take the value.
    """
    field = proto.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        known = ", ".join(proto.DESCRIPTOR.fields_by_name)
        raise UnknownField(f"{proto.DESCRIPTOR.name} has no field {name!r}; it has: {known}")
    holder = getattr(proto, name)
    repeated = hasattr(holder, "extend")
    values = value if isinstance(value, list | tuple | np.ndarray) else [value]
    if not repeated and len(values) != 1:
        raise BadValue(f"{proto.DESCRIPTOR.name}.{name} takes one value, not {len(values)}")
    try:
        for one in values:
            if isinstance(one, Mapping):
                message = holder.add() if repeated else holder
                message.SetInParent()
                for key, inner in one.items():
                    assign_proto(message, key, inner)
            elif isinstance(one, Message):
                (holder.add() if repeated else holder).CopyFrom(one)
            elif repeated:
                holder.append(one)
            else:
                setattr(proto, name, one)
    except UserError:
        raise
    except (TypeError, AttributeError):
        raise BadType(f"{proto.DESCRIPTOR.name}.{name} cannot be {value!r}") from None
    except ValueError:
        raise BadValue(f"{proto.DESCRIPTOR.name}.{name} cannot be {value!r}") from None


class NetSpec:
    """A network under construction: its attributes are its blobs, their names the blobs' names.

    ``n["name"]`` does as well, for names that are no Python word. A layer takes the name of its first top.

    Attributes
    ----------
    tops : OrderedDict of str to Top or Function
        What was named, in that order; a layer without tops stands for itself.
    """

    tops: "OrderedDict[str, Top | Function]"

    def __init__(self):
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Top | Function:
        if name == "tops" or name not in self.tops:  # copies ask for attributes before there are any
            raise UnknownField(f"the network has no blob {name!r} so far")
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self[name]

    __setitem__ = __setattr__
    __getitem__ = __getattr__

    def __delitem__(self, name: str) -> None:
        if name not in self.tops:
            raise UnknownField(f"the network has no blob {name!r} so far")
        del self.tops[name]

    def keys(self) -> list[str]:
        """Return the names so far."""
        return list(self.tops)

    def vals(self) -> list[Top | Function]:
        """Return what was named so far."""
        return list(self.tops.values())

    def update(self, name: str, net: "NetSpec") -> None:
        """Take over another network's blobs under the names ``name/…``."""
        for key, top in net.tops.items():
            self[f"{name}/{key}"] = top

    def to_proto(self) -> pb.NetParameter:
        """Return the network. What has no name gets one from its type and a number.

        Raises
        ------
        UserError
            If neither a layer nor its parameters have a field of a keyword's name, or it does not take the value.
        """
        for name, top in self.tops.items():
            if not isinstance(top, Top | Function):
                raise BadType(f"the blob {name!r} of the network is no Top but {type(top).__name__}: {top!r}")
        return _written(self.tops.values(), {top: name for name, top in self.tops.items()})


def param_name_dict() -> dict[str, str]:
    """Return by layer type the name of its own parameters without the `_param`: `Convolution` → `convolution`."""
    return {
        field.message_type.name.removesuffix("Parameter"): field.name.removesuffix("_param")
        for field in pb.LayerParameter.DESCRIPTOR.fields
        if field.name.endswith("_param")
    }


_PARAM_NAMES = {kind: f"{name}_param" for kind, name in param_name_dict().items()}


class Layers:
    """Layer types by name: ``L.Convolution(bottom, num_output=20)`` is a Top (a tuple of them with ``ntop=2``)."""

    def __getattr__(self, name: str) -> Callable[..., Top | Function | tuple[Top, ...]]:
        if name.startswith("__"):
            raise AttributeError(f"no layer type is called {name!r}")

        def make(*inputs: Top, **params: object) -> Top | Function | tuple[Top, ...]:
            function = Function(name, inputs, params)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        return make


class _Constants:
    """The constants of one layer type's parameters."""

    def __init__(self, message: type[Message]):
        self._message = message

    def __getattr__(self, name: str) -> int:
        return getattr(self._message, name)


class Parameters:
    """Constants of the layers' parameters: ``P.Pooling.MAX`` is that of `PoolingParameter`."""

    def __getattr__(self, name: str) -> _Constants:
        message = getattr(pb, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"no layer type's parameters are called {name!r}")
        return _Constants(message)


layers = Layers()
params = Parameters()
