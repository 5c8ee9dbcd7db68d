"""What the layers that read data share: batches made in the background, in an order that a seed and a number fix."""

import atexit
import contextlib
import os
import queue
import threading
import zlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NoReturn

import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.crops import CROPS, turns
from pydeepexpr.caffe.layers.base import Layer, Shape
from pydeepexpr.caffe.transform import Transformer
from pydeepexpr.errors import UserError

__all__ = ["ImageReader", "Prefetcher", "Reader", "TransformingReader"]

_DECODERS = min(16, os.cpu_count() or 1)
_MOST_AHEAD = 256
_UNDER_WAY = 2  # batches being decoded at a time, so that no decoder waits for the last image of a batch


class Prefetcher:
    """Draws items from a generator in a thread, some ahead. The thread's error is raised where items are read."""

    def __init__(self, items: Generator, ahead: int):
        self._queue: queue.Queue = queue.Queue(maxsize=min(max(ahead, 1), _MOST_AHEAD))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(items,), daemon=True)
        atexit.register(self.close)  # a thread that the interpreter leaves behind may end the process with an abort
        self._thread.start()

    def _fill(self, items: Generator) -> None:
        try:
            for item in items:
                if not self._put((item, None)):
                    return
        except Exception as error:
            self._put((None, error))
        finally:
            items.close()
            atexit.unregister(self.close)

    def _put(self, entry: tuple) -> bool:
        """Wait for room, and return whether to go on."""
        if not self._stop.is_set():
            self._queue.put(entry)
        return not self._stop.is_set()

    def __next__(self):
        item, error = self._queue.get()
        if error is not None:
            self._queue.put((None, error))  # whoever asks again hears it again
            raise error
        return item

    def close(self, wait: bool = True) -> None:
        """Stop the thread."""
        self._stop.set()
        with contextlib.suppress(queue.Empty):  # the thread may wait for room
            while True:
                self._queue.get_nowait()
        if wait:
            self._thread.join()


class Reader(Layer):
    """A layer whose batches are made in a thread, ahead of their use.

    A subclass makes them in `batches`, from the batch that it is told on. What it draws there comes from `generator`
    and `order`, seeded by the seed, the layer's name and the number of the batch or of the pass: a resumed training
    that skips what it has seen goes on as the uninterrupted one would have, and each layer of a net draws for itself.

    Solvers that train together share the records out as Caffe's do: number r of n takes every n-th record from the r-th
    on. With one seed for all they draw together what one solver with an n times larger batch draws. When testing, each
    reads all records.
    """

    bottoms, tops = (0, 0), (1, None)

    def setup(self) -> None:
        if not self.batch_size:
            self.refuse("needs a batch_size above 0")
        self.seed = mode.random_seed()
        self.rank, self.solvers = (mode.solver_rank(), mode.solver_count()) if self.is_training else (0, 1)
        self._first_batch = 0
        self._prefetcher: Prefetcher | None = None

    @property
    def batch_size(self) -> int:
        raise NotImplementedError

    def batches(self, first: int) -> Generator:
        """Yield the batches from number `first` on, for ever."""
        raise NotImplementedError

    def next_batch(self):
        """Return the next batch."""
        if self._prefetcher is None:
            self._prefetcher = Prefetcher(self.batches(self._first_batch), self.param.data_param.prefetch)
        try:
            return next(self._prefetcher)
        except MemoryError:
            self.refuse("cannot make a batch: it does not fit in memory")

    def generator(self, *numbers: int) -> np.random.Generator:
        """Return the layer's own generator of a batch or a pass."""
        return np.random.default_rng(self._seeds(*numbers))

    def order(self, count: int, *numbers: int) -> np.ndarray:
        """Return the numbers from 0 to `count` − 1 in the layer's own order of a pass."""
        return _permutation(count, self._seeds(*numbers))

    def _seeds(self, *numbers: int) -> tuple[int, ...]:
        return self.seed, zlib.crc32(self.name.encode()), *numbers

    def first_record(self, batch: int) -> int:
        """Return the number, counted from 0 in all passes, of the first record of a batch."""
        return batch * self.batch_size * self.solvers + self.rank

    def skip_to(self, batch: int) -> None:
        """Make batch number `batch`, counted from 0, the next one."""
        self.close()
        self._first_batch = batch

    def close(self, wait: bool = True) -> None:
        if self._prefetcher:
            self._prefetcher.close(wait)
        self._prefetcher = None

    def refuse(self, why: str) -> NoReturn:
        """Raise a UserError that names the layer."""
        raise UserError(f"layer {self.name!r} ({self.type}) {why}")


class ImageReader(Reader):
    """A Reader of labelled images, which several threads load and cut, each a part of the batch.

    A subclass says what a batch is made of (`samples`), how one of its items becomes pixels (`load`) and, where they
    need more than converting, how the batch's pixels become the top (`finish`).
    """

    tops = (1, 2)

    def samples(self, first: int) -> Iterator[list]:
        """Yield the items of each batch from number `first` on, for ever."""
        raise NotImplementedError

    def load(self, item) -> tuple[np.ndarray, float]:
        """Return an item's pixels, H×W×C of uint8 or float32, and its label. Called from several threads."""
        raise NotImplementedError

    def finish(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return N×C×H×W float32 from N×H×W×C pixels."""
        return pixels.to(torch.float32).permute(0, 3, 1, 2)

    def top_shapes(self) -> list[Shape]:
        items = self.samples(0)
        height, width, channels = self.load(next(items)[0])[0].shape
        items.close()
        return [(self.batch_size, channels, height, width), (self.batch_size,)][: len(self.param.top)]

    def forward(self) -> Sequence[torch.Tensor]:
        device = mode.device()
        pixels, labels = (part.to(device, non_blocking=True) for part in self.next_batch())
        return (self.finish(pixels), labels)[: len(self.param.top)]

    def batches(self, first: int) -> Generator:
        """Yield pixels N×H×W×C and labels N."""
        with ThreadPoolExecutor(_DECODERS) as pool:
            under_way: deque[Future] = deque()
            for batch in self._begun(pool, first):
                under_way.append(batch)
                if len(under_way) > _UNDER_WAY:
                    yield under_way.popleft().result().result()
            while under_way:
                yield under_way.popleft().result().result()

    def _begun(self, pool: ThreadPoolExecutor, first: int) -> Iterator[Future]:
        """Yield the batches that decoders have begun; an error in finding what one is made of comes in its turn."""
        try:
            for items in self.samples(first):
                yield pool.submit(self._begin, pool, items)
        except UserError as error:
            failed: Future = Future()
            failed.set_exception(error)
            yield failed

    def _begin(self, pool: ThreadPoolExecutor, items: list) -> "_Batch":
        """Load the first image, which shapes the batch, and let the decoders load the others."""
        image, label = self.load(items[0])
        on_gpu = mode.device().type == "cuda"  # from pinned memory the GPU copies while it computes
        dtype = torch.uint8 if image.dtype == np.uint8 else torch.float32
        pixels = torch.empty((len(items), *image.shape), dtype=dtype, pin_memory=on_gpu)
        labels = torch.empty(len(items), pin_memory=on_gpu)
        pixel_array, label_array = pixels.numpy(), labels.numpy()
        pixel_array[0], label_array[0] = image, label
        kind = image.shape, image.dtype

        def fill(start: int, stop: int) -> None:
            for i in range(start, stop):
                image, label_array[i] = self.load(items[i])
                if (image.shape, image.dtype) != kind:
                    self.refuse(
                        f"meets images of several sizes or types in one batch, {_described(*kind)} and "
                        f"{_described(image.shape, image.dtype)}; crop or resize them, or use batch_size 1"
                    )
                pixel_array[i] = image

        return _Batch(pixels, labels, [pool.submit(fill, *part) for part in _parts(1, len(items))])


class TransformingReader(ImageReader):
    """An ImageReader that crops, mirrors, subtracts and scales as `transform_param` says.

    In the place of random crops `mode.set_crops` puts fixed views, each image's in an order of its own.
    """

    def setup(self) -> None:
        super().setup()
        self.transformer = Transformer(self.param.transform_param, self.param.phase)
        self._views = CROPS.get(mode.crops()) if self.is_training and self.transformer.crop else None

    @property
    def records(self) -> int:
        """How many records a pass has."""
        raise NotImplementedError

    def place_of(self, number: int) -> tuple[int, int]:
        """Return the pass that record `number` of all passes falls in, and its place in the source."""
        return divmod(number, self.records)

    def places(self, batch: int) -> list[tuple[int, int]]:
        """Return pass and place of each record of a batch."""
        first = self.first_record(batch)
        return [self.place_of(first + i * self.solvers) for i in range(self.batch_size)]

    def lots(self, batch: int) -> list[list[float]] | list[int]:
        """Return what cuts each image of a batch, three lots or a view, however many solvers share the records."""
        if self._views:
            order = _turns(self.records, self._views, self._seeds())
            return [int(order[place, epoch % self._views]) for epoch, place in self.places(batch)]
        drawn = self.generator(batch).random((self.batch_size * self.solvers, 3))
        return drawn[self.rank :: self.solvers].tolist()

    def finish(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return N×C×H×W float32 from N×H×W×C pixels."""
        return self.transformer.finish(pixels)


@dataclass
class _Batch:
    """A batch whose parts are being filled."""

    pixels: torch.Tensor
    labels: torch.Tensor
    parts: list[Future]

    def result(self) -> tuple[torch.Tensor, torch.Tensor]:
        for part in self.parts:
            part.result()
        return self.pixels, self.labels


@lru_cache(maxsize=8)
def _permutation(count: int, seeds: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seeds).permutation(count)


@lru_cache(maxsize=8)
def _turns(count: int, views: int, seeds: tuple[int, ...]) -> np.ndarray:
    return turns(count, views, seeds)


def _parts(start: int, stop: int) -> list[tuple[int, int]]:
    """Divide a range into one part a decoder, or fewer."""
    edges = np.linspace(start, stop, _DECODERS + 1).astype(int).tolist()
    return [(a, b) for a, b in pairwise(edges) if a < b]


def _described(shape: Shape, dtype: np.dtype) -> str:
    height, width, channels = shape
    return f"{width}×{height}×{channels} {dtype}"
