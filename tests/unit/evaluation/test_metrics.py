"""Metrics: hand-worked, against scikit-learn and trec_eval, and by their properties."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    ndcg_score,
)

from gallerist.evaluation import metrics
from gallerist.evaluation.metrics import MetricError, class_means, macro_mean, metric, overall_mean
from gallerist.evaluation.relevant_ranks import RelevantRanks, TruncatedRanking

KS = (1, 3, 5, 10, 1000)
EVERY = [
    name
    for pattern in metrics.NAMES
    for name in ([pattern.replace("@k", f"@{k}") for k in KS] if "@k" in pattern else [pattern])
]


def per_query(names, ranks):
    """Name -> the metric of each query."""
    return {name: metric(name)(ranks) for name in names}


def random_cases(count=200):
    """(relevant, missing): answers right or wrong, best first, and right pictures not ranked."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        relevant = rng.random(rng.integers(2, 60)) < rng.choice([0.05, 0.2, 0.5, 0.95])
        relevant[rng.integers(len(relevant))] = True
        yield relevant, int(rng.choice([0, 0, 1, 7]))


def whole(relevant):
    """The ranks of one query whose whole ranking is known."""
    return RelevantRanks.from_marks(relevant[None], [int(relevant.sum())])


def value(name, relevant):
    return float(metric(name)(whole(relevant))[0])


@st.composite
def evaluated(draw, least=1):
    """Queries with a whole ranking of one gallery."""
    pictures = draw(st.integers(1, 30))
    rows = draw(
        st.lists(
            st.lists(st.booleans(), min_size=pictures, max_size=pictures).filter(any),
            min_size=least,
            max_size=6,
        )
    )
    relevant = np.array(rows, dtype=bool).reshape(-1, pictures)
    return RelevantRanks.from_marks(relevant, relevant.sum(axis=1))


def test_a_worked_case():
    """Right at 2, 3 and 6 of ten; R = 3."""
    relevant = np.zeros(10, dtype=bool)
    relevant[[1, 2, 5]] = True
    expected = {
        "hit rate@1": 0, "hit rate@2": 1, "hit rate@10": 1,
        "precision@3": 2 / 3, "precision@10": 0.3, "precision@20": 3 / 20,
        "recall@3": 2 / 3, "recall@6": 1, "R-precision": 2 / 3,
        "mAP": (1 / 2 + 2 / 3 + 3 / 6) / 3,
        "mAP@2": (1 / 2) / 2, "mAP@3": (1 / 2 + 2 / 3) / 3, "mAP@5": (1 / 2 + 2 / 3) / 3,
        "mAP@10": (1 / 2 + 2 / 3 + 3 / 6) / 3, "mAP@R": (1 / 2 + 2 / 3) / 3,
        "mAP@1/hits": 0, "mAP@2/hits": 1 / 2, "mAP@5/hits": (1 / 2 + 2 / 3) / 2,
        "mAP/trapezoids": ((0 + 1 / 2) + (1 / 2 + 2 / 3) + (2 / 5 + 3 / 6)) / 2 / 3,
        "precision@10/last": 3 / 6, "precision@5/last": 2 / 5, "precision@1/last": 0,
        "MRR": 1 / 2, "MRR@1": 0, "MRR@2": 1 / 2,
        "nDCG@2": (1 / np.log2(3)) / (1 + 1 / np.log2(3)),
        "nDCG@6": (1 / np.log2(3) + 1 / 2 + 1 / np.log2(7)) / (1 + 1 / np.log2(3) + 1 / 2),
    }  # fmt: skip
    assert {name: value(name, relevant) for name in expected} == pytest.approx(expected, abs=1e-15)


def test_average_precision_and_ndcg_equal_scikit_learns():
    for relevant, _ in random_cases():
        scores = -np.arange(len(relevant), dtype=float)
        truth = relevant.astype(int)
        assert value("mAP", relevant) == pytest.approx(
            average_precision_score(truth, scores), abs=1e-9
        )
        assert value("mAP", relevant) == pytest.approx(
            label_ranking_average_precision_score(truth[None], scores[None]), abs=1e-9
        )
        for k in KS:
            expected = ndcg_score(truth[None], scores[None], k=k)
            assert value(f"nDCG@{k}", relevant) == pytest.approx(expected, abs=1e-9)


def test_every_metric_equals_trec_evals():
    pytrec_eval = pytest.importorskip(
        "pytrec_eval", reason="pytrec-eval-terrier, an oracle, is not installed"
    )
    cut = "1,3,5,10,1000"
    wanted = {f"{each}.{cut}" for each in ("success", "P", "recall", "ndcg_cut", "map_cut")}
    for relevant, missing in random_cases():
        total = int(relevant.sum()) + missing
        right = {f"{row}": int(each) for row, each in enumerate(relevant)}
        right |= {f"missing{number}": 1 for number in range(missing)}
        judge = pytrec_eval.RelevanceEvaluator(
            {"q": right}, {*wanted, "map", "Rprec", "recip_rank"}
        )
        run = {f"{row}": float(len(relevant) - row) for row in range(len(relevant))}
        theirs = judge.evaluate({"q": run})["q"]
        # trec_eval takes what is not ranked for ranked nowhere: here, last of a huge gallery.
        last = np.zeros(10**6, dtype=bool)
        last[: len(relevant)] = relevant
        last[10**6 - missing :] = True
        ours = RelevantRanks.from_marks(last[None], [total])
        names = {
            "R-precision": theirs["Rprec"], "MRR": theirs["recip_rank"],
            **{f"hit rate@{k}": theirs[f"success_{k}"] for k in KS},
            **{f"precision@{k}": theirs[f"P_{k}"] for k in KS},
            **{f"recall@{k}": theirs[f"recall_{k}"] for k in KS},
            **{f"nDCG@{k}": theirs[f"ndcg_cut_{k}"] for k in KS},
            **{f"mAP@{k}": theirs[f"map_cut_{k}"] * total / min(k, total) for k in KS},
        }  # fmt: skip
        if not missing:
            names["mAP"] = theirs["map"]
        found = {name: float(column[0]) for name, column in per_query(names, ours).items()}
        assert found == pytest.approx(names, abs=1e-9)


def test_the_divisor_of_the_hits_gives_the_mean_precision_at_the_hits():
    """Against the definition of TorchMetrics' RetrievalMAP, a line of numpy."""
    for relevant, _ in random_cases():
        for k in KS:
            positions = np.flatnonzero(relevant[:k]) + 1
            expected = (
                (np.arange(1, len(positions) + 1) / positions).mean() if len(positions) else 0
            )
            assert value(f"mAP@{k}/hits", relevant) == pytest.approx(expected, abs=1e-9)


def test_the_divisor_of_the_hits_forgives_what_is_not_found():
    one_of_ten = np.array([[True, *[False] * 9]])
    ranks = RelevantRanks.from_marks(one_of_ten, [10])
    assert metric("mAP@10/hits")(ranks).tolist() == [1.0]
    assert metric("mAP@10")(ranks).tolist() == [0.1]


@settings(deadline=None)
@given(evaluated())
def test_every_metric_gives_a_number_from_0_to_1_for_every_query(ranks):
    for name, column in per_query(EVERY, ranks).items():
        assert column.shape == (len(ranks),), name
        assert column.dtype == np.float64, name
        assert ((column >= 0) & (column <= 1)).all(), name


@settings(deadline=None, max_examples=30)
@given(evaluated(), st.randoms(use_true_random=False))
def test_every_query_is_evaluated_by_itself(ranks, random):
    order = list(range(len(ranks)))
    random.shuffle(order)
    for name, column in per_query(EVERY, ranks).items():
        assert metric(name)(ranks.of(order)).tolist() == column[order].tolist(), name
        one_by_one = [float(metric(name)(ranks.of([row]))[0]) for row in range(len(ranks))]
        assert one_by_one == column.tolist(), name


@settings(deadline=None)
@given(evaluated(), st.integers(1, 32))
def test_more_answers_never_lower_what_only_adds_up(ranks, k):
    def grows(name, scale=lambda k: 1):
        one, more = (metric(f"{name}@{each}")(ranks) * scale(each) for each in (k, k + 1))
        return (more >= one - 1e-12).all()

    assert grows("hit rate")
    assert grows("recall")
    assert grows("MRR")
    assert grows("precision", lambda k: k)
    assert grows("mAP", lambda k: np.minimum(k, ranks.total))


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 25))
def test_a_perfect_ranking_reaches_1_exactly(totals, k):
    relevant = np.arange(20) < np.array(totals)[:, None]
    ranks = RelevantRanks.from_marks(relevant, totals)
    names = ["mAP", "mAP@R", "R-precision", "MRR"]
    names += [f"{name}@{k}" for name in ("mAP", "nDCG", "hit rate", "MRR")] + [f"mAP@{k}/hits"]
    for name, column in per_query(names, ranks).items():
        assert column.tolist() == [1.0] * len(totals), name
    assert metric(f"recall@{k}")(ranks).tolist() == [min(k, each) / each for each in totals]
    assert metric(f"precision@{k}")(ranks).tolist() == [min(k, each) / k for each in totals]


@settings(deadline=None, max_examples=50)
@given(evaluated(), st.data())
def test_moving_a_right_answer_up_lowers_no_metric_but_that_of_the_hits(ranks, data):
    query = data.draw(st.integers(0, len(ranks) - 1))
    relevant = np.zeros(int(ranks.depth[0]), dtype=bool)
    relevant[ranks.ranks[ranks.query_of == query] - 1] = True
    steps = np.flatnonzero(~relevant[:-1] & relevant[1:])
    if not len(steps):
        return
    place = data.draw(st.sampled_from(steps.tolist()))
    better = relevant.copy()
    better[[place, place + 1]] = better[[place + 1, place]]
    for name in EVERY:
        if not name.endswith("/hits"):
            assert value(name, better) >= value(name, relevant) - 1e-15, name


@settings(deadline=None)
@given(evaluated())
def test_the_definitions_agree_where_they_must(ranks):
    every = per_query(["mAP", "mAP@1000", "mAP@1000/hits", "R-precision", "MRR", "MRR@1000"], ranks)
    np.testing.assert_array_equal(every["mAP"], every["mAP@1000"])
    np.testing.assert_array_equal(every["mAP"], every["mAP@1000/hits"])
    np.testing.assert_array_equal(every["MRR"], every["MRR@1000"])
    for query, total in enumerate(ranks.total.tolist()):
        one = ranks.of([query])
        at_r = per_query([f"precision@{total}", f"recall@{total}", f"mAP@{total}", "mAP@R"], one)
        assert at_r[f"precision@{total}"] == at_r[f"recall@{total}"] == every["R-precision"][query]
        assert at_r[f"mAP@{total}"] == at_r["mAP@R"]


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("mAP", "mAP@4"),
        ("mAP@R", "mAP@4"),
        ("R-precision", "precision@4"),
        ("MRR", "MRR@4"),
        ("hit rate@5", "hit rate@4"),
        ("precision@5", "precision@4"),
        ("recall@5", "recall@4"),
        ("mAP@5", "mAP@4"),
        ("mAP@5/hits", "mAP@4/hits"),
        ("MRR@5", "MRR@4"),
        ("nDCG@5", "nDCG@4"),
    ],
)
def test_what_a_cut_ranking_cannot_say_is_refused_with_what_it_can(name, instead):
    cut = RelevantRanks.from_marks(np.zeros((1, 4), dtype=bool), [5])
    with pytest.raises(TruncatedRanking, match=f"{name} cannot be known.* ask for {instead}\\."):
        metric(name)(cut)
    assert metric(instead)(cut).tolist() == [0]


def test_a_cut_ranking_will_do_where_the_rest_does_not_matter():
    relevant = np.array([[1, 0, 1, 0], [0, 1, 0, 0]], dtype=bool)
    cut = RelevantRanks.from_marks(relevant, [2, 3])
    assert metric("MRR")(cut).tolist() == [1, 0.5]
    assert metric("R-precision")(cut).tolist() == [0.5, 1 / 3]
    all_found = cut.of([0])
    assert metric("mAP")(all_found).tolist() == [(1 + 2 / 3) / 2]
    assert metric("nDCG@99")(all_found).tolist() == [(1 + 1 / 2) / (1 + 1 / np.log2(3))]


@pytest.mark.parametrize(
    ("name", "function", "k"),
    [
        ("mAP", metrics.average_precision, None),
        ("mAP@10", metrics.average_precision_at_k, 10),
        ("mAP@R", metrics.average_precision_at_r, None),
        ("mAP@10/hits", metrics.average_precision_at_k_over_hits, 10),
        ("nDCG@10", metrics.ndcg_at_k, 10),
        ("MRR", metrics.reciprocal_rank, None),
        ("hit rate@5", metrics.hit_rate_at_k, 5),
        ("R-precision", metrics.r_precision, None),
        ("precision@10", metrics.precision_at_k, 10),
        ("recall@123456789", metrics.recall_at_k, 123456789),
    ],
)
def test_a_configuration_names_metrics(name, function, k):
    ranks = RelevantRanks.from_marks([[True, False] * 9, [False, True] * 9], [9, 9])
    expected = function(ranks) if k is None else function(ranks, k)
    assert metric(name)(ranks).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("map@10", "Did you mean mAP@10?"),
        ("ndcg@5", "Did you mean nDCG@5?"),
        ("hit_rate@5", "Did you mean hit rate@5?"),
        ("mAP@10/Hits", "Did you mean mAP@10/hits?"),
        ("mrr", "Did you mean MRR?"),
        ("hit rate", "Did you mean hit rate@k?"),
        ("mAP@0", "Did you mean mAP@k?"),
        ("mAP@010", "Did you mean mAP@k?"),
        ("mAP@k", "Did you mean mAP@k?"),
        ("F1", ""),
        ("", ""),
    ],
)
def test_an_unknown_metric_is_named_with_those_that_exist(name, suggestion):
    with pytest.raises(MetricError) as error:
        metric(name)
    message = str(error.value)
    assert repr(name) in message
    assert suggestion in message
    assert ("Did you mean" in message) == bool(suggestion)
    assert all(known in message for known in metrics.NAMES)


@given(st.text(max_size=20))
def test_any_other_text_is_refused_as_a_metric(text):
    assume(text not in metrics.NAMES)
    assume("@" not in text)
    with pytest.raises(MetricError, match="Known: hit rate@k"):
        metric(text)


def test_k_below_one_is_refused():
    with pytest.raises(MetricError, match="k is 0"):
        metrics.ndcg_at_k(whole(np.ones(3, dtype=bool)), 0)


def test_means_over_queries_and_over_classes():
    values = np.array([1, 0, 1, 1, 0.5])
    labels = ["dog", "dog", "dog", "cat", "ape"]
    assert overall_mean(values) == 0.7
    assert class_means(values, labels) == pytest.approx({"ape": 0.5, "cat": 1, "dog": 2 / 3})
    assert list(class_means(values, labels)) == ["ape", "cat", "dog"]
    assert macro_mean(values, labels) == pytest.approx((0.5 + 1 + 2 / 3) / 3)


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [([], [], "no query was evaluated"), ([1, np.nan], ["a", "b"], "1 values are not numbers")],
)
def test_a_mean_is_never_silently_not_a_number(values, labels, message):
    column = np.array(values, dtype=float)
    for mean in (overall_mean, lambda column: macro_mean(column, labels)):
        with pytest.raises(MetricError, match=message):
            mean(column)


def test_labels_that_are_not_those_of_the_queries_are_refused():
    with pytest.raises(MetricError, match="2 values and 1 labels"):
        class_means(np.ones(2), ["a"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=20), st.data())
def test_graded_gains_are_those_of_scikit_learn_whatever_junk_stands_between(judged, data):
    grades = [grade for grade, _ in judged]
    assume(any(grades))
    k = data.draw(st.integers(1, 25))
    marks: list[bool | None] = []
    for grade, junk in judged:
        marks += [None, grade > 0] if junk else [grade > 0]
    gains = [grade for grade in grades if grade]
    ranks = RelevantRanks.from_marks([marks], [len(gains)], [gains], [gains])
    falling = -np.arange(len(grades), dtype=np.float64)
    expected = ndcg_score([grades], [falling], k=k)
    assert metrics.ndcg_at_k(ranks.of([0, 0]), min(k, len(grades))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("right", "r_precision", "map_at_r"),
    [([1], 0.1, 0.1), ([1, 10], 0.2, 0.12), ([1, 2], 0.2, 0.2), ([*range(1, 11)], 1, 1)],
)
def test_the_published_cases_of_map_at_r(right, r_precision, map_at_r):
    """Musgrave, Belongie and Lim (2020), table 1: ten answers, R = 10, "Recall@1" 1 in each."""
    marks = [[rank in right for rank in range(1, 11)]]
    ranks = RelevantRanks.from_marks(marks, [10])
    found = [metric(name)(ranks)[0] for name in ("hit rate@1", "R-precision", "mAP@R")]
    assert found == pytest.approx([1, r_precision, map_at_r], abs=1e-12)
