"""Answers ordered by the local features that agree in their places."""

import threading
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gallerist.search.geometric_verification
from gallerist.features.key_points import KeyPoints, detect
from gallerist.io.errors import UserError
from gallerist.search import geometric_verification as module
from gallerist.search.geometric_verification import (
    SMALLEST_AGREEMENT,
    Matches,
    rerank_distance,
)
from gallerist.search.ranking import Ranking
from gallerist.settings.ranking import GeometricVerification

LIMITS = {"ratio": 0.8, "max_error": 3.0}


def match_key_points(query, answer, **limits):
    return module.match_key_points(query, answer, GeometricVerification(**limits))


def verify(ranking, key_points_of, *, threads, **chosen):
    return module.verify(ranking, key_points_of, GeometricVerification(**chosen), threads=threads)


def placed(positions: np.ndarray, descriptors: np.ndarray) -> KeyPoints:
    """Key points of which nothing matters but where they are and how they look."""
    number = np.ones(len(positions), np.float32)
    return KeyPoints(positions, number, number, number, descriptors)


def points(seed: int, count: int = 60, kind: str = "float32") -> KeyPoints:
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0, 400, (count, 2)).astype(np.float32)
    if kind == "uint8":
        return placed(positions, rng.integers(0, 256, (count, 32), dtype=np.uint8))
    return placed(positions, rng.random((count, 64), dtype=np.float32))


def similarity(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def moved(original: KeyPoints, model: np.ndarray, wrong: int = 0, seed: int = 1) -> KeyPoints:
    """The same points through `model`, the first `wrong` of them anywhere else."""
    positions = original.positions @ model[:, :2].T + model[:, 2]
    positions[:wrong] += np.random.default_rng(seed).uniform(60, 300, (wrong, 2))
    return placed(positions.astype(np.float32), original.descriptors)


def none(kind: str = "float32") -> KeyPoints:
    return placed(np.zeros((0, 2), np.float32), np.zeros((0, 64), kind))


@pytest.mark.parametrize("kind", ["float32", "uint8"])
@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.3, 3),
    shift=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
    wrong=st.integers(0, 25),
)
def test_a_picture_that_was_turned_and_resized_is_found_again(kind, angle, scale, shift, wrong):
    query, model = points(3, kind=kind), similarity(angle, scale, shift)
    matches = match_key_points(query, moved(query, model, wrong), **LIMITS)
    found = {int(pair[0]) for pair in matches.pairs[matches.inliers]}
    assert found >= set(range(wrong, 60))
    np.testing.assert_allclose(matches.model[:, :2], model[:, :2], atol=0.05)
    assert (matches.pairs[:, 0] == matches.pairs[:, 1]).all()


def test_inliers_are_the_pairs_within_the_error_of_the_model():
    query = points(4)
    noise = np.random.default_rng(5).normal(0, 2, (60, 2)).astype(np.float32)
    answer = moved(query, similarity(0.3, 1.2, (10, -20)), wrong=20)
    answer = placed(answer.positions + noise, answer.descriptors)
    matches = match_key_points(query, answer, **LIMITS)
    model = np.vstack([matches.model, [0, 0, 1]])
    images = cv2.perspectiveTransform(query.positions[matches.pairs[:, 0]][None], model)[0]
    errors = np.hypot(*(images - answer.positions[matches.pairs[:, 1]]).T)
    np.testing.assert_array_equal(matches.inliers, errors <= 3)
    assert 10 <= matches.agreeing < 60


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_pairs_pass_the_ratio_test_by_exact_distances(kind):
    query, answer = points(6, 80, kind), points(7, 90, kind)
    if kind == "uint8":
        bits = [np.unpackbits(side.descriptors, axis=1) for side in (query, answer)]
        exact = (bits[0][:, None] != bits[1][None]).sum(axis=2).astype(float)
    else:
        sides = [side.descriptors.astype(np.float64) for side in (query, answer)]
        exact = np.linalg.norm(sides[0][:, None] - sides[1][None], axis=2)
    nearest = np.sort(exact, axis=1)
    expected = {}  # of each answer point the most alike query point
    for row in np.flatnonzero(nearest[:, 0] < 0.95 * nearest[:, 1]):
        column = int(exact[row].argmin())
        if column not in expected or exact[row, column] < exact[expected[column], column]:
            expected[column] = int(row)
    pairs = match_key_points(query, answer, ratio=0.95, max_error=3.0).pairs
    assert len(expected) > 3
    assert sorted(map(tuple, pairs.tolist())) == sorted((r, c) for c, r in expected.items())
    assert (np.diff(exact[pairs[:, 0], pairs[:, 1]]) > -1e-6).all()


def test_different_pictures_do_not_agree():
    for seed in range(10):
        matches = match_key_points(points(seed), points(seed + 100), ratio=0.95, max_error=3.0)
        assert matches.agreeing in {0, SMALLEST_AGREEMENT}  # four of dozens may agree by chance


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_fewer_than_four_points_agree_about_nothing(count):
    query = points(8)
    few = placed(query.positions[:count], query.descriptors[:count])
    for matches in (match_key_points(few, query, **LIMITS), match_key_points(query, few, **LIMITS)):
        assert matches.agreeing == 0
        assert matches.model is None


def test_four_points_that_agree_are_enough():
    query = points(8)
    four = placed(query.positions[:4], query.descriptors[:4])
    assert match_key_points(four, query, **LIMITS).agreeing == 4


def test_pictures_without_key_points_have_no_matches():
    for query, answer in ((none(), points(1)), (points(1), none()), (none(), none())):
        matches = match_key_points(query, answer, **LIMITS)
        assert matches.pairs.shape == (0, 2)
        assert matches.agreeing == 0


def test_points_at_one_place_count_once():
    query = points(9, 12)
    heap = placed(np.full((12, 2), 50, np.float32), query.descriptors)
    for one, other in ((query, heap), (heap, query)):
        matches = match_key_points(one, other, **LIMITS)
        assert len(matches.pairs) == 1
        assert matches.agreeing == 0


def test_a_model_that_maps_everything_to_one_spot_is_none():
    query = points(10)
    spot = moved(query, similarity(0, 0.001, (200, 200)))
    assert match_key_points(query, spot, **LIMITS).agreeing == 0
    assert match_key_points(spot, query, **LIMITS).agreeing == 0


def test_a_model_that_shrinks_a_large_picture_to_a_small_one_is_none():
    query = points(10)
    large = placed(query.positions * 10, query.descriptors)
    small = moved(large, similarity(0, 0.05, (200, 200)))  # 200 pixels: no spot
    assert match_key_points(large, small, **LIMITS).agreeing == 0
    assert match_key_points(small, large, **LIMITS).agreeing == 0
    assert match_key_points(large, moved(large, similarity(0, 0.2, (0, 0))), **LIMITS).agreeing > 50


def test_three_that_agree_among_many_matches_are_chance():
    query = placed(
        np.array([[0, 0], [300, 10], [20, 280], [150, 100], [90, 330], [240, 200]], np.float32),
        points(13, 6).descriptors,
    )
    answer = placed(query.positions.copy(), query.descriptors)
    answer.positions[3:] = [[310, 20], [40, 5], [15, 130]]
    matches = match_key_points(query, answer, **LIMITS)
    assert len(matches.pairs) == 6
    assert matches.agreeing == 0
    assert matches.model is None


def test_points_that_are_all_close_together_agree_about_nothing():
    query = points(11)
    corner = placed(query.positions / 100, query.descriptors)  # within 4 pixels
    assert match_key_points(corner, corner, **LIMITS).agreeing == 0


def test_neither_thread_nor_generator_changes_the_result():
    query = points(12, 120)
    answer = moved(query, similarity(1, 0.7, (30, 30)), wrong=100)
    results: list[Matches] = []

    def match(seed: int) -> None:
        cv2.setRNGSeed(seed)
        cv2.randu(np.zeros(seed + 1), 0, 1)
        results.append(match_key_points(query, answer, **LIMITS))

    workers = [threading.Thread(target=match, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    match(77)
    assert len(results) == 5
    assert len({result.model.tobytes() for result in results}) == 1
    assert len({result.inliers.tobytes() for result in results}) == 1
    assert results[0].agreeing >= 20


def test_descriptors_of_two_kinds_are_refused():
    with pytest.raises(UserError, match="different kinds"):
        match_key_points(points(1), points(1, kind="uint8"), **LIMITS)
    short = placed(points(1).positions, points(1).descriptors[:, :32].copy())
    with pytest.raises(UserError, match="of 64 float32 and of 32 float32"):
        match_key_points(points(1), short, **LIMITS)


def library(agreeing: dict[str, int]) -> dict[str, KeyPoints]:
    """A query q and pictures that have so many points of it in place, all others elsewhere."""
    query = points(20, 40)
    pictures = {"q": query}
    for seed, (name, count) in enumerate(agreeing.items()):
        strange = points(200 + seed, 40 - count)
        kept = moved(query, similarity(0.2, 1.1, (5, 9)))
        pictures[name] = placed(
            np.vstack([kept.positions[:count], strange.positions]),
            np.vstack([kept.descriptors[:count], strange.descriptors]),
        )
    return pictures


RANKING = Ranking(
    ("q",),
    (("a", "b", "c", "d", "e", "f"),),
    ((0.1, 0.2, 0.3, 0.3, 0.5, 0.6),),
)
PICTURES = library({"a": 0, "b": 10, "c": 30, "d": 0, "e": 10, "f": 40})


def test_the_first_answers_are_ordered_by_their_inliers():
    found = verify(RANKING, PICTURES.__getitem__, first=5, threads=1, **LIMITS)
    assert found.query_ids == ("q",)
    # b and e have ten inliers each, a and d none; f, which has most, was not looked at.
    assert found.answers == (("c", "b", "e", "a", "d", "f"),)
    assert found.distances[0] == tuple(
        rerank_distance(count, distance)
        for count, distance in [(30, 0.3), (10, 0.2), (10, 0.5), (0, 0.1), (0, 0.3), (0, 0.6)]
    )
    assert list(found.distances[0]) == sorted(found.distances[0])


def test_more_answers_asked_for_than_there_are_verifies_all():
    found = verify(RANKING, PICTURES.__getitem__, first=50, threads=2, **LIMITS)
    assert found.answers == (("f", "c", "b", "e", "a", "d"),)


def test_threads_and_memory_do_not_change_the_ranking(monkeypatch):
    names = [f"p{number}" for number in range(12)]
    pictures = library({name: (number * 7) % 40 for number, name in enumerate(names)})
    ids = ("q", *names)
    many = Ranking(
        ids,
        tuple(tuple(name for name in names if name != own) for own in ids),
        tuple(tuple(0.1 * place for place in range(12 - (own != "q"))) for own in ids),
    )
    one = verify(many, pictures.__getitem__, first=8, threads=1, **LIMITS)
    monkeypatch.setattr(gallerist.search.geometric_verification, "KEPT_PICTURES", 2)
    assert verify(many, pictures.__getitem__, first=8, threads=4, **LIMITS) == one
    assert one.answers != many.answers


def test_a_picture_is_read_once_while_it_is_kept():
    read = Counter()

    def key_points_of(identifier: str) -> KeyPoints:
        read[identifier] += 1
        return PICTURES[identifier]

    verify(RANKING, key_points_of, first=3, threads=1, **LIMITS)
    assert read == {"q": 1, "a": 1, "b": 1, "c": 1}


def test_opencv_keeps_the_threads_it_had():
    before = cv2.getNumThreads()
    used = []

    def missing(identifier: str) -> KeyPoints:
        used.append(cv2.getNumThreads())
        raise KeyError(identifier)

    cv2.setNumThreads(3)
    try:
        with pytest.raises(KeyError):
            verify(RANKING, missing, first=2, threads=2, **LIMITS)
        assert cv2.getNumThreads() == 3
        assert used == [1]
    finally:
        cv2.setNumThreads(before)


def test_a_ranking_without_answers_stays_empty():
    empty = Ranking(("q",), ((),), ((),))
    assert verify(empty, PICTURES.__getitem__, first=5, threads=1, **LIMITS) == empty


def test_pictures_that_cannot_be_compared_are_named():
    pictures = PICTURES | {"b": points(1, kind="uint8")}
    with pytest.raises(UserError, match="query q, answer b: "):
        verify(RANKING, pictures.__getitem__, first=3, threads=1, **LIMITS)


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 2)), min_size=2, max_size=20),
)
def test_the_distance_orders_by_inliers_and_then_by_the_former_distance(answers):
    best_first = sorted(answers, key=lambda answer: (-answer[0], answer[1]))
    distances = [rerank_distance(*answer) for answer in best_first]
    assert distances == sorted(distances)
    for (count, _), distance in zip(best_first, distances, strict=True):
        assert 1 / (count + 1) <= distance <= (2 if count == 0 else 1 / (count + 0.5))


@pytest.mark.parametrize("distance", [-0.1, float("nan"), float("inf")])
def test_a_distance_that_is_none_is_refused(distance):
    with pytest.raises(UserError, match="a distance of"):
        rerank_distance(3, distance)


@pytest.mark.parametrize(("kind", "root"), [("sift", False), ("sift", True), ("orb", False)])
def test_key_points_of_a_turned_picture_agree(kind, root):
    rng = np.random.default_rng(2)
    grey = cv2.GaussianBlur(rng.integers(0, 256, (300, 300), dtype=np.uint8), (0, 0), 2.5)
    grey = cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX)
    picture, model = np.repeat(grey[:, :, None], 3, axis=2), similarity(0.5, 1.1, (80, -40))
    turned, mirrored = cv2.warpAffine(picture, model, (320, 380)), picture[:, ::-1].copy()
    query, answer, wrong = (
        detect(kind, pixels, max_points=300, root=root) for pixels in (picture, turned, mirrored)
    )
    matches = match_key_points(query, answer, **LIMITS)
    assert matches.agreeing > 30
    np.testing.assert_allclose(matches.model, model, atol=1.5)
    assert match_key_points(query, wrong, **LIMITS).agreeing < 10
