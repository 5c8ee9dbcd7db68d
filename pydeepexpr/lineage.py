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

    def common_ancestor(self, other: "ModelIdentity") -> str | None:
        """Return the SHA-256 of the youngest model that both descend from, or are; None for strangers."""
        theirs = {other.sha256, *other.ancestry}
        return next((sha256 for sha256 in (self.sha256, *self.ancestry) if sha256 in theirs), None)


def check_kin(model: ModelIdentity, store: "FeatureStore", *, siblings: bool = False) -> None:
    """Refuse to compare a query with a store that its model does not fit.

    Features may be compared when one of the two models descends from the other (or they are the same) and the pixels
    were prepared alike. docs/decisions.md says why two that were fine-tuned from a third are refused unless asked for.

    Parameters
    ----------
    model : ModelIdentity
        The queries' model.
    store : FeatureStore
    siblings : bool
        Accept models, too, that both descend from a third.

    Raises
    ------
    UserError
        Naming both models, or both transforms.
    """
    theirs = store.model
    if not (model.descends_from(theirs) or theirs.descends_from(model)):
        common = model.common_ancestor(theirs)
        if not common:
            raise UserError(
                f"{store.path} was made by {theirs.name} ({theirs.sha256[:8]}), which neither descends from "
                f"{model.name} ({model.sha256[:8]}) nor is its ancestor; extract the store again with a model of the "
                "same family"
            )
        if not siblings:
            raise UserError(
                f"{store.path} was made by {theirs.name} ({theirs.sha256[:8]}), a sibling of {model.name} "
                f"({model.sha256[:8]}): read the queries with the model that both were fine-tuned from "
                f"({common[:8]}), or compare siblings all the same with --siblings"
            )
    if _comparable(model.transform) != _comparable(theirs.transform):
        raise UserError(
            f"{store.path} was made from pixels prepared as {theirs.transform}, {model.name} prepares them as "
            f"{model.transform}; extract the store again"
        )


def _comparable(transform: dict[str, Any]) -> dict[str, Any]:
    """Leave out what may differ between two records of one transform: the name of a mean file that has a hash."""
    return {key: value for key, value in transform.items() if key != "mean_file" or "mean_sha256" not in transform}
