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
        import caffe._caffe
        from caffe import _caffe
        from caffe._caffe import Layer
        from caffe.coord_map import crop
        from caffe.layers import Convolution
        import pydeepexpr.caffe.io as own
        assert caffe.io is own and one is caffe_pb2 is caffe.proto.caffe_pb2 is caffe.io.caffe_pb2
        assert Net is caffe.Net and Layer is caffe.Layer and SGDSolver is caffe.SGDSolver
        assert caffe._caffe is _caffe and caffe.pycaffe.BlobVec is _caffe.BlobVec
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


def test_every_name_of_pycaffes_compiled_part_is_there():
    # what BOOST_PYTHON_MODULE(_caffe) of Caffe 1.0 defines, but for the vectors that are lists here
    names = """AdaDeltaSolver AdaGradSolver AdamSolver Blob BlobVec Layer LayerParameter NCCL NesterovSolver Net
        RMSPropSolver SGDSolver Solver SolverParameter Timer __version__ get_solver has_nccl init_log layer_type_list
        log set_device set_mode_cpu set_mode_gpu set_multiprocess set_random_seed set_solver_count set_solver_rank
        solver_count solver_rank"""
    compiled = pydeepexpr.caffe._caffe
    assert [name for name in names.split() if not hasattr(compiled, name)] == []
    for name in set(names.split()) & set(dir(pydeepexpr.caffe)):
        assert getattr(compiled, name) is getattr(pydeepexpr.caffe, name), name


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


def run_command(script, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "pydeepexpr.caffe", "run", script, *arguments],
        **{"capture_output": True, "text": True, "timeout": 300, **options},
    )


def test_processes_that_a_script_starts_find_the_engine_too(tmp_path):
    # a spawned process imports the script anew, under another name
    script = tmp_path / "several.py"
    script.write_text(
        "import multiprocessing, os, subprocess, sys\n"
        "import caffe\n"
        "import caffe.io\n"
        "def work(number): return number * len(caffe.TEST * [caffe.io.__name__])\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(work, [2, 3]))\n"
        "    told = 'import caffe.proto, caffe; from caffe import Net; print(caffe.Net is Net, caffe.__name__)'\n"
        "    sys.exit(subprocess.call([sys.executable, '-c', told], cwd=os.path.dirname(__file__)))\n"
    )
    done = run_command(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[2, 3]", "True pydeepexpr.caffe"]


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        ("caffe.Net('none.prototxt', caffe.TEST)", "script.py:4", "cannot read the network none.prototxt"),
        ("beside.load()", "beside.py:3", "cannot read the network none.prototxt"),
        ("open('nowhere.txt')", "script.py:4", "No such file or directory: 'nowhere.txt'"),
    ],
)
def test_an_error_that_a_script_does_not_catch_says_where(tmp_path, line, place, said):
    (tmp_path / "beside.py").write_text("import caffe\ndef load():\n    caffe.Net('none.prototxt', caffe.TEST)\n")
    (tmp_path / "script.py").write_text(f"import caffe\nimport beside\n\n{line}\n")
    done = run_command("script.py", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    (told,) = done.stderr.splitlines()
    assert told.startswith("error: ") and f"{place}: " in told and said in told


def test_another_error_is_shown_as_python_does(tmp_path):
    (tmp_path / "script.py").write_text("import caffe\nraise KeyError('mine')\n")
    done = run_command("script.py", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" in done.stderr and done.stderr.endswith("KeyError: 'mine'\n")


def test_no_script_and_another_caffe(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"there is no script .*missing\.py"):
        run_script(tmp_path / "missing.py")
    monkeypatch.setitem(sys.modules, "caffe", sys)
    with pytest.raises(UserError, match="another module named caffe is imported already"):
        install()
