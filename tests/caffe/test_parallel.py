"""Training in several processes: two of them, on the CPU, and one with a batch of twice the size."""

import re
from functools import partial
from multiprocessing import Pipe
from types import SimpleNamespace

import lmdb
import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe import launching, mode, parallel
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.parallel import Alone, Ended, Group, current_group, free_port, gpus_here, joined
from pydeepexpr.errors import UserError
from tests.caffe.conftest import raw_datum
from tests.caffe.solver_texts import DROPPED, FIXED, HEAD, PLAIN, SETTINGS, assert_same, data, parameters
from tests.caffe.training_together import everything

COMMON = 'lr_policy: "fixed" random_seed: 3 max_iter: 6 '
#: Solvers whose parameters must be those of one process with the doubled batch.
EQUAL = {
    "sgd": f"{SETTINGS['SGD']} weight_decay: 0.01 display: 1 test_iter: 1 test_interval: 2",
    "sgd_parts": f"{SETTINGS['SGD']} iter_size: 2 clip_gradients: 0.5",
    "adam": f'type: "Adam" {SETTINGS["Adam"]}',
    "adam_parts": f'type: "Adam" {SETTINGS["Adam"]} iter_size: 3 clip_gradients: 0.5',
}
OTHERS = {
    "unseeded": FIXED + "max_iter: 2",
    "masks": FIXED + "random_seed: 3 max_iter: 2",
    "whole": COMMON + "base_lr: 0.05 momentum: 0.9 snapshot: 3",
    "hangup": COMMON + "base_lr: 0.05 snapshot_after_train: false",
    "stop": COMMON + "base_lr: 0.05",
    "stop_in_test": COMMON + "base_lr: 0.05 test_iter: 2 test_interval: 2 snapshot_after_train: false",
    "broken": COMMON + "base_lr: 0.05",
}
CUT = "crop_size: 7 mirror: true"
BATCH = 4
#: The same input in each row, so that only dropout can tell two of them apart.
CONSTANT = f"""layer {{ name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {{
  shape {{ dim: {BATCH} dim: 5 }} shape {{ dim: {BATCH} }}
  data_filler {{ value: 1 }} data_filler {{ value: 2 }} }} }}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes left, that trained all solvers together and were ended by the death of the second."""
    folder = tmp_path_factory.mktemp("together")
    pixels = np.random.default_rng(5).integers(0, 256, (13, 12, 10, 3), np.uint8)
    with lmdb.open(str(folder / "lmdb"), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for number, image in enumerate(pixels):
            transaction.put(f"{number:08d}".encode(), raw_datum(image, number).SerializeToString())
    (folder / "net.prototxt").write_text(data(folder / "lmdb", BATCH, CUT) + PLAIN + HEAD)
    (folder / "net_doubled.prototxt").write_text(data(folder / "lmdb", 2 * BATCH, CUT) + PLAIN + HEAD)
    (folder / "net_masks.prototxt").write_text(CONSTANT + DROPPED + HEAD)
    for name, text in [*((name, COMMON + text) for name, text in EQUAL.items()), *OTHERS.items()]:
        net = folder / ("net_masks.prototxt" if name == "masks" else "net.prototxt")
        (folder / f"{name}.prototxt").write_text(f'{text} net: "{net}" snapshot_prefix: "{folder / "out" / name}"')
    ports = [free_port() for _ in range(3)]
    with pytest.raises(UserError) as ended:
        launching.launch(partial(everything, folder, list(EQUAL), ports, caffe.NCCL.new_uid()), 2)
    (folder / "ended").write_text(str(ended.value))
    return folder


def trained(folder, name):
    """Return what each of the two processes had at the end, with the parameters apart."""
    both = []
    for rank in range(2):
        held = dict(np.load(folder / f"{name}_{rank}.npz"))
        rest = SimpleNamespace(**{key: held.pop(key) for key in ("iter", "seed", "seen")})
        rest.parameters = held
        both.append(rest)
    return both


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_do_what_one_does_with_the_doubled_batch(folder, name):
    one, other = trained(folder, name)
    assert_same(one.parameters, other.parameters)
    doubled = folder / "doubled.prototxt"
    doubled.write_text(f'{COMMON} {EQUAL[name]} net: "{folder / "net_doubled.prototxt"}" snapshot_after_train: false')
    whole = caffe.get_solver(str(doubled))
    before = parameters(whole)
    whole.solve()
    whole.close()
    for key, wanted in parameters(whole).items():
        # Sums over 8 rows and means of two sums over 4 round differently, by some 1e-7 of the gradient; Adam divides
        # small gradients by themselves, and so shows more of it.
        np.testing.assert_allclose(one.parameters[key], wanted, rtol=1e-4, atol=1e-5, err_msg=key)
        assert np.abs(wanted - before[key]).max() > 1e-3


def test_without_a_seed_the_first_process_draws_one_for_all(folder):
    one, other = trained(folder, "unseeded")
    assert one.seed == other.seed
    assert_same(one.parameters, other.parameters)


def test_each_process_draws_its_own_masks_and_they_learn_alike(folder):
    one, other = trained(folder, "masks")
    assert_same(one.parameters, other.parameters)
    assert ((one.seen == 0) != (other.seen == 0)).any()


def test_the_first_alone_logs_tests_and_takes_snapshots(folder):
    log, others = ((folder / f"log_{rank}").read_text() for rank in range(2))
    assert others == ""
    for words in ("Iteration 2, Testing net (#0)", "Iteration 5, lr = 0.05", "Train net output #0: loss = "):
        assert words in log, words
    for iteration in (3, 6):  # once by "whole"; "resumed" writes the last again
        assert len(re.findall(rf"binary proto file .*whole_iter_{iteration}\.caffemodel", log)) == iteration / 3


def test_a_resumed_training_is_the_uninterrupted_one(folder):
    for resumed, whole in zip(trained(folder, "resumed"), trained(folder, "whole"), strict=True):
        assert resumed.iter == whole.iter == 6
        assert_same(resumed.parameters, whole.parameters)
        np.testing.assert_array_equal(resumed.seen, whole.seen)  # of each process's own records


def test_a_hangup_takes_one_snapshot_and_the_training_goes_on(folder):
    assert [process.iter for process in trained(folder, "hangup")] == [6, 6]
    assert sorted(path.name for path in (folder / "out").glob("hangup*.solverstate")) == ["hangup_iter_4.solverstate"]


def test_an_interrupt_stops_all_after_the_same_iteration(folder):
    one, other = trained(folder, "stop")
    assert one.iter == other.iter == 4
    assert_same(one.parameters, other.parameters)
    assert (folder / "out" / "stop_iter_4.solverstate").exists()


def test_an_interrupt_while_the_first_tests_stops_all_before_the_next_iteration(folder):
    assert [process.iter for process in trained(folder, "stop_in_test")] == [2, 2]
    assert "Test interrupted." in (folder / "log_0").read_text()


@pytest.mark.parametrize("name", ["by_hand", "nccl"])
def test_loops_of_the_users_own_do_what_solve_does(folder, name):
    for process, wanted in zip(trained(folder, name), trained(folder, "sgd"), strict=True):
        assert process.iter == 6
        assert_same(process.parameters, wanted.parameters)


def test_an_error_in_one_process_ends_the_others(folder):
    assert (folder / "error_1").read_text() == "UserError: this one is broken"
    told = (folder / "error_0").read_text()
    # "Connection closed by peer …" or "Read error …: Connection reset by peer", as the other's end is met
    assert re.fullmatch(
        r"Ended: another process of this training has ended or cannot be reached \(.*Connection.*\); see its error",
        told,
    )
    assert not (folder / "broken_0.npz").exists()


def test_the_death_of_one_process_is_told_and_ends_the_others(folder):
    told = (folder / "ended").read_text()
    assert told == "process 1 of the 2 was ended by SIGKILL (out of memory?)"
    assert not (folder / "killed_0.npz").exists()


# One process, and none to meet


@pytest.fixture
def environment(monkeypatch):
    """A function that sets what torchrun tells its processes; before it, nothing is told."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)

    def tell(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    return tell


def test_a_process_that_was_started_alone_stays_alone(environment):
    with joined() as group:
        assert type(group) is Alone and group is current_group()
        assert group.first(5) == 5 and group.any(True) and not group.any(False)
    assert not parallel.is_one_of_several() and mode.solver_count() == 1


def test_a_group_of_one_does_what_a_process_does_alone(environment, make_solver):
    text = FIXED + "momentum: 0.9 random_seed: 2 max_iter: 3 snapshot_after_train: false"
    alone = make_solver(text)
    alone.solve()
    environment(RANK=0, WORLD_SIZE=1, MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port())
    with joined() as group:
        assert type(group) is Group and parallel.is_one_of_several()
        one = make_solver(text)
        one.solve()
    assert_same(parameters(one), parameters(alone))
    assert type(current_group()) is Alone


def test_a_net_that_learns_nothing_has_nothing_to_average(environment, make_solver):
    environment(RANK=0, WORLD_SIZE=1, MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port())
    net = 'layer { name: "in" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 } } }'
    with joined():
        solver = make_solver(FIXED, net)
        solver.step(2)
    assert solver.iter == 2


def test_an_error_within_leaves_nothing_behind(environment):
    level = log.level
    for _ in range(2):
        environment(RANK=0, WORLD_SIZE=1, MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port())
        with pytest.raises(ValueError, match="mine"), joined():
            raise ValueError("mine")
        assert (mode.solver_count(), mode.solver_rank(), log.level) == (1, 0, level)
        assert type(current_group()) is Alone


@pytest.mark.parametrize(
    "told",
    [
        {"RANK": 0, "WORLD_SIZE": 2},
        {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1"},
        {"RANK": "first", "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1},
        {"RANK": 0, "WORLD_SIZE": "two", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1},
        {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1 << 20},
    ],
)
def test_an_environment_in_which_nobody_can_be_met(environment, told):
    environment(**told)
    with pytest.raises(UserError, match="cannot join the other processes of this training: ") as error, joined():
        pass
    assert "\n" not in str(error.value) and type(current_group()) is Alone


def test_each_process_takes_its_gpu(environment):
    assert gpus_here([]) == [] and gpus_here([2, 5]) == [2, 5]
    environment(RANK=5, WORLD_SIZE=8, LOCAL_RANK=1)
    assert gpus_here([]) == [] and gpus_here([2, 5]) == [5]
    with pytest.raises(UserError, match=r"2 processes or more on this machine share 1 GPU\(s\); name one for each"):
        gpus_here([2])


# What comes of processes


def outcome(ends):
    """Return what is made of processes that ended so: with an error that they told, or a status (None: not yet)."""
    inboxes, outboxes = zip(*(Pipe(duplex=False) for _ in ends), strict=True)
    processes = []
    for end, outbox in zip(ends, outboxes, strict=True):
        if isinstance(end, Exception):
            outbox.send(end)
            end = launching._TOLD
        processes.append(SimpleNamespace(exitcode=end))
    return launching._outcome(processes, inboxes)


LOST = Ended("another has ended")


@pytest.mark.parametrize(
    ("ends", "raised"),
    [
        ([LOST, UserError("mine")], "mine"),
        ([UserError("one"), UserError("other")], "one"),
        ([LOST, OSError("disk full")], "disk full"),
        ([LOST, -9], r"process 1 of the 2 was ended by SIGKILL \(out of memory\?\)$"),
        ([-15, 0], "process 0 of the 2 was ended by SIGTERM$"),
        ([-6, UserError("mine"), LOST], "mine"),
        ([LOST, LOST], "another has ended"),
        ([None, UserError("mine")], "mine"),
    ],
)
def test_the_error_that_began_it_is_the_one_told(ends, raised):
    with pytest.raises((UserError, OSError), match=raised):
        outcome(ends)


@pytest.mark.parametrize(("ends", "status"), [([0, 0], 0), ([0, 3], 3), ([LOST, 1], 1), ([None, 1], 1)])
def test_a_status_that_says_enough(ends, status):
    assert outcome(ends) == status


def test_a_uid_is_of_the_type_that_pycaffes_own_test_wants():
    assert caffe.has_nccl() and isinstance(caffe.NCCL.new_uid(), bytes)
