"""What went into a training set, for a person's eyes: any selection of a manifest, or of the rejects, as a sheet."""

from lmdb_builders.browse.album import FILTERS, Album, open_album
from lmdb_builders.browse.selection import BY, SORTS, counts, grouped, licences, select
from lmdb_builders.browse.sheet import draw

__all__ = ["BY", "FILTERS", "SORTS", "Album", "counts", "draw", "grouped", "licences", "open_album", "select"]
