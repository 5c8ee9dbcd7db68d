"""A stand-in for real pycaffe: some of BVLC Caffe 1.0's public names and no others, on the package's own engine.

It differs from the engine where real pycaffe does: arguments have Boost.Python's exact types, solvers come from files,
the log goes to the file descriptor 2, Ctrl-C is Python's, and what Caffe refuses aborts the process.
"""

import functools
import os
import resource
import signal

from caffe.proto.caffe_pb2 import TEST, TRAIN
from pydeepexpr import caffe as _own
from pydeepexpr.caffe.log import log_to as _log_to
from pydeepexpr.errors import UserError as _UserError

__all__ = ["TEST", "TRAIN", "Net", "get_solver", "set_device", "set_mode_cpu", "set_mode_gpu"]
__version__ = "1.0.0"

_stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
_stderr.write("WARNING: Logging before InitGoogleLogging() is written to STDERR\n")
_log_to(_stderr)

set_device, set_mode_cpu, set_mode_gpu = _own.set_device, _own.set_mode_cpu, _own.set_mode_gpu


def _strict(*types):
    """Take arguments of exactly these types, and abort as a failed CHECK does where the engine raises a UserError."""

    def decorate(function):
        @functools.wraps(function)
        def call(self, *arguments, **named):
            if any(type(given) is not wanted for given, wanted in zip(arguments, types, strict=False)):
                raise TypeError(f"Python argument types in {function.__name__}{arguments} did not match C++ signature")
            try:
                return function(self, *arguments, **named)
            except _UserError as error:
                _stderr.write(f"F0102 03:04:05.678901  2345 common.cpp:1] Check failed: {error}\n")
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                os.kill(os.getpid(), signal.SIGABRT)

        return call

    return decorate


class Net:
    """Also the net of a solver, which Python cannot make by itself."""

    @_strict(str, int)
    def __init__(self, network_file, phase, level=0, stages=None, weights=None):
        self._take(_own.Net(network_file, phase, level=level, stages=stages, weights=weights))

    def _take(self, net):
        for name in ("blobs", "params", "top_names", "forward", "reshape"):
            setattr(self, name, getattr(net, name))
        self._net = net
        return self

    @_strict(str)
    def copy_from(self, weights):
        self._net.copy_from(weights)


class _Solver:
    @_strict(str)
    def __init__(self, path):
        self._solver = _own.get_solver(path)
        self._solver.signal_effects = {}
        self.net, *self.test_nets = (Net.__new__(Net)._take(net) for net in (self._solver.net, *self._solver.test_nets))

    @property
    def iter(self):
        return self._solver.iter

    def add_callback(self, on_start, on_gradients_ready):
        self._solver.add_callback(on_start, on_gradients_ready)

    @_strict()
    def solve(self):
        self._solver.solve()

    @_strict(int)
    def step(self, iterations):
        self._solver.step(iterations)

    @_strict(str)
    def restore(self, state_file):
        self._solver.restore(state_file)

    @_strict()
    def snapshot(self):
        self._solver.snapshot()


def get_solver(path):
    return _Solver(path)
