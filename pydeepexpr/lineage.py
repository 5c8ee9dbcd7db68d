"""Which model made some features, and whether features of two models may be compared."""

import dataclasses
from typing import TYPE_CHECKING, Any

from pydeepexpr.errors import UserError

if TYPE_CHECKING:
    from pydeepexpr.features import FeatureStore

__all__ = ["ModelIdentity", "check_kin"]


@dataclasses.dataclass(frozen=True)
class ModelIdentity:
    """What decides whether two sets of features may be compared.

    Attributes
    ----------
    name : str
        File name, for messages.
    sha256 : str
        Of the `.caffemodel`.
    ancestry : tuple of str
        SHA-256 of the model it was fine-tuned from, of that one's parent, …
    transform : dict
        How pixels were prepared: `scale`, `crop_size`, and `mean_value`, or `mean_file` with its `mean_sha256`.
    """

    name: str
    sha256: str
    ancestry: tuple[str, ...]
    transform: dict[str, Any]

    def descends_from(self, other: "ModelIdentity") -> bool:
        """Whether this is `other` itself or was fine-tuned from it, however many generations ago."""
        return other.sha256 == self.sha256 or other.sha256 in self.ancestry


def check_kin(model: ModelIdentity, store: "FeatureStore") -> None:
    """Refuse to compare a query with a store that its model does not fit.

    Features may be compared when one of the two models descends from the other (or they are the same) and the pixels
    were prepared alike.

    Raises
    ------
    UserError
        Naming both models, or both transforms.
    """
    theirs = store.model
    if not (model.descends_from(theirs) or theirs.descends_from(model)):
        raise UserError(
            f"{store.path} was made by {theirs.name} ({theirs.sha256[:8]}), which neither descends from {model.name} "
            f"({model.sha256[:8]}) nor is its ancestor; extract the store again with a model of the same family"
        )
    if _comparable(model.transform) != _comparable(theirs.transform):
        raise UserError(
            f"{store.path} was made from pixels prepared as {theirs.transform}, {model.name} prepares them as "
            f"{model.transform}; extract the store again"
        )


def _comparable(transform: dict[str, Any]) -> dict[str, Any]:
    """Leave out what may differ between two records of one transform: the name of a mean file that has a hash."""
    return {key: value for key, value in transform.items() if key != "mean_file" or "mean_sha256" not in transform}
