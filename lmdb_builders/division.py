"""Registered faces to splits, by one of several rules."""

import numpy as np

from lmdb_builders.registered import RegisteredFaces
from lmdb_builders.splits import (
    SPLITS,
    assign_splits,
    block_splits,
    fold_splits,
    folds_of,
    group_ids,
    training_order,
)
from pydeepexpr.errors import UserError
from pydeepexpr.persons import why_persons_mix

__all__ = ["FOLDS", "GAP", "SPLIT_RULES", "divide", "why_people_mix"]

SPLIT_RULES = ("own", "stratified", "blocks", "random", "folds")

#: The papers' cross-validation (ACCV 2016, section 4).
FOLDS = 5

#: Frames left out between two blocks. FERG-DB's sequences hold about 1,330 frames between 15 to 20 key poses.
GAP = 75


def divide(faces: RegisteredFaces, options: dict) -> tuple[dict[str, list[int]], np.ndarray, dict[str, int]]:
    """Return the rows of each split, the fold of each face (-1 where there are none), and what was left out.

    Rows stand in the order of their keys: train is shuffled, val and test stand as they came. `in_gaps` counts the
    faces between blocks, `held_out` those that a character's being held out leaves without a part (`_held_out`).
    """
    labels = np.array(faces.column("expression"), dtype=np.int64)
    fold_of = np.full(len(labels), -1)
    if options["split"] == "folds":
        groups = group_ids(*(faces.column(name) for name in ("database", "subject", "sequence")))
        alike = {"seed": options["seed"], "origins": _origins(faces)}
        fold_of = folds_of(labels, groups, options["folds"], **alike)
        splits = fold_splits(labels, groups, fold_of, options["fold"], val=options["val"], **alike)
    else:
        splits = _splits(faces, labels, options)
    left_out = {"in_gaps": int((splits == "").sum()), "held_out": 0}
    if "hold_out" in options:
        splits = _held_out(faces, splits, options["hold_out"])
        left_out["held_out"] = int((splits == "").sum()) - left_out["in_gaps"]
    rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
    rows["train"] = rows["train"][training_order(labels[rows["train"]], options["balance"], options["seed"])]
    return {name: indices.tolist() for name, indices in rows.items()}, fold_of, left_out


def _splits(faces: RegisteredFaces, labels: np.ndarray, options: dict) -> np.ndarray:
    """Return the split of each face; none for those in the gaps between blocks."""
    rule, seed = options["split"], options["seed"]
    shares = {name: options[name] for name in ("val", "test")}
    names = [faces.column(name) for name in ("database", "subject", "sequence")]
    if rule == "blocks":
        frames = np.array(faces.column("frame"), dtype=np.int64)
        if loose := sum(not name or frame < 0 for name, frame in zip(names[2], frames, strict=True)):
            raise UserError(
                f"{loose} of {len(frames)} images have no sequence or frame number; --split blocks needs both"
            )
        sequences = ["/".join(filter(None, name)) for name in zip(*names, strict=True)]
        return block_splits(sequences, frames, gap=options["gap"], seed=seed, **shares)
    own = faces.column("split") if rule == "own" else [""] * len(labels)
    if rule == "own" and any(who and not split for who, split in zip(faces.column("character"), own, strict=True)):
        raise UserError(
            "characters' frames without a split of their own must not be divided one by one, for neighbours are nearly "
            "alike; use --split blocks (or random, to compare with)"
        )
    groups = np.arange(len(labels)) if rule == "random" else group_ids(*names)
    return assign_splits(labels, groups, own, seed=seed, origins=_origins(faces), **shares)


def _held_out(faces: RegisteredFaces, splits: np.ndarray, name: str) -> np.ndarray:
    """Let a character's test frames alone test, and the others alone train and validate.

    So the network never sees the character, and is tested on the very frames that test the one that did.
    """
    column = np.array(faces.column("character"))
    if name not in column:
        known = ", ".join(sorted({*column} - {""})) or "none"
        raise UserError(f"there is no character {name!r} to hold out among the registered faces; there are: {known}")
    kept = np.where((column == name) == (splits == "test"), splits, "")
    if not (kept == "test").any():
        raise UserError(f"no frame of {name} falls to the test split, so holding it out tests nothing; raise --test")
    return kept


def _origins(faces: RegisteredFaces) -> np.ndarray | None:
    """Number the database of each face; None where there is one alone."""
    names, origins = np.unique(faces.column("database"), return_inverse=True)
    return origins if len(names) > 1 else None


def why_people_mix(chosen: dict[str, RegisteredFaces]) -> str | None:
    """Return `persons.why_persons_mix` of the faces that are people's; None where none is."""
    columns = ("database", "subject", "character")
    people = [
        (base, who, name)
        for name, faces in chosen.items()
        for base, who, character in zip(*map(faces.column, columns), strict=True)
        if not character
    ]
    return why_persons_mix(*zip(*people, strict=True)) if people else None
