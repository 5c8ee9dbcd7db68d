"""Layers that read and write HDF5 files: HDF5Data and HDF5Output."""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import h5py
import numpy as np
import torch
from torch import Tensor

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.layers.base import Layer, Shape, layer
from pydeepexpr.caffe.layers.reading import Reader
from pydeepexpr.caffe.readers import read_bytes
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file


@layer("HDF5Data")
class HDF5Data(Reader):
    """Rows of the HDF5 files that `source` names: for each top the dataset of its name, of any shape behind the rows.

    With `shuffle` each pass has its own order of the files, and of the rows within each, drawn from the seed and the
    number of the pass. One file is in memory at a time.
    """

    @property
    def batch_size(self) -> int:
        return self.param.hdf5_data_param.batch_size

    def setup(self) -> None:
        if self.param.HasField("transform_param"):
            self.refuse("does not transform data; take its transform_param away")
        super().setup()
        source = self.param.hdf5_data_param.source
        self._files = read_bytes(source, "list of HDF5 files").decode("utf-8", "surrogateescape").split()
        if not self._files:
            self.refuse(f"finds no file in the list of HDF5 files {source}")
        shapes = [self._shapes(file) for file in self._files]
        for file, found in zip(self._files, shapes, strict=True):
            if len({rows for rows, *_ in found}) > 1:
                self.refuse(f"finds different numbers of rows in the datasets of {file}")
            if [row for _, *row in found] != [row for _, *row in shapes[0]]:
                self.refuse(f"finds rows of other shapes in {file} than in {self._files[0]}")
        self._row_shapes = [row for _, *row in shapes[0]]
        self._rows = [found[0][0] for found in shapes]
        if not sum(self._rows):
            self.refuse(f"finds no rows in the files that {source} names")

    def top_shapes(self) -> list[Shape]:
        return [(self.batch_size, *row) for row in self._row_shapes]

    def forward(self) -> Sequence[Tensor]:
        return [torch.from_numpy(top).to(mode.device()) for top in self.next_batch()]

    def batches(self, first: int) -> Generator:
        """Yield a list of one array for each top."""
        in_memory, datasets = None, []
        parts: list[list[np.ndarray]] = []
        missing = self.batch_size
        for file, rows in self._pieces(self.first_record(first)):
            if len(rows) and file != in_memory:
                in_memory, datasets = file, self._read(file)
            while len(rows):
                parts.append([data[rows[:missing]] for data in datasets])
                rows, missing = rows[missing:], missing - len(parts[-1][0])
                if not missing:
                    yield [np.concatenate(of_top) for of_top in zip(*parts, strict=True)]
                    parts, missing = [], self.batch_size

    def _pieces(self, start: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each file's number in turn, for ever, with the rows of it that are due, from record `start` on."""
        shuffle = self.param.hdf5_data_param.shuffle
        epoch, start = divmod(start, sum(self._rows))
        while True:
            files = range(len(self._files))
            for file in self.order(len(files), epoch) if shuffle else files:
                count = self._rows[file]
                rows = self.order(count, epoch, file) if shuffle else np.arange(count)
                yield file, rows[start :: self.solvers]
                start = start - count if start >= count else (start - count) % self.solvers
            epoch += 1

    def _shapes(self, file: str) -> list[Shape]:
        """Return the shapes of the tops' datasets."""
        with _reading(self, file) as opened:
            return [self._dataset(opened, top).shape for top in self.param.top]

    def _read(self, number: int) -> list[np.ndarray]:
        """Return the tops' datasets as float32."""
        file = self._files[number]
        with _reading(self, file) as opened:
            data = [self._dataset(opened, top).astype(np.float32)[()] for top in self.param.top]
        if [list(rows.shape) for rows in data] != [[self._rows[number], *row] for row in self._row_shapes]:
            self.refuse(f"finds that {file} has changed since the layer was made")
        return data

    def _dataset(self, opened: h5py.File, top: str) -> h5py.Dataset:
        data = opened.get(top)
        if not isinstance(data, h5py.Dataset) or not data.shape or data.dtype.kind not in "fiub":
            self.refuse(
                f"needs a dataset {top!r} of numbers, by rows, in {opened.filename}; "
                f"it has: {', '.join(opened) or 'nothing'}"
            )
        return data


@contextmanager
def _reading(layer: Layer, file: str) -> Iterator[h5py.File]:
    """Open a file; an error in reading it is one line that names it."""
    try:
        with h5py.File(file, "r") as opened:
            yield opened
    except UserError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        why = "no such file" if not os.path.exists(file) else str(error).splitlines()[0]
        raise UserError(f"layer {layer.name!r} ({layer.type}) cannot read {file}: {why}") from None


@layer("HDF5Output")
class HDF5Output(Layer):
    """Write two bottoms as the datasets `data` and `label` of the file `file_name`, as num×channels×height×width.

    The first forward makes the file anew. Each further one adds its rows behind those that are there; Caffe itself
    cannot write a second batch.
    """

    bottoms, tops = (2, 2), (0, 0)
    no_gradient_to = (0, 1)

    def setup(self, *bottoms: Shape) -> None:
        self._file = self.param.hdf5_output_param.file_name
        self._written = False
        if not self._file:
            raise UserError(f"layer {self.name!r} (HDF5Output) needs a file_name in hdf5_output_param")

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        if any(len(shape) > 4 for shape in bottoms):
            raise UserError(f"layer {self.name!r} (HDF5Output) takes up to four axes, not {bottoms}")
        if [shape[:1] for shape in bottoms[1:]] != [bottoms[0][:1]]:
            raise UserError(f"layer {self.name!r} (HDF5Output) takes as many labels as data, not {bottoms}")
        return []

    def forward(self, *bottoms: Tensor) -> Sequence[Tensor]:
        self.top_shapes(*(tuple(bottom.shape) for bottom in bottoms))
        rows = {
            name: bottom.float().reshape(*bottom.shape, *[1] * (4 - bottom.dim())).cpu().numpy()
            for name, bottom in zip(("data", "label"), bottoms, strict=True)
        }
        try:
            if self._written:
                with h5py.File(self._file, "r+") as file:
                    _append(file, rows)
            else:
                with atomic_file(self._file) as partial, h5py.File(partial, "w") as file:
                    _create(file, rows)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            said = str(error).splitlines()[0]
            raise UserError(f"layer {self.name!r} (HDF5Output) cannot write {self._file}: {said}") from None
        self._written = True
        return []


def _create(file: h5py.File, rows: dict[str, np.ndarray]) -> None:
    for name, values in rows.items():
        file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))


def _append(file: h5py.File, rows: dict[str, np.ndarray]) -> None:
    for name, values in rows.items():
        if file[name].shape[1:] != values.shape[1:]:
            raise ValueError(f"its {name} has rows of {file[name].shape[1:]}, these are {values.shape[1:]}")
    for name, values in rows.items():
        data = file[name]
        data.resize(len(data) + len(values), axis=0)
        data[-len(values) :] = values
