"""What experiments share: how vectors are reduced and searched, and answers ordered again."""

from typing import Annotated, Literal

from pydantic import Field

from gallerist.settings.base import (
    Count,
    Float,
    Int,
    NonNegative,
    Positive,
    Seed,
    Settings,
    Share,
    key,
)
from gallerist.settings.texts import Text


class Reduction(Settings):
    """A step from extraction to search, fitted on the training pictures only. `null`: none."""

    method: Literal[
        "standardise", "pca", "pca_whitening", "random_projection", "domain_centring"
    ] = key(..., noun="a reduction", example="pca_whitening")
    """`standardise`: every number to mean 0 and deviation 1. `pca`: the directions in which vectors
    differ most. `pca_whitening`: these, each to deviation 1. `random_projection`: random
    directions. `domain_centring`: photos lose the mean of the training photos, sketches that of the
    training sketches; a picture is what the nearer mean is of."""
    dimensions: Count | None = key(None, "numbers", example=128)
    """Numbers that are left of a vector. Not for `standardise` and `domain_centring`, which keep
    all."""
    seed: Seed = key(99, doc="Draws random directions, and starts approximate solvers.")


class Neighbourhood(Settings):
    """The nearest neighbours that a vector is averaged with."""

    neighbours: Count = key(5, "pictures", doc="How many neighbours are taken into the mean.")
    alpha: NonNegative = key(3.0)
    """A neighbour weighs its cosine to this power. 0: all weigh the same."""


class Search(Settings):
    """How the gallery is searched with this experiment's vectors."""

    metric: Literal["cosine", "euclidean"] = key("cosine", noun="a metric")
    """Distance of two pictures. `cosine`: 1 minus the cosine of the angle between their vectors.
    `euclidean`: between the vectors as they are, long ones and short ones."""
    index: Text | None = key(None, expects="null or a FAISS factory string", example="HNSW32")
    """`null`: exact. Else a FAISS factory string: faster on large galleries, not exact; the share
    of the exact answers that it finds is measured and logged."""
    nprobe: Count | None = key(None, "cells")
    """Cells of an IVF index that are looked through: more find more, and take longer."""
    ef_search: Count | None = key(None, "candidates")
    """Candidates kept on the way through an HNSW index: more find more, and take longer."""
    database_augmentation: Neighbourhood | None = key(None)
    """Every gallery vector becomes the mean of itself and its neighbours in the gallery. `null`:
    none."""
    query_expansion: Neighbourhood | None = key(None)
    """Every query vector becomes the mean of itself and its first answers, and searches again.
    `null`: none."""


class KReciprocal(Settings):
    """Orders the answers again by k-reciprocal neighbours: two pictures are near when each is among
    the other's nearest, and their neighbours are the same (Zhong et al., 2017). `null`: off.
    """

    k1: Count = key(20, "pictures")
    """Neighbours that a reciprocal set is made from. Choose below the pictures of a class."""
    k2: Count = key(6, "pictures")
    """Neighbours over which sets are averaged, the picture itself among them."""
    weight: Share = key(0.3, "fraction")
    """Share of the original distance. 1: the original order."""


class GeometricVerification(Settings):
    """Orders the first answers again by how many of their key points agree with the query's in one
    turned, scaled and shifted copy (RANSAC). `null`: off.
    """

    first: Count = key(20, "answers", doc="How many answers are verified.")
    key_points: Literal["sift", "orb", "surf"] = key("sift", noun="a kind of key points")
    """What is matched."""
    max_side: Int = key(512, "pixels", ge=16)
    """Larger pictures are shrunk to this longer side first."""
    max_points: Int = key(500, "key points", ge=4)
    """The strongest key points of a picture are taken, so many at most."""
    ratio: Float = key(0.8, "factor", gt=0, le=1)
    """A match counts when the best is nearer than this times the second best (Lowe, 2004)."""
    max_error: Positive = key(5.0, "pixels")
    """How far from its place an agreeing key point may be."""


class RankedByVectors(Settings):
    """The keys of every experiment that has vectors. They stand after its own."""

    reduction: Reduction | None = key(None)
    search: Search = key(Search)
    k_reciprocal: KReciprocal | None = key(None)
    geometric_verification: GeometricVerification | None = key(None)


KIND = key(..., doc="The kind of experiment. Decides which of the other keys there are.")

Look = Literal["colour", "grey", "drawing"]
LOOK = key(
    "colour",
    noun="a look",
    doc="What is made of a picture's colours before extraction, in training, gallery and "
    "queries alike: `colour` leaves them, `grey` takes them away, `drawing` turns a photo into "
    "black lines on white, so that it is like a sketch. A sketch stays as it is.",
)

Resizing = Literal["squeeze", "crop", "pad"]
RESIZING = key(
    "squeeze",
    noun="a resizing",
    doc="How a picture becomes a square, in training, gallery and queries alike. `squeeze`: "
    "whatever its aspect. `crop`: its shorter side is made image_size / crop_ratio long, and the "
    "middle taken. `pad`: its longer side is made image_size long, and the rest filled (with "
    "ImageNet's mean colour 124, 116, 104; its grey; white around a drawing).",
)

CropRatio = Annotated[Float, Field(gt=0, le=1)]
CROP_RATIO = key(
    None,
    "fraction",
    doc="Of `resizing: crop`: the share of the shorter side that is seen. `null`: 0.875.",
)
