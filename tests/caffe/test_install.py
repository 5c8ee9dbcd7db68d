"""Scripts written for pycaffe, run by this engine: in processes of their own, since a name is taken once."""

import subprocess
import sys
import textwrap

import pytest

import pydeepexpr.caffe
from pydeepexpr.caffe.install import install, run_script
from pydeepexpr.errors import UserError


def run(code, *arguments, **options):
    """Run Python code in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_import_that_scripts_use():
    said = run(
        """
        from pydeepexpr.caffe import install
        install()
        import caffe
        import caffe.classifier, caffe.coord_map, caffe.detector, caffe.draw, caffe.io, caffe.net_spec, caffe.pycaffe
        import caffe.proto.caffe_pb2 as one
        from caffe import layers as L, params as P, NetSpec, to_proto
        from caffe.proto import caffe_pb2
        from caffe.pycaffe import Net, SGDSolver
        from caffe._caffe import Layer
        from caffe.coord_map import crop
        from caffe.layers import Convolution
        import pydeepexpr.caffe.io as own
        assert caffe.io is own and one is caffe_pb2 is caffe.proto.caffe_pb2 is caffe.io.caffe_pb2
        assert Net is caffe.Net and Layer is caffe.Layer and SGDSolver is caffe.SGDSolver
        assert caffe.TRAIN == caffe_pb2.TRAIN == 0 and caffe.TEST == 1
        assert caffe.net_spec.layers.ReLU and L.ReLU and P.Pooling.AVE == 1
        net = caffe.Net(L.ReLU(L.Input(shape=dict(dim=[2]))).to_proto(), caffe.TEST)
        print(caffe.__version__, net.forward(Input1=[-1, 2])["ReLU1"].tolist())
        install()
        """
    )
    assert said == ["1.0.0", "[0.0,", "2.0]"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "AdaDeltaSolver",
            "AdaGradSolver",
            "AdamSolver",
            "NesterovSolver",
            "RMSPropSolver",
            "SGDSolver",
            "get_solver",
        ),
        *("Classifier", "Detector", "Layer", "Net", "NetSpec", "Timer", "TEST", "TRAIN", "__version__"),
        *("coord_map", "draw", "io", "layers", "net_spec", "params", "proto", "pycaffe", "to_proto"),
        *("has_nccl", "init_log", "layer_type_list", "log", "set_device", "set_mode_cpu", "set_mode_gpu"),
        *("set_multiprocess", "set_random_seed", "set_solver_count", "set_solver_rank", "solver_count", "solver_rank"),
    ],
)
def test_every_name_of_pycaffe_is_there(name):
    assert hasattr(pydeepexpr.caffe, name)


def test_a_script_runs_with_its_arguments_and_its_folder(tmp_path):
    (tmp_path / "beside.py").write_text(
        "import caffe\n"
        "class Twice(caffe.Layer):\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)\n"
        "    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data\n"
    )
    (tmp_path / "net.prototxt").write_text(
        'input: "data" input_shape { dim: 3 } layer { name: "t" type: "Python" bottom: "data" top: "t"'
        " python_param { module: 'beside' layer: 'Twice' } }"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "import caffe\n"
        "import beside\n"
        "assert __name__ == '__main__' and __file__ == sys.argv[0]\n"
        "net = caffe.Net(sys.argv[1], caffe.TEST)\n"
        "print(net.forward(data=[1, 2, 3])['t'].tolist(), sys.argv[2:])\n"
    )
    said = run(
        "import sys; from pydeepexpr.caffe.install import run_script; run_script(sys.argv[1], sys.argv[2:])",
        script,
        tmp_path / "net.prototxt",
        "--more",
        cwd=tmp_path.parent,
    )
    assert " ".join(said) == "[2.0, 4.0, 6.0] ['--more']"


def test_a_file_of_unit_tests_runs_as_a_script(tmp_path):
    script = tmp_path / "check.py"
    script.write_text(
        "import unittest, caffe\n"
        "class T(unittest.TestCase):\n"
        "    def test_it(self): self.assertIn('Convolution', caffe.layer_type_list())\n"
        "if __name__ == '__main__': unittest.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"from pydeepexpr.caffe.install import run_script; run_script({str(script)!r}, ['-v'])"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "Ran 1 test" in done.stderr


def test_no_script_and_another_caffe(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"there is no script .*missing\.py"):
        run_script(tmp_path / "missing.py")
    monkeypatch.setitem(sys.modules, "caffe", sys)
    with pytest.raises(UserError, match="another module named caffe is imported already"):
        install()
