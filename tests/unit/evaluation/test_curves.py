"""Hit rate against k, precision against recall, hit rate against distractors: values and file."""

import logging
from itertools import combinations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as some
from sklearn.metrics import precision_recall_curve as sklearn_curve

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation.bootstrap import IntervalSettings, mean_intervals
from gallerist.evaluation.curves import (
    AMONG_DISTRACTORS,
    COLUMNS,
    HIT_RATE,
    PRECISION,
    Curve,
    CurveError,
    curve,
    curves_of,
    hit_rate_curve,
    hits_among_distractors,
    interpolated_precision,
    ks_up_to,
    precision_recall_curve,
    read_curves,
    write_curves,
)
from gallerist.evaluation.metrics import average_precision, hit_rate_at_k
from gallerist.evaluation.relevance import evaluate
from gallerist.evaluation.relevant_ranks import RelevantRanks, TruncatedRanking
from gallerist.search.ranking import Ranking


@some.composite
def rankings(draw, queries=4, answers=14):
    """(queries, answers) bool whole rankings in which every query has a right picture."""
    rows = some.lists(some.booleans(), min_size=answers, max_size=answers).filter(any)
    return np.array(draw(some.lists(rows, min_size=1, max_size=queries)))


def of(relevant) -> RelevantRanks:
    return RelevantRanks.from_marks(relevant, relevant.sum(axis=1))


@given(rankings(), some.sampled_from([2, 3, 11, 101]))
def test_interpolated_precision_is_the_best_of_sklearns_at_that_recall_or_more(relevant, levels):
    values = interpolated_precision(of(relevant), levels)
    assert values.shape == (len(relevant), levels)
    for row, drawn in zip(relevant, values, strict=True):
        precision, recall, _ = sklearn_curve(row, -np.arange(len(row)))
        precision, recall = precision[:-1], recall[:-1]  # its last point is made up
        for level, value in zip(np.linspace(0, 1, levels), drawn, strict=True):
            assert value == pytest.approx(precision[recall >= level - 1e-9].max())


def test_interpolated_precision_of_a_case_worked_by_hand():
    """Right at ranks 1, 3 and 6 of three: precisions 1, 2/3, 1/2 at recalls 1/3, 2/3, 1."""
    relevant = np.array([[1, 0, 1, 0, 0, 1]], dtype=bool)
    expected = [1] * 4 + [2 / 3] * 3 + [1 / 2] * 4
    np.testing.assert_allclose(interpolated_precision(of(relevant))[0], expected)


def test_a_level_that_is_just_reached_counts_as_reached():
    """With ten right pictures every tenth of recall is reached at one of them, in floats or not."""
    relevant = np.zeros((1, 55), dtype=bool)
    places = np.cumsum(np.arange(1, 11)) - 1
    relevant[0, places] = True
    precision = np.arange(1, 11) / (places + 1)
    np.testing.assert_allclose(interpolated_precision(of(relevant))[0, 1:], precision)


@given(rankings())
def test_interpolated_precision_falls_and_lies_above_the_average_precision(relevant):
    assert (np.diff(interpolated_precision(of(relevant), 101), axis=1) <= 0).all()
    for row in relevant:
        each = of(row[None])
        at_right_pictures = interpolated_precision(each, int(row.sum()) + 1)[0, 1:]
        assert at_right_pictures.mean() >= average_precision(each)[0] - 1e-12


def test_precision_below_the_ranking_that_was_kept_is_not_guessed():
    kept = RelevantRanks.from_marks(np.array([[True, False]]), [2])
    with pytest.raises(TruncatedRanking, match="deeper ranking"):
        interpolated_precision(kept)


def test_one_level_of_recall_is_no_curve():
    with pytest.raises(CurveError, match="11 or 101"):
        interpolated_precision(of(np.array([[True]])), 1)


def random_ranks(ease=1.0, queries=30, answers=120) -> RelevantRanks:
    generator = np.random.default_rng(5)
    scores = generator.normal(size=(queries, answers))
    scores[:, :8] += ease
    return of(np.argsort(-scores, axis=1) < 8)


GROUPS = [f"original {number // 3}" for number in range(30)]


def test_a_hit_rate_curve_has_the_metrics_means_and_the_tables_intervals():
    ranks = random_ranks()
    drawn = hit_rate_curve(ranks, GROUPS, IntervalSettings(3), depth=10)
    np.testing.assert_array_equal(drawn.at, np.arange(1, 11))
    for k, mean, low, high in zip(drawn.at, drawn.means, drawn.lows, drawn.highs, strict=True):
        values = hit_rate_at_k(ranks, int(k))
        interval = mean_intervals({"any": values}, GROUPS, IntervalSettings(3))["any"]
        assert (mean, low, high) == pytest.approx((values.mean(), interval.low, interval.high))


def test_the_level_and_the_rounds_are_those_of_the_bootstrap():
    ranks = random_ranks()
    wide = hit_rate_curve(ranks, GROUPS, IntervalSettings(3, 1500, 0.99), depth=4)
    narrow = hit_rate_curve(ranks, GROUPS, IntervalSettings(3, 1500, 0.8), depth=4)
    assert (wide.highs - wide.lows > narrow.highs - narrow.lows).all()
    values = {"any": hit_rate_at_k(ranks, 4)}
    interval = mean_intervals(values, GROUPS, IntervalSettings(3, 1500, 0.99))["any"]
    assert (wide.lows[-1], wide.highs[-1]) == pytest.approx((interval.low, interval.high))


def test_a_precision_recall_curve_is_the_mean_over_the_queries():
    ranks = random_ranks()
    drawn = precision_recall_curve(ranks, GROUPS, IntervalSettings(3), levels=11)
    np.testing.assert_allclose(drawn.means, interpolated_precision(ranks, 11).mean(axis=0))
    np.testing.assert_allclose(drawn.at, np.arange(11) / 10)
    assert (drawn.lows <= drawn.means).all()
    assert (drawn.means <= drawn.highs).all()


def test_queries_of_one_original_have_a_curve_without_intervals():
    drawn = hit_rate_curve(random_ranks(), ["same"] * 30, IntervalSettings(1), depth=5)
    assert np.isnan(drawn.lows).all()
    assert np.isnan(drawn.highs).all()
    assert np.isfinite(drawn.means).all()


@given(some.integers(1, 100_000))
def test_every_curve_begins_at_one_ends_at_its_depth_and_is_fine_enough(depth):
    ks = ks_up_to(depth)
    assert ks[0] == 1
    assert ks[-1] == depth
    assert (np.diff(ks) > 0).all()
    assert set(range(1, min(depth, 50) + 1)) <= set(ks.tolist())
    assert len(ks) < 200
    assert (ks[1:] / ks[:-1])[50:].max(initial=1) < 1.1


@pytest.mark.parametrize(
    ("at", "means"), [([1, 2], [0.1]), ([], []), ([2, 1], [0.1, 0.2]), ([1, 1], [0.1, 0.2])]
)
def test_arrays_that_are_no_curve_are_refused(at, means):
    values = np.array(means)
    with pytest.raises(CurveError):
        Curve(np.array(at), values, values, values)


def test_values_of_other_queries_are_refused():
    with pytest.raises(CurveError, match=r"shape \(2, 3\).*4 queries at 3 places"):
        curve([1, 2, 3], np.zeros((2, 3)), ["a", "b", "c", "d"], IntervalSettings(0))


KINDS = {"right": 0, "distractor": 1, "other": 2}


def brute_force(row, k, drawn, distractors) -> float:
    """Mean hit over all sets of distractors that stay, each gallery ranked anew."""
    outcomes = []
    for staying in combinations(range(distractors), drawn):
        seen, kept = 0, []
        for kind in row:
            if kind == KINDS["distractor"]:
                if seen in staying:
                    kept.append(kind)
                seen += 1
            else:
                kept.append(kind)
        outcomes.append(KINDS["right"] in kept[:k])
    return float(np.mean(outcomes))


@settings(max_examples=60)
@given(
    some.integers(1, 4), some.integers(0, 5), some.integers(0, 3), some.integers(1, 6), some.data()
)
def test_the_chance_among_fewer_distractors_is_that_of_all_draws(
    rights, distractors, others, k, data
):
    kinds = [0] * rights + [1] * distractors + [2] * others
    row = np.array(data.draw(some.permutations(kinds)))
    counts = list(range(distractors + 1))
    chances = hits_among_distractors(
        (row == 0)[None], (row == 1)[None], counts, k=k, distractors=distractors
    )
    expected = [brute_force(row, k, drawn, distractors) for drawn in counts]
    np.testing.assert_allclose(chances[0], expected, atol=1e-12)
    assert (np.diff(chances[0]) <= 1e-12).all()


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("total", [1, 30, 100_000])
def test_the_chances_of_many_distractors_are_scipys(total, k):
    counts = np.unique(np.linspace(0, total, 12).round().astype(int))
    ahead = np.unique(np.linspace(0, min(total, 1000), 9).round().astype(int))
    distractor = np.arange(ahead[-1] + 1) < ahead[:, None]
    right = np.arange(ahead[-1] + 1) == ahead[:, None]
    chances = hits_among_distractors(right, distractor, counts, k=k, distractors=total)
    expected = scipy.stats.hypergeom.cdf(k - 1, total, ahead[:, None], counts)
    np.testing.assert_allclose(chances, expected, rtol=1e-9, atol=1e-300)


def test_with_all_distractors_the_chance_is_the_hit_rate_and_with_none_they_are_passed_over():
    right = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=bool)
    distractor = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]], dtype=bool)
    chances = hits_among_distractors(right, distractor, [0, 2], k=1, distractors=2)
    np.testing.assert_array_equal(chances, [[1, 0], [0, 0], [1, 1]])


def test_rankings_of_different_depths_are_read_to_their_ends():
    distractor = [[True, False, False, False, False, False]]
    with pytest.raises(CurveError, match="1 queries have no relevant picture"):
        hits_among_distractors([[False] * 2], distractor, [1], k=3, distractors=1)
    chances = hits_among_distractors([[False] * 6], distractor, [0, 1], k=3, distractors=1)
    np.testing.assert_array_equal(chances, [[0, 0]])


@pytest.mark.parametrize("counts", [[-1], [3], [0, 9]])
def test_more_distractors_than_there_are_cannot_be_drawn(counts):
    with pytest.raises(CurveError, match="2 distractors"):
        hits_among_distractors(np.array([[True]]), np.array([[False]]), counts, k=1, distractors=2)


# The curves of an experiment

DRAWN = IntervalSettings(seed=1, rounds=300, confidence=0.95)


def manifest(labels, part, sources=()):
    made_from = dict(sources)
    return Manifest(
        tuple(
            Picture(
                *(name, f"{part}/{name}.jpg", label, part, made_from.get(name, name)),
                *(8, 8, "0" * 16),
            )
            for name, label in labels.items()
        )
    )


class Case:
    """A ranking with everything that its curves are drawn from."""

    def __init__(self, ranking, queries, gallery, depth=None, sources=()):
        self.gallery = manifest(gallery, "gallery")
        asked = manifest(queries, "query", sources)
        self.evaluation = evaluate(ranking, queries, gallery)
        self.ranks = self.evaluation.ranks.ended_by_itself(depth)
        self.originals = [asked.by_id()[name].source_id for name in self.evaluation.queries]

    def curves(self, by_distance=True, drawn=DRAWN):
        return curves_of(
            *(self.evaluation, self.ranks, self.originals, self.gallery, drawn),
            by_distance=by_distance,
        )


def random_case(seed, *, keep=None, distractors=20, depth=None, sources=()):
    """Ten queries of two classes before a shuffled gallery, of which `keep` answers are kept."""
    rng = np.random.default_rng(seed)
    gallery = {f"g{row}": ("cat", "dog")[row % 2] for row in range(12)}
    gallery |= {f"x{row}": DISTRACTOR for row in range(distractors)}
    queries = {f"q{row}": ("cat", "dog")[row // 5] for row in range(10)}
    answers = tuple(tuple(rng.permutation(list(gallery)).tolist())[:keep] for _ in queries)
    distances = tuple(tuple(np.arange(len(each)) / 10) for each in answers)
    return Case(Ranking(tuple(queries), answers, distances), queries, gallery, depth, sources)


def of_answers(gallery, *answers, depth=None):
    """Queries of the class cat with those answers, best first. gallery: id -> class."""
    ids = tuple(f"q{row}" for row in range(len(answers)))
    distances = tuple(tuple(range(len(each))) for each in answers)
    return Case(Ranking(ids, answers, distances), dict.fromkeys(ids, "cat"), gallery, depth)


# The values


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_hit_rate_is_the_metric_at_each_k(seed):
    case = random_case(seed)
    found = case.curves()[HIT_RATE]
    assert found.at.tolist() == list(range(1, 33))
    expected = [hit_rate_at_k(case.ranks, k).mean() for k in range(1, 33)]
    np.testing.assert_allclose(found.means, expected)
    assert found.means[-1] == 1
    assert (found.lows <= found.means).all()
    assert (found.means <= found.highs).all()


def test_precision_against_recall_of_a_worked_case():
    """Cats at 1 and 4: precision 1 up to recall 1/2, then 1/2."""
    gallery = {"c1": "cat", "d1": "dog", "d2": "dog", "c2": "cat"}
    found = of_answers(gallery, ("c1", "d1", "d2", "c2")).curves()[PRECISION]
    assert found.at[[0, 50, 51, 100]].tolist() == pytest.approx([0, 0.5, 0.51, 1])
    assert found.means[[0, 50, 51, 100]].tolist() == [1, 1, 0.5, 0.5]


def test_precision_against_recall_equals_trec_evals():
    pytrec_eval = pytest.importorskip(
        "pytrec_eval", reason="pytrec-eval-terrier, an oracle, is not installed"
    )
    case = random_case(5)
    found = case.curves()[PRECISION]
    labels = dict(zip(case.gallery.ids, case.gallery.labels, strict=True))
    results = case.evaluation.results
    right = {
        each.query_id: {name: int(label == each.label) for name, label in labels.items()}
        for each in results
    }
    run = {
        each.query_id: {answer: -float(rank) for rank, answer in enumerate(each.answers)}
        for each in results
    }
    theirs = pytrec_eval.RelevanceEvaluator(right, {"iprec_at_recall"}).evaluate(run)
    for tenth in range(11):
        expected = np.mean([each[f"iprec_at_recall_{tenth / 10:.2f}"] for each in theirs.values()])
        assert found.means[10 * tenth] == pytest.approx(expected)


def growth_by_draws(case, count):
    """Hit rate at 1, mean over all galleries with that many of the distractors."""
    strange = [name for name in case.gallery.ids if name.startswith("x")]
    rates = []
    for kept in combinations(strange, count):
        gone = set(strange) - set(kept)
        first = [
            next(right for answer, right in zip(each.answers, each.relevant, strict=True)
                 if answer not in gone)
            for each in case.evaluation.results
        ]  # fmt: skip
        rates.append(np.mean(first))
    return np.mean(rates)


def test_the_growth_is_the_mean_over_all_galleries_with_fewer_distractors():
    case = random_case(7, distractors=6)
    found = case.curves()[AMONG_DISTRACTORS]
    assert found.at.tolist() == [0, 1, 2, 3, 4, 5, 6]
    expected = [growth_by_draws(case, count) for count in range(7)]
    np.testing.assert_allclose(found.means, expected)


@settings(deadline=None, max_examples=15)
@given(some.integers(0, 10_000), some.integers(1, 40))
def test_the_growth_ends_at_the_hit_rate_and_never_rises(seed, distractors):
    found = random_case(seed, distractors=distractors).curves()
    growth = found[AMONG_DISTRACTORS]
    assert growth.at[0] == 0
    assert growth.at[-1] == distractors
    assert len(growth.at) == min(distractors + 1, 12)
    assert (np.diff(growth.means) <= 1e-12).all()
    assert growth.means[-1] == pytest.approx(found[HIT_RATE].means[0])


def test_the_growth_is_known_without_all_right_pictures(caplog):
    """It needs the first right answer; precision at recall 1 needs the last."""
    gallery = {"c1": "cat", "c2": "cat", "d1": "dog", "x1": DISTRACTOR}
    case = of_answers(gallery, ("x1", "c1"), ("c2", "d1"), depth=2)
    with caplog.at_level(logging.WARNING, "gallerist"):
        found = case.curves()
    assert list(found) == [HIT_RATE, AMONG_DISTRACTORS]
    assert found[AMONG_DISTRACTORS].at.tolist() == [0, 1]
    assert found[AMONG_DISTRACTORS].means.tolist() == [1, 0.5]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "precision is left out" in caplog.text


# What is left out


def test_there_is_no_growth_without_distractors():
    assert list(random_case(1, distractors=0).curves()) == [HIT_RATE, PRECISION]


def test_there_is_no_growth_of_rankings_that_a_smaller_gallery_would_change(caplog):
    assert list(random_case(1).curves(by_distance=False)) == [HIT_RATE, PRECISION]
    assert caplog.text == ""


def test_curves_that_a_cut_ranking_leaves_unknown_are_left_out_with_a_warning(caplog):
    case = random_case(2, keep=1, depth=1)
    assert (case.ranks.found == 0).any()
    with caplog.at_level(logging.WARNING, "gallerist"):
        found = case.curves()
    assert list(found) == [HIT_RATE]
    assert found[HIT_RATE].at.tolist() == [1]
    precision, growth = (record.getMessage() for record in caplog.records)
    assert "precision is left out" in precision
    assert "growth is left out" in growth
    assert "deeper ranking" in precision
    assert "deeper ranking" in growth


def test_the_hit_rate_of_a_cut_ranking_goes_as_far_as_it_was_kept():
    found = random_case(2, keep=9, depth=9).curves()[HIT_RATE]
    assert found.at.tolist() == list(range(1, 10))


def test_what_a_ranking_that_ended_by_itself_lacks_was_not_found():
    """An index found three of ten answers asked for, and of two cats one, or none."""
    gallery = {"c1": "cat", "c2": "cat", "d1": "dog", "d2": "dog", "d3": "dog"}
    case = of_answers(gallery, ("c1", "d1", "d2"), ("d1", "d2", "d3"), depth=10)
    found = case.curves()
    assert found[HIT_RATE].at.tolist() == [1, 2, 3, 4, 5]
    assert found[HIT_RATE].means.tolist() == [0.5] * 5
    # The first reaches recall 1/2 with precision 1 and goes no further; the second finds nothing.
    assert found[PRECISION].means[[0, 50, 51, 100]].tolist() == [0.5, 0.5, 0, 0]


def test_intervals_are_drawn_over_originals_with_the_settings():
    everything = random_case(4)
    one = random_case(4, sources={f"q{row}": "original" for row in range(10)}).curves()
    for name, found in everything.curves().items():
        assert np.isfinite(found.lows).all()
        assert np.isnan(one[name].lows).all()
        assert np.isnan(one[name].highs).all()
        np.testing.assert_array_equal(one[name].means, found.means)
    wide = everything.curves()[HIT_RATE]
    narrow = everything.curves(drawn=IntervalSettings(1, 300, 0.6))[HIT_RATE]
    assert (narrow.highs - narrow.lows).sum() < (wide.highs - wide.lows).sum()


# The file


def same(read, written, **tolerance):
    assert list(read) == list(written)
    for name, each in written.items():
        for attribute in ("at", "means", "lows", "highs"):
            found, expected = getattr(read[name], attribute), getattr(each, attribute)
            np.testing.assert_allclose(found, expected, **tolerance)


def test_curves_read_back(tmp_path):
    written = random_case(3).curves()
    write_curves(tmp_path / "curves.csv", written)
    same(read_curves(tmp_path / "curves.csv"), written, atol=1e-9)
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert len(lines) == 1 + 32 + 101 + 12


def test_curves_without_intervals_read_back(tmp_path):
    unknown = np.full(2, np.nan)
    written = {"growth": Curve(np.array([0.0, 7.0]), np.array([1.0, 0.25]), unknown, unknown)}
    write_curves(tmp_path / "curves.csv", written)
    assert (tmp_path / "curves.csv").read_text().splitlines()[1:] == [
        "growth,0,1,,",
        "growth,7,0.25,,",
    ]
    same(read_curves(tmp_path / "curves.csv"), written)


def test_places_in_a_gallery_of_millions_stay_apart(tmp_path):
    at = np.array([1_000_000.0, 1_000_001.0, 12_345_678.0])
    written = {"hit rate": Curve(at, np.ones(3), np.ones(3), np.ones(3))}
    write_curves(tmp_path / "curves.csv", written)
    np.testing.assert_array_equal(read_curves(tmp_path / "curves.csv")["hit rate"].at, at)


def test_no_curve_is_a_file_without_rows(tmp_path):
    write_curves(tmp_path / "curves.csv", {})
    assert read_curves(tmp_path / "curves.csv") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the columns of curves are curve, at, mean, low, high"),
        ("k,rate\n1,1\n", "the columns of curves are curve, at, mean, low, high"),
        ("curve,at,mean,low,high\nhit rate,1,1,1\n", "line 2: .* too few"),
        ("curve,at,mean,low,high\nhit rate,1,1,1,1\nhit rate,2,1,1,1,1\n", "line 3: .* too many"),
        ("curve,at,mean,low,high\nhit rate,one,1,1,1\n", "line 2: .* no number"),
        ("curve,at,mean,low,high\nhit rate,2,1,1,1\nhit rate,1,1,1,1\n", "places that rise"),
    ],
)
def test_a_file_of_no_curves_is_named(tmp_path, text, message):
    path = tmp_path / "curves.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_curves(path)
    assert str(path) in str(error.value)
