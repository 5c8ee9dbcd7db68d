"""Folders to look at, as tools/register.py would make them, and where a sheet shows an image."""

import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NAN = float("nan")
LABELS = [3, 0, 3, 5, -1, 3]
POINTS = np.stack(np.meshgrid(np.linspace(20, 88, 7), np.linspace(25, 85, 7)), axis=-1).reshape(49, 2)
SHIFT = [1.5, 0.0, 10.0, 0.0, 1.5, 20.0]  # from source pixels to the registered frame


def picture(number):
    """A smooth picture that no other number has."""
    rng = np.random.default_rng(number)
    return cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)


def make(out, images=None, **columns):
    """Make a registered folder of six faces; `columns` replaces or, with None, drops manifest columns."""
    names = [f"some/folder {number}/{number}.png" for number in range(len(LABELS))]
    for number, name in enumerate(names):
        (out / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(out / "faces" / name), picture(number) if images is None else images[number])
    manifest = {
        "path": [f"faces/{name}" for name in names],
        "source": names,
        "database": ["fer2013"] * 3 + ["kdef"] * 3,
        "expression": pa.array(LABELS, pa.int8()),
        "subject": ["", "", "", "AF01", "AF01", "AM02"],
        "sequence": [""] * 6,
        "frame": pa.array([-1] * 6, pa.int32()),
        "split": ["train", "train", "val", "train", "train", "test"],
        "face": ["detected", "whole-image", "detected", "detected", "detected", "detected"],
        "score": pa.array([0.5, NAN, 0.1, 2.0, 0.1, 1.0], pa.float32()),
        "fit_error": pa.array([3.0, NAN, 9.0, 6.5, 3.0, 7.0], pa.float32()),
        "landmarks": pa.array([POINTS.ravel().tolist()] * 6, pa.list_(pa.float32())),
        "transform": pa.array([SHIFT] * 6, pa.list_(pa.float32())),
        "quality": [[], ["stand-in"], ["poor-fit", "cut-off"], ["poor-fit"], [], ["poor-fit", "faint"]],
    }
    manifest.update(columns)
    pq.write_table(pa.table({k: v for k, v in manifest.items() if v is not None}), out / "manifest.parquet")
    return out


def with_rejects(out, root, rows, database="folder"):
    """Add rejects.csv and register.json."""
    (out / "register.json").write_text(json.dumps({"database": database, "root": str(root), "options": {}}))
    lines = ["path,reason,expression,subject", *rows]
    (out / "rejects.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out


def where(sheet, image):
    """Return the line and column of pixels where a sheet shows an image, pixel by pixel; None where it does not."""
    place = cv2.minMaxLoc(cv2.matchTemplate(sheet, image, cv2.TM_SQDIFF))[2]
    x, y = place
    shown = sheet[y : y + image.shape[0], x : x + image.shape[1]]
    return (y, x) if np.array_equal(shown, image) else None


def small(image, side=100):
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
