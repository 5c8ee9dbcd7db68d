"""The feature store: what networks say about many images, written as a stream and opened in milliseconds.

`docs/formats.md` describes the folder. Nothing in it is pickled.
"""

from pydeepexpr.features.checking import verify
from pydeepexpr.features.export import export
from pydeepexpr.features.format import GEOMETRY
from pydeepexpr.features.merging import merge
from pydeepexpr.features.store import FeatureStore
from pydeepexpr.features.summary import describe
from pydeepexpr.features.writing import StoreWriter, append_store, write_store

__all__ = [
    "GEOMETRY",
    "FeatureStore",
    "StoreWriter",
    "append_store",
    "describe",
    "export",
    "merge",
    "verify",
    "write_store",
]
