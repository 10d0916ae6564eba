"""The first answers of a ranking ordered again by how many local features agree in their places."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from gallerist.features.key_points import KeyPoints
from gallerist.io.arrays import Booleans, Floats, Indices, Vectors
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking
from gallerist.settings.ranking import GeometricVerification

SMALLEST_AGREEMENT = 4
"""Matches that must agree. Any two lie on a similarity, so two or three prove nothing."""

LARGEST_SCALE = 10.0
"""A model that shrinks or enlarges more maps a picture to a spot: all that is near would agree."""

ITERATIONS = 2000
CONFIDENCE = 0.999

KEPT_PICTURES = 256
"""Pictures whose key points are kept: 140 MB with 1,000 SIFT descriptors each."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Key points of a query and of an answer that look alike, and those that agree in place.

    pairs: (m, 2) intp, indices of a query's and of an answer's key point that passed the ratio
    test, the most alike first; each place of either picture is there once.
    inliers: (m,) bool, the pairs within the allowed error of `model`.
    model: (2, 3) float64, the similarity (rotation, one scale, translation) that takes a place in
    the query to the place in the answer; None where no sound one was found.
    """

    pairs: Indices
    inliers: Booleans
    model: Floats | None

    @property
    def agreeing(self) -> int:
        """How many pairs are inliers; 0 without a model."""
        return int(self.inliers.sum())


def match_key_points(
    query: KeyPoints, answer: KeyPoints, settings: GeometricVerification
) -> Matches:
    """Match the key points of two pictures, and find the similarity that most matches agree with.

    Of the settings: ratio, a match being kept when its nearest descriptor is nearer than so many
    times the second nearest (Lowe, Distinctive image features from scale-invariant keypoints, IJCV
    2004); max_error, pixels of the answer between where the model puts a point and its match.

    The model is found by RANSAC (Fischler and Bolles 1981), on a similarity as the simplest model
    of Philbin et al., Object retrieval with large vocabularies and fast spatial matching (CVPR
    2007): animals are not flat, and a homography of 8 parameters agrees with much by chance. There
    is no model, and so no inlier, with fewer than SMALLEST_AGREEMENT matches or inliers, with a
    scale beyond LARGEST_SCALE, or where all inliers of a picture lie within 2 max_error: points
    so close agree with anything. A mirrored picture does not match.

    The same arguments give the same result, in any thread.

    Raises UserError for other descriptors on one side than on the other.
    """
    max_error = settings.max_error
    pairs = _pairs(query, answer, settings.ratio)
    nothing = Matches(pairs, np.zeros(len(pairs), dtype=np.bool_), None)
    if len(pairs) < SMALLEST_AGREEMENT:
        return nothing
    source = np.asarray(query.positions[pairs[:, 0]], dtype=np.float32)
    target = np.asarray(answer.positions[pairs[:, 1]], dtype=np.float32)
    cv2.setRNGSeed(0)  # a generator a thread: what ran there before must not matter
    model, _ = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=max_error,
        maxIters=ITERATIONS, confidence=CONFIDENCE,
    )  # fmt: skip
    if model is None or not np.isfinite(model).all():
        return nothing
    # The model was refined after its inliers were counted: count those of the one returned.
    errors = np.linalg.norm(source @ model[:, :2].T + model[:, 2] - target, axis=1)
    inliers = np.asarray(errors <= max_error)
    if not _sound(model, source[inliers], target[inliers], max_error):
        return nothing
    return Matches(pairs, inliers, model)


def verify(
    ranking: Ranking,
    key_points_of: Callable[[str], KeyPoints],
    settings: GeometricVerification,
    *,
    threads: int,
) -> Ranking:
    """Order the first answers of every query by their inliers, most first.

    key_points_of: the key points of a picture by its id, query or gallery; called from several
    threads at once. Those of KEPT_PICTURES pictures are kept in memory, besides those in use.
    settings: `first` answers of each query are verified, by `match_key_points`. Equal numbers of
    inliers keep the order they had, and the answers after them stay where they are.

    Distances become `rerank_distance`, answers that were not verified counting as without
    inliers: they still never fall along a ranking, and order it as the ranks do.

    Raises UserError as `match_key_points` does, naming the pictures, and for a distance below 0 or
    undefined.
    """
    kept = lru_cache(maxsize=KEPT_PICTURES)(key_points_of)

    def counts(query: str, answers: tuple[str, ...]) -> list[int]:
        return [_agreeing(kept, query, each, settings) for each in answers[: settings.first]]

    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a query has a thread already
    try:
        with ThreadPoolExecutor(threads, thread_name_prefix="verifying") as pool:
            found = list(pool.map(counts, ranking.query_ids, ranking.answers))
    finally:
        cv2.setNumThreads(opencv_threads)
    rows = list(map(_reorder, ranking.answers, ranking.distances, found))
    return Ranking(ranking.query_ids, tuple(row[0] for row in rows), tuple(row[1] for row in rows))


def rerank_distance(agreeing: int, distance: float) -> float:
    """One number that orders by inliers first, by the former distance among equals: less is nearer.

    With m inliers and the distance d it is 1 / (m + 1 / (1 + d/2)), which lies in
    [1 / (m + 1), 1 / m) for every d >= 0: less than for m - 1 inliers, and rising with d. Without
    inliers it is 1 + d/2, so that it stays in [0, 2] where d does.

    Raises UserError when the distance is below 0 or undefined.
    """
    if not 0 <= distance < float("inf"):
        raise UserError(f"a distance of {distance} is none: it is a number from 0 on")
    return 1 / (agreeing + 1 / (1 + distance / 2))


def _agreeing(
    key_points_of: Callable[[str], KeyPoints],
    query: str,
    answer: str,
    settings: GeometricVerification,
) -> int:
    try:
        matches = match_key_points(key_points_of(query), key_points_of(answer), settings)
    except UserError as error:
        raise UserError(f"query {query}, answer {answer}: {error}") from error
    return matches.agreeing


def _reorder(
    answers: Sequence[str], distances: Sequence[float], found: Sequence[int]
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """One query's answers and distances. found: inliers of the answers that were verified."""
    counts = [*found, *(0,) * (len(answers) - len(found))]
    order = sorted(range(len(answers)), key=lambda place: -counts[place])
    return (
        tuple(answers[place] for place in order),
        tuple(rerank_distance(counts[place], distances[place]) for place in order),
    )


def _pairs(query: KeyPoints, answer: KeyPoints, ratio: float) -> Indices:
    """(m, 2) pairs that pass the ratio test, the most alike first, each place once."""
    ours, theirs = query.descriptors, answer.descriptors
    none = np.zeros((0, 2), dtype=np.intp)
    if len(ours) == 0 or len(theirs) < 2:  # without a second nearest nothing can be tested
        return none
    if ours.dtype != theirs.dtype or ours.shape[1] != theirs.shape[1]:
        raise UserError(
            f"descriptors of {ours.shape[1]} {ours.dtype} and of {theirs.shape[1]} {theirs.dtype} "
            "are of different kinds: detect the key points of both pictures in one way"
        )
    norm = cv2.NORM_HAMMING if ours.dtype == np.uint8 else cv2.NORM_L2
    found = cv2.BFMatcher(norm).knnMatch(
        np.ascontiguousarray(ours), np.ascontiguousarray(theirs), k=2
    )
    passed = [near for near, second in found if near.distance < ratio * second.distance]
    if not passed:
        return none
    passed.sort(key=lambda match: (match.distance, match.queryIdx))
    pairs = np.array([(match.queryIdx, match.trainIdx) for match in passed], dtype=np.intp)
    # One place has several key points where it has several orientations, and many points of the
    # query may look like one of the answer. They would agree with each other about nothing new.
    pairs = pairs[_first_of_each(answer.positions[pairs[:, 1]])]
    return pairs[_first_of_each(query.positions[pairs[:, 0]])]


def _first_of_each(places: Vectors) -> Indices:
    """The indices at which each different row comes first, in ascending order."""
    _, first = np.unique(places, axis=0, return_index=True)
    return np.asarray(np.sort(first), dtype=np.intp)


def _sound(model: Floats, source: Vectors, target: Vectors, max_error: float) -> bool:
    """Whether the model and the places that agree with it say anything about the pictures."""
    scale = float(np.hypot(model[0, 0], model[1, 0]))
    if len(source) < SMALLEST_AGREEMENT or not 1 / LARGEST_SCALE <= scale <= LARGEST_SCALE:
        return False
    return all(np.ptp(places, axis=0).max() > 2 * max_error for places in (source, target))
