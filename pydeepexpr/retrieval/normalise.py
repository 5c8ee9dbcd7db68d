"""FC6 vectors made into probability distributions, in each way the papers' one sentence can be read.

"By normalizing each element of the feature vector by the softmax weight, the FC6 feature vectors are treated as
discrete probability distributions" (Aneja et al. 2016, section 3.2). A row of `NORMALISATIONS` is one reading.
"""

from collections.abc import Callable

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["DEFAULT_NORMALISATION", "NORMALISATIONS", "normalise"]

Normalisation = Callable[[np.ndarray, "np.ndarray | None", "np.ndarray | None"], np.ndarray]


def _l1(features: np.ndarray, predicted: np.ndarray | None, fc7: np.ndarray | None) -> np.ndarray:
    """Divide each vector by its sum."""
    if (features < 0).any():
        raise UserError("l1 normalisation needs features without negative values; take FC6 after its ReLU")
    total = features.sum(axis=1, keepdims=True)
    uniform = np.full_like(features, 1.0 / features.shape[1])
    return np.divide(features, total, out=uniform, where=total > 0)


def _softmax(features: np.ndarray, predicted: np.ndarray | None, fc7: np.ndarray | None) -> np.ndarray:
    """Softmax over the elements of each vector."""
    shifted = np.exp(features - features.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _class_weight(features: np.ndarray, predicted: np.ndarray | None, fc7: np.ndarray | None) -> np.ndarray:
    """Weigh each element by its FC7 weight for the predicted class, cut negatives to 0, divide by the sum."""
    if predicted is None or fc7 is None:
        raise UserError("class-weight normalisation needs the predicted classes and the FC7 weights of the network")
    predicted, fc7 = np.asarray(predicted), np.asarray(fc7, dtype=np.float64)
    if fc7.ndim != 2 or fc7.shape[1] != features.shape[1]:
        raise UserError(f"FC7 weights of shape {fc7.shape} do not fit features of {features.shape[1]} elements")
    if predicted.shape != (len(features),):
        raise UserError(f"predicted classes of shape {predicted.shape} do not fit {len(features)} feature vectors")
    if len(predicted) and not (predicted.min() >= 0 and predicted.max() < len(fc7)):
        raise UserError(f"predicted classes must lie in 0–{len(fc7) - 1}")
    return _l1(np.maximum(features * fc7[predicted], 0), None, None)


#: Name → function of features (N, D) float64, predicted classes (N,) and FC7 weights (C, D) to distributions (N, D).
NORMALISATIONS: dict[str, Normalisation] = {"l1": _l1, "softmax": _softmax, "class-weight": _class_weight}

#: The reading of "softmax weight" that is taken unless another is asked for, chosen on validation data
#: (docs/retrieval.md).
DEFAULT_NORMALISATION = "class-weight"


def normalise(
    features: np.ndarray, how: str = "l1", *, predicted: np.ndarray | None = None, fc7: np.ndarray | None = None
) -> np.ndarray:
    """Make feature vectors into probability distributions.

    Parameters
    ----------
    features : (N, D) array
        Finite real numbers: FC6 after its ReLU, so not negative.
    how : {'l1', 'softmax', 'class-weight'}
        `l1` divides by the sum; `softmax` is taken over the D elements; `class-weight` multiplies each element by
        the FC7 weight of that image's predicted class, cuts negatives to 0, then divides by the sum.
    predicted : (N,) integer array, optional
        Predicted class of each vector, in 0…C−1. Needed by `class-weight`.
    fc7 : (C, D) array, optional
        FC7 weights of the network that made the features. Needed by `class-weight`.

    Returns
    -------
    (N, D) float64 array
        Rows that are not negative and sum to 1. A vector that is zero throughout becomes uniform.

    Raises
    ------
    UserError
        If `how` is not known, the shapes do not fit, or a value is NaN or infinite.

    Examples
    --------
    >>> normalise(np.array([[1.0, 3.0], [0.0, 0.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    if how not in NORMALISATIONS:
        raise UserError(f"no normalisation is called {how!r}; use one of: {', '.join(NORMALISATIONS)}")
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.shape[1] == 0:
        raise UserError(f"features must be of shape (N, D) with D > 0, not {features.shape}")
    if not np.isfinite(features).all():
        raise UserError("features hold NaN or infinite values; extract them again with a network that has not diverged")
    return NORMALISATIONS[how](features, predicted, fc7)
