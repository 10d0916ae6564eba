"""How well pictures find others of their class, each searching all the others."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gallerist.io.arrays import AnyArray
from gallerist.io.errors import UserError

BLOCK = 512
"""Pictures that search at once."""


@dataclass(frozen=True)
class Found:
    """Means over the pictures whose class has another one.

    top1: share whose nearest picture is of their class.
    map_at_r: of the R other pictures of its class, the sum over the first R answers of precision at
    each right one, divided by R (Musgrave et al., A Metric Learning Reality Check, 2020).
    Both are not a number where a vector is not.
    """

    top1: float
    map_at_r: float


def leave_one_out(vectors: AnyArray, classes: npt.ArrayLike) -> Found:
    """Rank all others by cosine, earlier ones first where it is equal.

    vectors: (n, d) of any length. classes: (n,).
    Raises UserError where no class has two pictures.
    """
    classes = np.asarray(classes)
    _, position, counts = np.unique(classes, return_inverse=True, return_counts=True)
    others = counts[position] - 1
    if not others.any():
        raise UserError(
            "no two validation pictures are of one class, so that none can find another: raise "
            "dataset.split.validation, or train with loss: classification"
        )
    if not np.isfinite(vectors).all():
        return Found(np.nan, np.nan)
    vectors = np.asarray(vectors, np.float32)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    asking, most = np.flatnonzero(others), int(others.max())
    top1, precisions = [], []
    for start in range(0, len(asking), BLOCK):
        rows = asking[start : start + BLOCK]
        distances = -(unit[rows] @ unit.T)
        distances[np.arange(len(rows)), rows] = np.inf
        answers = np.argsort(distances, axis=1, kind="stable")[:, :most]
        right = classes[answers] == classes[rows, None]
        top1.append(right[:, 0])
        right &= np.arange(most) < others[rows, None]
        precision = right.cumsum(axis=1) / np.arange(1, most + 1)
        precisions.append((precision * right).sum(axis=1) / others[rows])
    return Found(float(np.concatenate(top1).mean()), float(np.concatenate(precisions).mean()))
