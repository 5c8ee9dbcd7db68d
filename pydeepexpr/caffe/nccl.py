"""pycaffe's `NCCL`, by which scripts that start a process for each GPU themselves train together."""

from typing import TYPE_CHECKING

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.parallel import free_port, join

if TYPE_CHECKING:
    from pydeepexpr.caffe.solver import Solver

__all__ = ["NCCL"]


class NCCL:
    """A solver's tie to those of the other processes, by NCCL on GPUs and by gloo on the CPU.

    It is a callback for `Solver.add_callback`, and one for `Net.after_backward` that does nothing there: all gradients
    are averaged at once when they are ready, and not layer by layer. Where data is shuffled, the solvers need one
    `random_seed` to share it out.

    Parameters
    ----------
    solver : Solver
        Made after `set_solver_count` and `set_solver_rank`.
    uid : bytes
        What `new_uid` returned in the process that started the others.
    """

    def __init__(self, solver: "Solver", uid: bytes):
        self._learnable = [blob for blob, _ in solver.net.learnable]
        self._group = join(uid.decode(), mode.solver_count(), mode.solver_rank())

    @staticmethod
    def new_uid() -> bytes:
        """Return where on this machine the processes meet."""
        return f"tcp://127.0.0.1:{free_port()}".encode()

    def bcast(self) -> None:
        """Take over the first process's parameters."""
        self._group.spread([blob.data_memory for blob in self._learnable])

    def on_start(self) -> None:
        """Wait until all begin the iteration: the first may have tested before."""
        self._group.any(False)

    def on_gradients_ready(self) -> None:
        """Average the gradients."""
        self._group.average([blob.diff_memory for blob in self._learnable])

    def __call__(self, layer: int) -> None:
        """Do nothing after a layer's backward."""
