"""The Data layer: batches from an LMDB, prepared in the background."""

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.datum import datum_to_image
from pydeepexpr.caffe.layers.base import Layer, Shape, layer
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.transform import Transformer
from pydeepexpr.errors import UserError

_DECODERS = min(8, os.cpu_count() or 1)


class Prefetcher:
    """Draws items from an iterator in a thread, some ahead. The thread's error is raised where items are read."""

    def __init__(self, items: Iterator, ahead: int):
        self._queue: queue.Queue = queue.Queue(maxsize=max(ahead, 1))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(items,), daemon=True)
        self._thread.start()

    def _fill(self, items: Iterator) -> None:
        try:
            for item in items:
                if not self._put((item, None)):
                    return
        except Exception as error:
            self._put((None, error))

    def _put(self, entry: tuple) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def __next__(self):
        item, error = self._queue.get()
        if error is not None:
            self._queue.put((None, error))  # whoever asks again hears it again
            raise error
        return item

    def close(self, wait: bool = True) -> None:
        """Stop the thread."""
        self._stop.set()
        if wait:
            self._thread.join()


@layer("Data")
class Data(Layer):
    """Images and labels from an LMDB of Datums, in the order of the keys, from the first again after the last.

    Batch number b draws its crops and mirrors from a generator seeded by (seed, b): a resumed training that skips
    the batches it has seen goes on as the uninterrupted one would have.
    """

    bottoms, tops = (0, 0), (1, 2)

    def setup(self) -> None:
        p = self.param.data_param
        if p.backend != pb.DataParameter.LMDB:
            raise UserError(
                f"layer {self.name!r}: backend LEVELDB is not read; convert the data and say `backend: LMDB`"
            )
        if not p.batch_size:
            raise UserError(f"layer {self.name!r} (Data) needs a batch_size above 0")
        self._source = LmdbSource(p.source)
        self._transformer = Transformer(self.param.transform_param, self.param.phase)
        self._seed = mode.random_seed()
        self._first_batch = 0
        self._prefetcher: Prefetcher | None = None
        self._decoders: ThreadPoolExecutor | None = None

    def top_shapes(self) -> list[Shape]:
        image = self._image(next(self._source.cycle()))
        batch = self.param.data_param.batch_size
        return [(batch, *self._transformer.top_shape(image)), (batch,)][: len(self.param.top)]

    def skip_to(self, batch: int) -> None:
        """Make batch number `batch`, counted from 0, the next one."""
        self.close()
        self._first_batch = batch

    def close(self, wait: bool = True) -> None:
        if self._prefetcher:
            self._prefetcher.close(wait)
            self._decoders.shutdown(wait)
        self._prefetcher = self._decoders = None

    def forward(self) -> Sequence[torch.Tensor]:
        if self._prefetcher is None:
            self._decoders = ThreadPoolExecutor(_DECODERS)
            self._prefetcher = Prefetcher(self._batches(), self.param.data_param.prefetch)
        device = mode.device()
        pixels, means, labels = (
            part if part is None else torch.from_numpy(part).to(device) for part in next(self._prefetcher)
        )
        return (self._transformer.finish(pixels, means), labels)[: len(self.param.top)]

    def _batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None, np.ndarray]]:
        """Yield pixels N×H×W×C, the means cut like them (None: no mean image) and labels N, for ever."""
        p = self.param.data_param
        batch = self._first_batch
        skipped = int(np.random.default_rng(self._seed).integers(p.rand_skip)) if p.rand_skip else 0
        records = self._source.cycle(skipped + batch * p.batch_size)
        while True:
            rng = np.random.default_rng([self._seed, batch])
            chunk = [next(records) for _ in range(p.batch_size)]
            images = list(self._decoders.map(self._image, chunk))
            cuts = [self._transformer.choose(image, rng) for image in images]
            pixels = self._stack(images, cuts)
            mean = self._transformer.mean_image
            means = None if mean is None else self._stack([mean] * len(cuts), cuts)
            yield pixels, means, np.array([datum.label for _, datum in chunk], np.float32)
            batch += 1

    def _image(self, record: tuple[bytes, pb.Datum]) -> np.ndarray:
        """Return a record's pixels; an error names the record."""
        key, datum = record
        try:
            image = datum_to_image(datum, self._transformer.decode_flag)
            self._transformer.check(image)
        except UserError as error:
            raise UserError(f"record {key!r} of the LMDB {self._source.path}: {error}") from None
        return image

    def _stack(self, images, cuts) -> np.ndarray:
        parts = [self._transformer.cut(image, cut) for image, cut in zip(images, cuts, strict=True)]
        if len({part.shape for part in parts}) > 1:
            raise UserError(f"layer {self.name!r} (Data) meets images of several sizes in {self._source.path}")
        return np.stack(parts)
