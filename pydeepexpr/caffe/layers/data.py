"""The Data layer: batches from an LMDB or a LevelDB of Datums."""

from collections.abc import Iterator
from itertools import count, islice

import numpy as np

from pydeepexpr.caffe.datum import datum_to_image
from pydeepexpr.caffe.layers.base import layer
from pydeepexpr.caffe.layers.reading import TransformingReader
from pydeepexpr.caffe.leveldb_source import LevelDbSource
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

_SOURCES = {pb.DataParameter.LMDB: LmdbSource, pb.DataParameter.LEVELDB: LevelDbSource}


@layer("Data")
class Data(TransformingReader):
    """Images and labels from a database of Datums, in the order of the keys, from the first again after the last."""

    @property
    def batch_size(self) -> int:
        return self.param.data_param.batch_size

    def setup(self) -> None:
        p = self.param.data_param
        super().setup()
        self._source = _SOURCES[p.backend](p.source)

    @property
    def records(self) -> int:
        return len(self._source)

    def samples(self, first: int) -> Iterator[list]:
        """Yield (key, value, lots) of each record, batch by batch."""
        records = self._source.cycle(self.first_record(first), self.solvers)
        for batch in count(first):
            lots = self.lots(batch)
            yield [(*record, lot) for record, lot in zip(islice(records, len(lots)), lots, strict=True)]

    def load(self, item: tuple[bytes, bytes, list[float] | int]) -> tuple[np.ndarray, float]:
        """Return a record's pixels, cut, and its label; an error names the record."""
        key, value, lots = item
        datum = self._source.datum(key, value)
        try:
            image = datum_to_image(datum, self.transformer.decode_flag)
            return self.transformer.apply(image, lots), datum.label
        except UserError as error:
            raise UserError(f"record {key!r} of the {self._source.kind} {self._source.path}: {error}") from None
