"""`run`: scripts that were written for pycaffe."""

from types import SimpleNamespace

from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.install import run_script

__all__ = ["run"]


@command("SCRIPT [ARGS...]")
def run(flags: SimpleNamespace, script: str, *arguments: str) -> None:
    """Run a Python script that says `import caffe`, with this engine as its caffe."""
    run_script(script, arguments)
