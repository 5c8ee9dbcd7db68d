"""From feature vectors to a ranking, by arrays alone: nothing here knows of networks, files or images."""

from pydeepexpr.retrieval.distributions import Distributions
from pydeepexpr.retrieval.divergence import divergence_matrix, jensen_shannon
from pydeepexpr.retrieval.geometry import SORT_KEYS, check_refinement, geometric_distance, phi, refine
from pydeepexpr.retrieval.index import Index
from pydeepexpr.retrieval.normalise import DEFAULT_NORMALISATION, NORMALISATIONS, normalise
from pydeepexpr.retrieval.search import rank

__all__ = [
    "DEFAULT_NORMALISATION",
    "NORMALISATIONS",
    "SORT_KEYS",
    "Distributions",
    "Index",
    "check_refinement",
    "divergence_matrix",
    "geometric_distance",
    "jensen_shannon",
    "normalise",
    "phi",
    "rank",
    "refine",
]
