"""What `import caffe` finds in the processes that a script starts: this folder is on their path (see `install`)."""

import sys

if __name__ == "caffe":
    from pydeepexpr.caffe.install import install

    del sys.modules[__name__]  # install puts the engine in its place
    install()
