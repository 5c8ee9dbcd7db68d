"""The command line itself: flags as gflags takes them, help, mistakes, where it computes, and scripts."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from pydeepexpr import caffe, cli
from pydeepexpr.caffe.__main__ import main
from pydeepexpr.caffe.commands import COMMANDS, devices
from pydeepexpr.caffe.commands.flags import Flag, parse
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

FLAGS = {"solver": Flag("", "the solver"), "level": Flag(3, "the level"), "gray": Flag(False, "grey"),
         "backend": Flag("lmdb", "the backend", choices=("lmdb", "leveldb"))}  # fmt: skip
DEFAULTS = {"solver": "", "level": 3, "gray": False, "backend": "lmdb"}
CAFFE = ("train", "test", "time", "device_query")
COMPANIONS = (
    "compute_image_mean",
    "convert_imageset",
    "extract_features",
    "upgrade_net_proto_text",
    "upgrade_net_proto_binary",
    "upgrade_solver_proto_text",
    "run",
)


@pytest.fixture
def two_gpus(monkeypatch):
    """Let PyTorch seem to see two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU number {device}")


# Flags


@pytest.mark.parametrize(
    ("argv", "changed", "words"),
    [
        ("", {}, ""),
        ("a b", {}, "a b"),
        ("-solver s", {"solver": "s"}, ""),
        ("--solver s", {"solver": "s"}, ""),
        ("-solver=s", {"solver": "s"}, ""),
        ("--solver=s a", {"solver": "s"}, "a"),
        ("a --solver=s=t b", {"solver": "s=t"}, "a b"),
        ("--solver= a", {}, "a"),
        ("-solver one -solver two", {"solver": "two"}, ""),
        ("-solver -gray", {"solver": "-gray"}, ""),  # gflags takes the next word, whatever it is
        ("-level -1 a", {"level": -1}, "a"),
        ("-level=07", {"level": 7}, ""),
        ("-gray a", {"gray": True}, "a"),
        ("a -gray", {"gray": True}, "a"),
        ("-gray false", {"gray": True}, "false"),  # a switch takes no next word
        ("--gray=true", {"gray": True}, ""),
        ("-gray -gray=0", {}, ""),
        ("-gray -nogray", {}, ""),
        ("-gray=T", {"gray": True}, ""),
        ("-backend leveldb", {"backend": "leveldb"}, ""),
        ("-gray -- -level a", {"gray": True}, "-level a"),
        ("a -- -level b", {}, "a -level b"),
        ("- a", {}, "- a"),
    ],
)
def test_flags_are_read_as_gflags_does(argv, changed, words):
    values, rest = parse(argv.split(), FLAGS)
    assert vars(values) == {**DEFAULTS, **changed} and rest == words.split()


def test_what_follows_the_first_word_can_be_left_alone():
    values, rest = parse(["-gray", "a", "-level", "7", "--", "-x"], FLAGS, up_to_first_word=True)
    assert values.gray and values.level == 3 and rest == ["a", "-level", "7", "--", "-x"]
    for argv in (["a", "--", "-x"], ["a", "--"], ["a", "b", "--"]):  # a word's place is counted from the end
        assert parse(argv, FLAGS, up_to_first_word=True)[1] == argv


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("-x", "there is no flag -x; the flags are: -solver, -level, -gray, -backend"),
        ("---solver s", "there is no flag --solver"),
        ("-solvr=s", "there is no flag -solvr"),
        ("-nosolver", "there is no flag -nosolver"),
        ("-nogray=1", "there is no flag -nogray"),
        ("-noo", "there is no flag -noo"),
        ("-solver", "the flag -solver lacks its value: the solver"),
        ("a -level", "the flag -level lacks its value"),
        ("-level x", "-level is a whole number, not 'x'"),
        ("-level=", "-level is a whole number, not ''"),
        ("-level=1.5", "-level is a whole number, not '1.5'"),
        ("-gray=maybe", "the switch -gray is true or false, not 'maybe'"),
        ("-backend mdb", "-backend is one of lmdb, leveldb, not 'mdb'"),
        ("-=3", "there is no flag -;"),
    ],
)
def test_flags_that_cannot_be(argv, said):
    with pytest.raises(UserError, match=re.escape(said)) as error:
        parse(argv.split(), FLAGS)
    assert "\n" not in str(error.value)


# Help


def test_help_lists_the_commands_and_how_to_call_them_as_in_caffe(capsys):
    for argv in (["-help"], ["--help"], ["help"], ["-nohelp", "-help", "train"]):
        assert not main(argv)
        said = capsys.readouterr().out
        assert all(f"\n  {name} " in said for name in COMMANDS)
        assert "alias caffe='python -m pydeepexpr.caffe'" in said
        assert max(map(len, said.splitlines())) <= 120
    assert list(COMMANDS) == [*CAFFE, *COMPANIONS]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["-help", "--help"])
def test_each_command_has_its_help(name, flag, capsys):
    assert not main([name, flag])
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: python -m pydeepexpr.caffe {name} [flags]") and said.err == ""
    assert all(f"\n  -{known} " in said.out for known in COMMANDS[name].flags)
    assert max(map(len, said.out.splitlines())) <= 120


def test_caffes_flags_are_there():
    wanted = {"gpu", "solver", "model", "phase", "level", "stage", "snapshot", "weights", "iterations"}
    for name in CAFFE:
        assert wanted | {"sigint_effect", "sighup_effect"} <= COMMANDS[name].flags.keys()
    assert COMMANDS["train"].flags["iterations"].default == 50
    assert COMMANDS["train"].flags["sigint_effect"].default == "stop"
    assert COMMANDS["train"].flags["sighup_effect"].default == "snapshot"


def test_nothing_is_asked_for(capsys):
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("usage: ")


def test_the_version_is_caffes(capsys):
    assert not main(["--version"])
    assert capsys.readouterr().out == "caffe version 1.0.0\n"


# Mistakes


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("traim", "there is no command 'traim'; the commands are: train, test, time, device_query, compute_image_mean"),
        ("-solver s trian", "there is no command 'trian'"),
        ("train -solvr s", "there is no flag -solvr; the flags are: -gpu, -solver, -model"),
        ("train", "a solver definition is needed to train: -solver solver.prototxt"),
        ("train s.prototxt", "train takes flags only, not 's.prototxt'; see train -help"),
        ("train -solver none.prototxt", "cannot read the solver none.prototxt: No such file or directory"),
        ("train -solver s -snapshot a -weights b", "give -snapshot to resume a training or -weights to fine-tune, not"),
        ("train -solver s -sigint_effect kill", "-sigint_effect is one of stop, snapshot, none, not 'kill'"),
        ("train -solver s -sighup_effect Stop", "-sighup_effect is one of stop, snapshot, none, not 'Stop'"),
        ("test", "model weights are needed to score: -weights net.caffemodel"),
        ("test -weights w", "a model definition is needed: -model net.prototxt"),
        ("test -weights w -model none.prototxt", "cannot read the network none.prototxt"),
        ("test -weights w -model m -iterations 0", "-iterations is 1 or more, not 0"),
        ("test -iterations many", "-iterations is a whole number, not 'many'"),
        ("time", "a model definition is needed: -model net.prototxt"),
        ("time -phase train", "-phase is one of TRAIN, TEST, not 'train'"),
        ("time -model none.prototxt", "cannot read the network none.prototxt"),
        ("time -model", "the flag -model lacks its value"),
        ("time -model m -gpu x", "PyTorch sees no CUDA device"),
        ("device_query 0", "device_query takes flags only, not '0'"),
        ("compute_image_mean", "compute_image_mean takes INPUT_DB [OUTPUT_FILE], none was given; see"),
        ("compute_image_mean a b c", "compute_image_mean takes INPUT_DB [OUTPUT_FILE], not 'a b c'"),
        ("compute_image_mean -backend mdb a", "-backend is one of lmdb, leveldb, not 'mdb'"),
        ("compute_image_mean none", "no LMDB at none"),
        ("compute_image_mean -backend leveldb none", "none"),
        ("convert_imageset a b", "convert_imageset takes ROOTFOLDER/ LISTFILE DB_NAME, not 'a b'"),
        ("convert_imageset a/ none.txt db", "cannot read the list of images none.txt: No such file"),
        ("convert_imageset -resize_width 3 a b c", "-resize_width and -resize_height are given together"),
        ("convert_imageset -resize_width -3 -resize_height -4 a b c", "-resize_width and -resize_height are given"),
        ("extract_features a b c d e", "extract_features takes pretrained_net_param feature_extraction_proto_file"),
        ("extract_features a b c d e f g h i", "extract_features takes pretrained_net_param"),
        ("extract_features w m a,b c 1 lmdb", "there are 2 blobs and 1 datasets; give one dataset for each blob"),
        ("extract_features w m a,b c,c 1 lmdb", "one dataset is named twice in c,c"),
        ("extract_features w m a b x lmdb", "num_mini_batches is a whole number, not 'x'"),
        ("extract_features w m a b 0 lmdb", "num_mini_batches is 1 or more, not 0"),
        ("extract_features w m a b 1 hdf5", "db_type is one of lmdb, leveldb, not 'hdf5'"),
        ("extract_features w m a b 1 lmdb TPU", "the device is CPU or GPU, not 'TPU'"),
        ("extract_features w m a b 1 lmdb CPU", "cannot read the network m"),
        ("upgrade_net_proto_text a", "upgrade_net_proto_text takes OLD_NET_PROTOTXT NEW_NET_PROTOTXT, not 'a'"),
        ("upgrade_net_proto_text none out", "cannot read the network none"),
        ("upgrade_net_proto_binary none out", "cannot read the model none"),
        ("upgrade_solver_proto_text none out", "cannot read the solver none"),
        ("run", "run takes SCRIPT [ARGS...], none was given"),
        ("run none.py -x", "there is no script none.py"),
        ("run -x none.py", "there is no flag -x"),
        ("run -- none.py -x", "there is no script none.py"),
        ("-- run none.py", "there is no script none.py"),
        ("train -- -solver s", "train takes flags only, not '-solver s'"),
        ("train -solver none.prototxt --", "cannot read the solver none.prototxt"),
        ("time -log_dir none -model m", "No such file or directory"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_status_2(argv, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        cli.run(lambda: main(argv.split()))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not re.match(r"[IW]\d{4} ", line)]
    assert stopped.value.code == 2 and line.startswith("error: ") and said in line
    assert list(tmp_path.iterdir()) == []


# Where it computes


@pytest.mark.parametrize(
    ("gpu", "wanted"), [("", []), ("0", [0]), ("1", [1]), ("0,1", [0, 1]), ("1,0", [1, 0]), ("all", [0, 1])]
)
def test_gpus_by_name(two_gpus, gpu, wanted):
    assert devices.gpus_named(gpu) == wanted


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        ("2", "there is no GPU 2; PyTorch sees 2, numbered from 0"),
        ("0,5", "there is no GPU 5"),
        ("0,0", "the GPUs 0,0 name one twice"),
        ("-1", "each GPU in '-1' is 0 or more, not -1"),
        ("0,", "each GPU in '0,' is a whole number, not ''"),
        ("a", "each GPU in 'a' is a whole number, not 'a'"),
    ],
)
def test_gpus_that_are_not_there(two_gpus, gpu, said):
    with pytest.raises(UserError, match=said):
        devices.gpus_named(gpu)


def test_a_gpu_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for gpu in ("0", "all", "0,1"):
        with pytest.raises(UserError, match=f"GPU {gpu} is asked for, but PyTorch sees no CUDA device"):
            devices.gpus_named(gpu)
    assert devices.gpus_named("") == []


@pytest.mark.parametrize(
    ("solver", "wanted"),
    [({}, [0]), ({"solver_mode": 1}, [0]), ({"solver_mode": 1, "device_id": 1}, [1]), ({"solver_mode": 0}, [])],
)
def test_the_solver_says_where(two_gpus, solver, wanted):
    assert devices.gpus_of_solver(pb.SolverParameter(**solver)) == wanted


def test_a_solver_for_a_gpu_runs_without_one(monkeypatch, logged):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.gpus_of_solver(pb.SolverParameter(solver_mode=pb.SolverParameter.GPU)) == []
    assert "The solver's mode is GPU, but PyTorch sees no CUDA device." in logged()[-1]
    assert devices.gpus_of_solver(pb.SolverParameter(solver_mode=pb.SolverParameter.CPU)) == [] and len(logged()) == 1


def test_the_device_that_is_used(two_gpus, logged):
    devices.use([1, 0])
    assert caffe.mode.device() == torch.device("cuda", 1)
    assert logged()[-1].endswith("GPU device name: GPU number 1")
    devices.use([])
    assert caffe.mode.device() == torch.device("cpu") and logged()[-1].endswith("] Use CPU.")


def test_device_query_tells_what_pytorch_knows(two_gpus, monkeypatch, capsys):
    known = SimpleNamespace(name="Tesla", major=7, minor=0, total_memory=16 << 30, multi_processor_count=80)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: known)
    assert not main(["device_query", "-gpu", "1"])
    lines = [re.sub(" +", " ", line.split("] ")[1]) for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "Querying GPUs 1",
        "Device id: 1",
        "Major revision number: 7",
        "Minor revision number: 0",
        "Name: Tesla",
        "Total global memory: 17179869184",
        "Number of multiprocessors: 80",
    ]
    main(["device_query"])
    assert capsys.readouterr().err.count("Device id: ") == 2


def test_device_query_without_a_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="PyTorch sees no CUDA device: there is none"):
        main(["device_query"])


# In processes of their own


def run(*argv, **options):
    command = [sys.executable, "-m", "pydeepexpr.caffe", *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_a_mistake_in_a_process_of_its_own():
    done = run("train", "-solver", "none.prototxt")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: cannot read the solver none.prototxt: No such file or directory\n"


def test_a_script_runs_with_its_own_flags_and_status(tmp_path):
    (tmp_path / "script.py").write_text(
        "import sys, caffe\n"
        "caffe.log('from the script')\n"
        "net = caffe.NetSpec(); net.data = caffe.layers.Input(shape=dict(dim=[2]))\n"
        "print(__name__, sys.argv[1:], net.to_proto().layer[0].type)\n"
        "sys.exit(3)\n"
    )
    done = run("run", tmp_path / "script.py", "-solver", "--help", "x")
    assert (done.returncode, done.stdout) == (3, "__main__ ['-solver', '--help', 'x'] Input\n")
    assert re.fullmatch(r"I\d{4} .*\] from the script\n", done.stderr)
