"""RNN, LSTM and LSTMUnit: sequences of T steps, N of them side by side, in blobs of T×N×…"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, layer, layer_function
from pydeepexpr.errors import UserError


def lstm_unit(cell: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next cell and hidden state (…×D) from the cell and the sums (…×4D) that go into its four gates.

    c' = cont · σ(f) · c + σ(i) · tanh(g) and h = σ(o) · tanh(c'), with the gates in the order i, f, o, g. `cont` (…×1)
    is 0 where a sequence begins and 1 where it goes on.
    """
    i, f, o, g = gates.float().chunk(4, -1)
    cell = cont * f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return cell, o.sigmoid() * cell.tanh()


@layer_function("LSTMUnit", bottoms=(3, 3), tops=(2, 2), constants=(2,))
def lstm_unit_layer(layer: Layer, cell: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: cell (1×N×D), gate inputs (1×N×4D) and cont (1×N) to cell and hidden state (1×N×D)."""
    one, streams, size = cell.shape if cell.dim() == 3 else (0, 0, 0)
    if one != 1 or tuple(gates.shape) != (1, streams, 4 * size) or tuple(cont.shape) != (1, streams):
        raise UserError(
            f"layer {layer.name!r} (LSTMUnit) takes a cell of 1×N×D, gate inputs of 1×N×4D and cont of 1×N, not "
            f"{tuple(cell.shape)}, {tuple(gates.shape)} and {tuple(cont.shape)}"
        )
    return lstm_unit(cell.float(), gates, cont[..., None])


class Recurrent(Layer):
    """What RNN and LSTM share.

    Bottoms are x (T×N×…); cont (T×N: 0 where a sequence begins, 1 where it goes on); where there is one bottom more, a
    static input (N×…) that every step sees; and with `expose_hidden` the states to begin with (1×N×D each). Tops are
    the output (T×N×D) and with `expose_hidden` the states at the end.

    Without `expose_hidden` a batch begins with the states in which the one before it ended: zeros at first, and where
    N has changed. As in Caffe no gradient goes through the states at either end.

    Attributes
    ----------
    state : list of torch.Tensor
        What the next batch begins with: 1×N×D each, or empty for zeros.
    """

    no_gradient_to = (1,)
    states: int  # how many a step hands to the next
    gates: int  # how many sums go into a step for each of the D outputs

    def setup(self, *bottoms: Shape) -> None:
        p = self.param.recurrent_param
        exposed = self.states if p.expose_hidden else 0
        if len(bottoms) not in (2 + exposed, 3 + exposed) or len(self.param.top) != 1 + exposed:
            raise UserError(
                f"layer {self.name!r} ({self.type}) has {len(bottoms)} bottom(s) and {len(self.param.top)} top(s); "
                f"with expose_hidden: {str(p.expose_hidden).lower()} it takes {2 + exposed} bottoms (x, cont"
                f"{', states' * bool(exposed)}), or {3 + exposed} with a static input behind cont, and {1 + exposed} "
                "top(s)"
            )
        if not p.num_output:
            raise UserError(f"layer {self.name!r} ({self.type}) needs num_output in recurrent_param")
        self.state: list[Tensor] = []
        self._began_with: list[Tensor] = []
        self._has_static = len(bottoms) == 3 + exposed
        self.constants = tuple(range(2 + self._has_static, len(bottoms)))
        self._check(*bottoms)
        sums = self.gates * p.num_output
        self.add_blob((sums, math.prod(bottoms[0][2:])), p.weight_filler)
        self.add_blob((sums,), p.bias_filler)
        if self._has_static:
            self.add_blob((sums, math.prod(bottoms[2][1:])), p.weight_filler)
        self.add_blob((sums, p.num_output), p.weight_filler)

    def _check(self, x: Shape, cont: Shape, *others: Shape) -> None:
        state = (1, *x[1:2], self.param.recurrent_param.num_output)
        static, states = others[: self._has_static], others[self._has_static :]
        if len(x) < 3 or cont != x[:2]:
            raise UserError(f"layer {self.name!r} ({self.type}) takes x of T×N×… and cont of T×N, not {x} and {cont}")
        if any(len(shape) < 2 or shape[0] != x[1] for shape in static):
            raise UserError(
                f"layer {self.name!r} ({self.type}) takes a static input of N×…, with N = {x[1]}, not {static[0]}"
            )
        if any(shape != state for shape in states):
            raise UserError(f"layer {self.name!r} ({self.type}) takes states of {state}, not {list(states)}")

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        self._check(*bottoms)
        steps, streams = bottoms[0][:2]
        size = self.param.recurrent_param.num_output
        return [(steps, streams, size), *[(1, streams, size)] * (len(self.param.top) - 1)]

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        count = len(self.param.bottom)
        (x, cont, *others), (weight, bias, *weights) = inputs[:count], inputs[count:]
        self._check(*(tuple(bottom.shape) for bottom in inputs[:count]))
        sums = F.linear(x.flatten(2), weight, bias)
        if self._has_static:
            sums = sums + F.linear(others.pop(0).flatten(1), weights.pop(0))
        start = [state.detach() for state in others] or self._carried(sums)
        y, end = self.run(sums, cont[..., None], [state[0] for state in start], *weights)
        end = [state.detach()[None] for state in end]
        if others:
            return [y, *end]
        self._began_with, self.state = start, end
        return [y]

    def _carried(self, sums: Tensor) -> list[Tensor]:
        """Return the states to begin with: those the batch before left, or its own where forward is run again."""
        # A TEST net's backward runs the layer once more, for its gradient.
        is_again = not self.is_training and torch.is_grad_enabled()
        carried = self._began_with if is_again else self.state
        shape = (1, sums.shape[1], self.param.recurrent_param.num_output)
        if carried and carried[0].shape == shape:
            return carried
        return [torch.zeros(shape, device=sums.device) for _ in range(self.states)]

    def run(
        self, sums: Tensor, cont: Tensor, start: Sequence[Tensor], weight: Tensor, *weights: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the output (T×N×D) and the states at the end (N×D) from what x adds to each step (T×N×sums)."""
        raise NotImplementedError


@layer("RNN")
class RNN(Recurrent):
    """h' = tanh(W_h (cont · h) + W_x x + b) and y = tanh(W_o h' + b_o).

    Parameters: W_x, b, the static input's weights if any, W_h, W_o, b_o. State: h.
    """

    bottoms, tops = (2, 4), (1, 2)
    states, gates = 1, 1

    def setup(self, *bottoms: Shape) -> None:
        super().setup(*bottoms)
        p = self.param.recurrent_param
        self.add_blob((p.num_output, p.num_output), p.weight_filler)
        self.add_blob((p.num_output,), p.bias_filler)

    def run(self, sums, cont, start, weight, weight_out, bias_out):
        hidden, all_hidden = start[0], []
        for total, goes_on in zip(sums, cont, strict=True):
            hidden = (total + F.linear(goes_on * hidden, weight)).float().tanh()
            all_hidden.append(hidden)
        return F.linear(torch.stack(all_hidden), weight_out, bias_out).float().tanh(), [hidden]


@layer("LSTM")
class LSTM(Recurrent):
    """Long short-term memory without peepholes, as `lstm_unit` has it; the gates' sums are W_h (cont · h) + W_x x + b.

    Parameters: W_x, b, the static input's weights if any, W_h; their rows are for the gates i, f, o, g. States: h, c.
    """

    bottoms, tops = (2, 5), (1, 3)
    states, gates = 2, 4

    def run(self, sums, cont, start, weight):
        (hidden, cell), all_hidden = start, []
        for total, goes_on in zip(sums, cont, strict=True):
            cell, hidden = lstm_unit(cell, total + F.linear(goes_on * hidden, weight), goes_on)
            all_hidden.append(hidden)
        return torch.stack(all_hidden), [hidden, cell]
