"""What a tie is: answers at one distance, which come in the order of their ids.

Two distances are equal where their first 41 binary digits are, after rounding: what adding up in
another order, or on another processor, changes is some thousand times smaller.

A query and a picture are at a right angle where the products of their elements cancel out, as far
as elements rounded to float32 can tell: histograms that share no bin are, exactly. Their distance
is that of the right angle then. Rounding to float32 leaves rows of length 1 longer or shorter by
some 1e-8; it would otherwise order pictures of which none is nearer than another, and on another
processor otherwise. A row of zeros has no length to be rounded, nor a direction. Where a cosine is
not 0, but less than RIGHT_ANGLE, the distance is of that cosine and whole lengths for the same
reason: what shares a little with the query comes before what shares nothing.
"""

import numpy as np

from gallerist.io.arrays import AnyArray, Booleans, Floats, Indices, Integers, Vectors

DIGITS = 41
"""Binary digits by which distances are told apart: 1 in 2 * 10¹², relatively."""

_DROPPED = 53 - DIGITS

RIGHT_ANGLE = 2.0**-22
"""How far products may cancel out and be no more than rounding: an element errs by at most 2⁻²⁴ of
itself, a product by twice that, their sum by 2⁻²³ of the sum of their sizes. Twice that here, so
that nothing depends on the last bit. By as much errs the squared distance of two rows at a right
angle, as a part of the squared lengths: either of these by 2⁻²³, the products by 2⁻²³."""


def key(distances: Floats) -> Integers:
    """A whole number for each distance, which is not negative: equal for ties, ordered as they are.

    The bits of such a number, read as an integer, are in the order of the numbers.
    """
    bits = np.ascontiguousarray(distances, np.float64).view(np.int64)
    return np.asarray((bits + (1 << (_DROPPED - 1))) >> _DROPPED)


def order(of_query: Indices, distances: Floats, ids: AnyArray) -> Indices:
    """The order of pairs: query by query, the nearest first, ties by id.

    ids: of the pictures, or where each stands in the order of all ids.
    """
    return np.lexsort((ids, key(distances), of_query))


def never_falling(distances: Floats) -> list[float]:
    """Distances in the order of `order`: within a tie, each at least as far as the one before."""
    return np.maximum.accumulate(distances).tolist() if len(distances) else []


def near_right_angle(squares: Floats, whole: Floats | float) -> Booleans:
    """Whether squared distances are near those of a right angle, so that products are to be asked.

    whole: the sum of the two squared lengths.
    """
    return np.asarray(np.abs(squares - whole) <= 2 * RIGHT_ANGLE * np.asarray(whole))


def cosines(asked: Vectors, found: Vectors) -> Floats:
    """Sums of products of two sets of (n, d) rows, pair by pair; 0 at a right angle."""
    products = asked.astype(np.float64) * found
    sums, sizes = products.sum(axis=1), np.abs(products).sum(axis=1)
    return np.asarray(np.where(np.abs(sums) <= RIGHT_ANGLE * sizes, 0.0, sums))
