"""Which model made some features, and whether features of two models may be compared."""

import dataclasses
from typing import TYPE_CHECKING, Any

from pydeepexpr.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from pydeepexpr.features import FeatureStore

__all__ = ["ModelIdentity", "check_kin", "check_sizes", "same_pixels"]


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

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:8]})"

    def record(self) -> dict[str, Any]:
        """Return what JSON files say of the model."""
        return {"name": self.name, "sha256": self.sha256, "ancestry": list(self.ancestry)}

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
        Every model of it must fit.
    siblings : bool
        Accept models, too, that both descend from a third.

    Raises
    ------
    UserError
        Naming both models, or both transforms.
    """
    for theirs in store.models:
        if not (model.descends_from(theirs) or theirs.descends_from(model)):
            common = model.common_ancestor(theirs)
            if not common:
                raise UserError(
                    f"{store.path} was made by {theirs}, which neither descends from {model} nor is its ancestor; "
                    "extract the store again with a model of the same family"
                )
            if not siblings:
                raise UserError(
                    f"{store.path} was made by {theirs}, a sibling of {model}: read the queries with the model that "
                    f"both were fine-tuned from ({common[:8]}), or compare siblings all the same with --siblings"
                )
        if not same_pixels(model.transform, theirs.transform):
            raise UserError(
                f"{store.path} was made from pixels prepared as {theirs.transform}, {model.name} prepares them as "
                f"{model.transform}; extract the store again"
            )


def same_pixels(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two records of a transform mean the same; the name of a mean file with a hash does not count."""
    return _comparable(one) == _comparable(other)


def check_sizes(fc7: "np.ndarray", store: "FeatureStore") -> None:
    """Refuse queries whose network has other numbers of features and classes than a store's.

    Parameters
    ----------
    fc7 : (C, D) array
        FC7 weights of the queries' network.
    store : FeatureStore

    Raises
    ------
    UserError
        Naming both.
    """
    classes, features = len(store.fc7) // len(store.models), store.fc7.shape[1]
    if fc7.shape != (classes, features):
        raise UserError(
            f"{store.path} has {features} features and {classes} classes, "
            f"the queries have {fc7.shape[1]} and {len(fc7)}"
        )


def _comparable(transform: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in transform.items() if key != "mean_file" or "mean_sha256" not in transform}
