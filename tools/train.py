#!/usr/bin/env python3
"""Train a network with its Caffe solver on LMDBs, by epochs or by iterations."""

import argparse
from pathlib import Path

from pydeepexpr import cli, engine, paths, training
from pydeepexpr.caffe.crops import RULES
from pydeepexpr.errors import UserError


def main() -> int | None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--solver", type=Path, default=Path("solvers/human.prototxt"))
    parser.add_argument("--deploy", type=Path, default=Path("prototxt/human_deploy.prototxt"))
    parser.add_argument("--data", type=Path, help="folder with train_lmdb and val_lmdb (tools/build_lmdb.py)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/human"), help="the run's folder; its name names the model"
    )
    parser.add_argument("--epochs", type=float, help="length in passes through the training images")
    parser.add_argument("--drop-every", type=float, metavar="EPOCHS", help="epochs between two drops of the rate")
    parser.add_argument("--iterations", type=int, help="length in iterations, in the place of --epochs")
    parser.add_argument("--weights", type=Path, help="a .caffemodel to start from")
    parser.add_argument(
        "--stage", help="which reading of a network that has several: fc7, fc6-fc7, fc6-new or fc6-map of finetune"
    )
    parser.add_argument(
        "--tuned-only", action="store_true", help="keep only the layers that differ from --weights: a small model"
    )
    parser.add_argument(
        "--crops",
        choices=RULES,
        default="random",
        help="how training images are cropped: anew in every epoch, or to fixed views, another in every epoch: the "
        "centre; it and its mirror image; centre, corners and their mirror images (the papers')",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="compute what stays as it is once, for each view that --crops gives; implies --tuned-only",
    )
    parser.add_argument("--snapshot", type=Path, help="a .solverstate to go on from")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest snapshot in --out, if there is one"
    )
    parser.add_argument("--seed", type=int, help="in the place of the solver's random_seed")
    parser.add_argument("--precision", choices=engine.PRECISIONS, default="fp32")
    parser.add_argument("--device", choices=engine.DEVICES, default="auto")
    a = parser.parse_args()
    snapshot = a.snapshot
    if training.newest_snapshot(a.out) and not snapshot:
        if not a.resume:
            raise UserError(f"{a.out} holds a training already; go on with --resume, or choose another --out")
        snapshot = training.newest_snapshot(a.out)
    engine.use_device(a.device)
    options = training.Options(
        a.data, a.epochs, a.drop_every, a.iterations, a.weights, snapshot, a.seed, a.precision, a.stage, a.tuned_only,
        a.crops, a.once,
    )  # fmt: skip
    model = training.train(paths.find(a.solver), a.out, options, paths.find(a.deploy))
    if model is None:
        print(f"stopped; the same command with --resume goes on from the snapshot in {a.out}")
        return 130
    print(f"wrote {model}")
    return 0


if __name__ == "__main__":
    cli.run(main)
