"""Training a network: a solver resolved for the data at hand, run, and turned into a model with its card.

The run's folder keeps the solver and the net as files, and those are what the chosen Caffe (`engine.py`) trains from.
"""

import json
import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import Message
from tqdm import tqdm

from pydeepexpr import engine, paths
from pydeepexpr.caffe.crops import CROPS
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.caffe.mode import TEST, TRAIN
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net, read_solver
from pydeepexpr.card import write_card
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file, sha256_of
from pydeepexpr.frozen import compute_once
from pydeepexpr.training_log import parse_log, write_csv
from pydeepexpr.tuned import save_tuned, weight_files

__all__ = ["Options", "resolve", "train"]


@dataclass(frozen=True)
class Options:
    """What a training is asked for, beside its solver.

    Attributes
    ----------
    data : Path, optional
        Folder with `train_lmdb` and `val_lmdb`, in the place of the sources that the network names.
    epochs, drop_every : float, optional
        Length, and interval between two drops of the rate, in passes through the training images.
    iterations : int, optional
        Length in iterations, in the place of `epochs`.
    weights : Path, optional
        A `.caffemodel` to start from; it becomes the model's parent.
    snapshot : Path, optional
        A `.solverstate` to go on from.
    seed : int, optional
        In the place of the solver's `random_seed`.
    precision : str
        ``fp32`` or ``bf16``.
    stage : str, optional
        The stage of both states, in the place of the solver's: what a network with several readings is to be.
    tuned_only : bool
        The model keeps the layers alone that differ from `weights`.
    crops : str
        The rule by which training images are cropped (`caffe.crops.RULES`).
    once : bool
        Compute what stays as it is once, for each view of each training image that `crops` gives, and train the rest on
        that; implies `tuned_only`.
    """

    data: Path | None = None
    epochs: float | None = None
    drop_every: float | None = None
    iterations: int | None = None
    weights: Path | None = None
    snapshot: Path | None = None
    seed: int | None = None
    precision: str = "fp32"
    stage: str | None = None
    tuned_only: bool = False
    crops: str = "random"
    once: bool = False


def resolve(solver_file: Path, out: Path, options: Options) -> tuple[pb.SolverParameter, pb.NetParameter]:
    """Return the solver and the net of a run, with the LMDBs, the lengths and the places filled in.

    An epoch is ceil(images / batch) iterations, also where the LMDB holds several crops of each image. Without
    `epochs` and `iterations` the solver's own numbers stand; a solver of the paper's is written for the paper's number
    of images.

    Raises
    ------
    UserError
        If a file or an LMDB cannot be read, a number is out of range, or images were to be cropped twice.
    """
    for name in ("epochs", "iterations", "drop_every"):
        if (given := getattr(options, name)) is not None and given <= 0:
            raise UserError(f"--{name.replace('_', '-')} must be above 0, not {given:g}")
    solver = read_solver(solver_file)
    if not solver.net:
        raise UserError(f'the solver {solver_file} names no net; add `net: "…"`')
    net = read_net(paths.find(solver.net))
    if options.stage is not None:
        _set_stage(solver, net, options.stage)
    layers = {layer.include[0].phase if layer.include else None: layer for layer in net.layer if layer.type == "Data"}
    if TRAIN not in layers:
        raise UserError(f"the network {solver.net} has no Data layer for the phase TRAIN")
    for phase, folder in ((TRAIN, "train_lmdb"), (TEST, "val_lmdb")):
        if options.data is not None and phase in layers:
            layers[phase].data_param.source = str(options.data / folder)
    images = {phase: len(LmdbSource(layer.data_param.source)) for phase, layer in layers.items()}
    held = _crops_held(Path(layers[TRAIN].data_param.source))
    if "random" not in (held, options.crops):
        raise UserError(f"{layers[TRAIN].data_param.source} holds crops already; leave --crops {options.crops} out")
    if options.crops != "random" and not layers[TRAIN].transform_param.crop_size:
        raise UserError(f"the network {solver.net} has no crop_size for the phase TRAIN, so --crops has nothing to cut")
    epoch = math.ceil(images[TRAIN] // CROPS.get(held, 1) / layers[TRAIN].data_param.batch_size)
    if options.epochs is not None:
        solver.max_iter = max(round(options.epochs * epoch), 1)
        solver.test_interval = solver.snapshot = min(epoch, solver.max_iter)
    if options.iterations is not None:
        solver.max_iter = options.iterations
    if options.drop_every is not None:
        solver.stepsize = max(round(options.drop_every * epoch), 1)
    if TEST in layers:
        del solver.test_iter[:]
        solver.test_iter.append(math.ceil(images[TEST] / layers[TEST].data_param.batch_size))
    if options.seed is not None:
        solver.random_seed = options.seed
    solver.net = str(out / "train_val.prototxt")
    solver.snapshot_prefix = str(out / out.name)
    return solver, net


def train(solver_file: Path, out: Path, options: Options, deploy: Path) -> Path | None:
    """Run a training in the folder `out` and return the model it ends with, or None where Ctrl-C stopped it.

    `out` keeps the solver and the net as they were run (real Caffe reads them), Caffe's log, `log.csv`, `curve.png`,
    the snapshots, and at the end `NAME.caffemodel` with its card.
    """
    tuned_only = options.tuned_only or options.once
    if tuned_only and options.weights is None:
        raise UserError("--tuned-only and --once build on --weights, which is not given")
    if options.once and options.crops == "random":
        raise UserError(f"--once cannot compute random crops; give it --crops {' or '.join(CROPS)}")
    _check_there("model", options.weights)
    _check_there("solver state", options.snapshot)
    engine.use_precision(options.precision)
    engine.use_crops("random" if options.once else options.crops)
    parents = weight_files(options.weights) if options.weights else []
    solver_param, net_param = resolve(solver_file, out, options)
    to_run = _write_run(out, solver_param, net_param)
    if options.once:
        to_run = _above_frozen(solver_param, net_param, parents, options.crops)
    done = _solve(to_run, out / "train.log", solver_param.max_iter, parents, options.snapshot)
    report(out)
    if done < solver_param.max_iter:
        return None
    last = Path(f"{solver_param.snapshot_prefix}_iter_{done}.caffemodel")
    model = out / f"{out.name}.caffemodel"
    if tuned_only:
        save_tuned(last, parents, model)
    else:
        with atomic_file(model) as partial:
            shutil.copyfile(last, partial)
    write_card(
        model,
        deploy=deploy,
        transform=_test_transform(net_param),
        parent=options.weights,
        tuned_only=tuned_only,
        training={
            "stages": list(solver_param.train_state.stage),
            "solver": text_format.MessageToString(solver_param),
            "iterations": solver_param.max_iter,
            "precision": options.precision,
            "seed": solver_param.random_seed,
            "data": _hash_of_data(options.data),
            "crops": options.crops,
            "once": options.once,
        },
    )
    shutil.rmtree(_frozen_folder(solver_param), ignore_errors=True)
    return model


def report(out: Path) -> None:
    """Write `log.csv` and `curve.png` from a run's log."""
    from pydeepexpr.evaluation.curves_figure import draw_curves  # matplotlib is slow to import

    rows = parse_log((out / "train.log").read_text(encoding="utf-8", errors="replace"))
    write_csv(out / "log.csv", rows)
    draw_curves({out.name: rows}, out / "curve.png")


def _check_there(what: str, file: Path | None) -> None:
    """Refuse a file that does not exist; real Caffe would abort the process over it."""
    if file is not None and not file.is_file():
        raise UserError(f"cannot read the {what} {file}: there is no such file")


def _write_run(folder: Path, solver: pb.SolverParameter, net: pb.NetParameter) -> Path:
    """Write what to run, for the chosen Caffe and for later; return the solver's file."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_text(folder / "train_val.prototxt", net)
    return _write_text(folder / "solver.prototxt", solver)


def _write_text(path: Path, message: Message) -> Path:
    with atomic_file(path) as partial:
        partial.write_text(text_format.MessageToString(message), encoding="utf-8")
    return path


def _solve(solver_file: Path, log: Path, last: int, parents: list[Path], snapshot: Path | None) -> int:
    """Train from the parents' weights, or from a snapshot, to the iteration `last`; return how far it went.

    Ctrl-C stops the own engine with a snapshot. In real Caffe it is a KeyboardInterrupt, raised where it next calls the
    progress bar: what it has written before stays to resume from.
    """
    with engine.logging_to(log), engine.opened_solver(solver_file) as solver:
        for weights in parents:
            solver.net.copy_from(str(weights))
        if snapshot is not None:
            solver.restore(str(snapshot))
        with tqdm(total=last, initial=solver.iter, unit="it", disable=not sys.stderr.isatty()) as bar:
            solver.add_callback(lambda: None, bar.update)
            solver.solve()
        return solver.iter


def _frozen_folder(solver: pb.SolverParameter) -> Path:
    return Path(solver.snapshot_prefix).parent / "frozen"


def _above_frozen(solver: pb.SolverParameter, net: pb.NetParameter, parents: list[Path], crops: str) -> Path:
    """Compute the frozen layers, once; return the file of a solver for what lies above them."""
    folder, seed = _frozen_folder(solver), max(solver.random_seed, 0)
    rest = compute_once(net, solver.train_state, parents, folder, crops, seed)
    above = pb.SolverParameter()
    above.CopyFrom(solver)
    above.net = str(folder / "train_val.prototxt")
    return _write_run(folder, above, rest)


def _set_stage(solver: pb.SolverParameter, net: pb.NetParameter, stage: str) -> None:
    """Let training and test nets be built for a stage that the network's rules know."""
    rules = [rule for layer in net.layer for rule in (*layer.include, *layer.exclude)]
    known = dict.fromkeys(name for rule in rules for name in (*rule.stage, *rule.not_stage))
    if stage not in known:
        raise UserError(f"the network {solver.net} knows no stage {stage!r}; it has: {', '.join(known) or 'none'}")
    solver.train_state.stage[:] = [stage]
    for state in solver.test_state or [solver.test_state.add()]:
        state.stage[:] = [stage]


def newest_snapshot(out: Path) -> Path | None:
    """Return the `.solverstate` of the highest iteration in a run's folder, or None."""
    states = {int(path.stem.rsplit("_iter_", 1)[1]): path for path in out.glob("*_iter_*.solverstate")}
    return states[max(states)] if states else None


def _test_transform(net: pb.NetParameter) -> pb.TransformationParameter:
    """Return how the net's pixels are prepared when testing."""
    data = [layer for layer in net.layer if layer.type == "Data"]
    return next((layer for layer in data if any(rule.phase == TEST for rule in layer.include)), data[0]).transform_param


def _crops_held(lmdb: Path) -> str:
    """Return by which rule an LMDB's images are crops already, as the build.json beside it says; whole ones: random."""
    made = lmdb.parent / "build.json"
    try:
        rule = json.loads(made.read_text(encoding="utf-8")).get("crops")
        return rule if rule in CROPS else "random"
    except FileNotFoundError:
        return "random"
    except (OSError, ValueError, AttributeError, TypeError):
        raise UserError(f"cannot read {made}, which says how the LMDB was built; build it again") from None


def _hash_of_data(data: Path | None) -> str | None:
    made = data / "build.json" if data else None
    return sha256_of(made) if made and made.exists() else None
