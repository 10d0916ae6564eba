"""An experiment's metrics by query: against oracles, their means and intervals, and as files."""

import json
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    ndcg_score,
    top_k_accuracy_score,
)

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation import metrics
from gallerist.evaluation.bootstrap import IntervalSettings, mean_intervals
from gallerist.evaluation.metrics import MetricError, hit_rate_at_k
from gallerist.evaluation.relevance import Relevance, evaluate
from gallerist.evaluation.relevant_ranks import RelevantRanks, TruncatedRanking
from gallerist.evaluation.scores import (
    Scores,
    flatten,
    full_name,
    score,
)
from gallerist.io.errors import UserError
from gallerist.io.files import write_json
from gallerist.search.ranking import Ranking

DRAWN = IntervalSettings(seed=1, rounds=500, confidence=0.95)
GALLERY = {
    "c1": "cat", "c2": "cat", "d1": "dog", "d2": "dog", "b1": "bird",
    "x1": DISTRACTOR, "x2": DISTRACTOR,
}  # fmt: skip
EVERY = [name.replace("@k", f"@{k}") for name in metrics.NAMES for k in (1, 3, 10)]
LEGAL = re.compile(r"[A-Za-z0-9_\-. :/]+")
"""What MLflow lets a metric be called."""


def manifest(labels, part, sources=()):
    """Pictures of those ids and classes. sources: id -> the original it was made from."""
    made_from = dict(sources)
    return Manifest(
        tuple(
            Picture(
                *(name, f"{part}/{label}/{name}.jpg", label, part, made_from.get(name, name)),
                *(8, 8, "0" * 16),
            )
            for name, label in labels.items()
        )
    )


def ranked(**answers: str) -> Ranking:
    """A ranking: q="a b" gives query q the answers a and b, at distances 0.1, 0.2, ..."""
    found = tuple(tuple(line.split()) for line in answers.values())
    distances = tuple(tuple((n + 1) / 10 for n in range(len(line))) for line in found)
    return Ranking(tuple(answers), found, distances)


def assessed(ranking, queries, gallery, names, depth=None):
    """Judge a ranking as the workflow does. queries, gallery: id -> class."""
    asked = manifest(queries, "query")
    found = evaluate(ranking, queries, gallery)
    return score(found.ranks.ended_by_itself(depth), asked, found.queries, names)


def ranks_of(ranking, queries, gallery, ids, depth):
    """Ranks of the queries of those ids."""
    answers = dict(zip(ranking.query_ids, ranking.answers, strict=True))
    return Relevance.of_classes(queries, gallery).ranks(answers, ids).ended_by_itself(depth)


def of_values(originals=None, labels=None, **values):
    """An assessment of those values; every query its own original, all of one class."""
    columns = {name: np.array(column, dtype=np.float64) for name, column in values.items()}
    count = len(next(iter(columns.values())))
    ids = tuple(f"q{number}" for number in range(count))
    return Scores(ids, tuple(labels or ["cat"] * count), tuple(originals or ids), columns, {})


@st.composite
def rankings(draw, whole=False, least=0):
    """A random ranking with the labels of its queries and of the gallery."""
    label = st.sampled_from(["cat", "dog", "bird", DISTRACTOR])
    gallery = {f"g{n}": draw(label) for n in range(draw(st.integers(1, 12)))}
    queries = {f"q{n}": draw(label) for n in range(draw(st.integers(least, 8)))}
    depth = len(gallery) if whole else draw(st.integers(1, len(gallery)))
    answers = tuple(tuple(draw(st.permutations(list(gallery))))[:depth] for _ in queries)
    distances = tuple(tuple(np.linspace(0, 1, depth)) for _ in queries)
    return Ranking(tuple(queries), answers, distances), queries, gallery


# The hit rate: a naive loop, scikit-learn, worked cases


def naive_hits(ranking, queries, gallery, k):
    """Whether each query hits, and whether a relevant picture may stand below the ranking."""
    hits, unsure = [], False
    for query, answers in zip(ranking.query_ids, ranking.answers, strict=True):
        label = queries[query]
        if label == DISTRACTOR or label not in gallery.values():
            continue
        found = [gallery[answer] for answer in answers]
        hits.append(label in found[:k])
        unsure |= len(found) < k and found.count(label) < list(gallery.values()).count(label)
    return hits, unsure


@settings(deadline=None)
@given(rankings(), st.integers(1, 15))
def test_the_hit_rate_equals_a_naive_loop(case, k):
    hits, unsure = naive_hits(*case, k)
    assume(hits)
    name, kept = f"top-{k}", len(case[0].answers[0])
    ended = assessed(*case, [name])
    assert ended.unknown == {}
    assert ended.values[name].tolist() == hits
    rate = ended.overall(DRAWN)[name].mean
    assert rate == pytest.approx(sum(hits) / len(hits), abs=1e-12)
    cut = assessed(*case, [name], depth=kept)  # what stands below was not kept
    if unsure:
        assert list(cut.unknown) == [name]
        assert cut.values == {}
    else:
        assert cut.unknown == {}
        assert cut.values[name].tolist() == hits


@settings(deadline=None)
@given(rankings(whole=True, least=1))
def test_hit_rates_lie_between_zero_and_one_and_never_fall_with_k(case):
    found = assessed(*case, [f"top-{k}" for k in range(1, 14)])
    assume(found.queries)
    rates = [float(column.mean()) for column in found.values.values()]
    assert len(rates) == 13
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates == sorted(rates)


@settings(deadline=None)
@given(rankings(whole=True, least=1), st.integers(1, 12))
def test_class_rates_weighted_by_queries_give_the_hit_rate(case, k):
    found = assessed(*case, [f"top-{k}"])
    assume(found.queries)
    classes = dict(found.of_classes())
    assert list(classes) == sorted(set(found.labels))
    rates = {label: float(each.values[f"top-{k}"].mean()) for label, each in classes.items()}
    weighted = sum(rates[label] for label in found.labels) / len(found.labels)
    assert weighted == pytest.approx(float(found.values[f"top-{k}"].mean()))
    assert sorted(name for each in classes.values() for name in each.queries) == sorted(
        found.queries
    )


def classifier():
    """One gallery picture a class makes retrieval a classification by nearest picture."""
    rng = np.random.default_rng(1)
    truth = rng.permutation(np.r_[np.arange(20), np.arange(20), rng.integers(0, 20, 260)])
    scores = rng.random((300, 20)) + 0.5 * np.eye(20)[truth]
    order = np.argsort(-scores, axis=1)
    ranking = Ranking(
        tuple(f"q{row}" for row in range(300)),
        tuple(tuple(f"g{column}" for column in line) for line in order),
        tuple(tuple(line) for line in -np.take_along_axis(scores, order, axis=1)),
    )
    queries = {f"q{row}": f"class{label:02d}" for row, label in enumerate(truth)}
    gallery = {f"g{number}": f"class{number:02d}" for number in range(20)}
    found = assessed(ranking, queries, gallery, [f"top-{k}" for k in (1, 3, 5, 10)])
    return found, truth, scores, order


def test_the_hit_rate_is_scikit_learns_top_k_accuracy_of_a_classifier():
    found, truth, scores, _ = classifier()
    means = found.overall(DRAWN)
    for k in (1, 3, 5, 10):
        expected = top_k_accuracy_score(truth, scores, k=k, labels=range(20))
        assert means[f"top-{k}"].mean == pytest.approx(expected)


def test_the_macro_mean_is_scikit_learns_balanced_accuracy_of_a_classifier():
    found, truth, _, order = classifier()
    expected = balanced_accuracy_score(truth, order[:, 0])
    assert found.macro(DRAWN)["top-1"].mean == pytest.approx(expected)


def test_a_worked_case_of_hit_rates():
    ranking = ranked(q1="c1 d1 x1", q2="c1 x1 d2", q3="x1 x2 c1", q4="b1 c1 d1", q5="x1 b1 c2")
    labels = {"q1": "cat", "q2": "dog", "q3": "dog", "q4": "bird", "q5": "cat"}
    names = ["top-1", "top-2", "top-3", "top-10"]
    found = assessed(ranking, labels, GALLERY, names)
    assert [float(found.values[name].mean()) for name in names] == pytest.approx(
        [0.4, 0.4, 0.8, 0.8]
    )
    assert found.unknown == {}
    assert {label: each.values["top-1"].mean() for label, each in found.of_classes()} == {
        "bird": 1.0,
        "cat": 0.5,
        "dog": 0.0,
    }
    assert {label: each.values["top-3"].mean() for label, each in found.of_classes()} == {
        "bird": 1.0,
        "cat": 1.0,
        "dog": 0.5,
    }


def test_what_stands_below_the_answers_that_were_kept_is_unknown_and_not_a_miss():
    ranking, labels = ranked(q1="c1 d1 x1", q3="x1 x2 c1"), {"q1": "cat", "q3": "dog"}
    found = assessed(ranking, labels, GALLERY, ["top-3", "top-10", "MRR"], depth=3)
    assert found.values["top-3"].tolist() == [1, 0]
    assert list(found.unknown) == ["top-10", "MRR"]
    assert "hit rate@10 cannot be known" in found.unknown["top-10"]
    assert "hit rate@3" in found.unknown["top-10"]


def test_what_a_ranking_that_ended_by_itself_lacks_was_not_found():
    """Of ten answers asked for an index found three: it will not find the dogs any more."""
    ranking, labels = ranked(q1="c1 d1 x1", q3="x1 x2 c1"), {"q1": "cat", "q3": "dog"}
    for depth in (10, None):
        found = assessed(ranking, labels, GALLERY, ["top-10", "MRR", "mAP", "recall@5"], depth)
        assert found.unknown == {}
        values = {name: column.tolist() for name, column in found.values.items()}
        expected = {"top-10": [1, 0], "MRR": [1, 0], "mAP": [1 / 2, 0], "recall@5": [1 / 2, 0]}
        assert values == expected


def test_queries_without_a_right_picture_count_neither_as_hit_nor_as_miss():
    labels = {"q1": "cat", "q2": "whale", "q3": DISTRACTOR, "q4": "bird"}
    ranking = ranked(q1="c1", q2="c1", q3="x1", q4="c1")
    found = assessed(ranking, labels, GALLERY, ["top-1"])
    assert found.queries == ("q1", "q4")
    assert found.labels == ("cat", "bird")
    assert found.values["top-1"].mean() == 0.5


def test_a_query_whose_file_is_in_the_gallery_under_another_class_may_hit():
    found = assessed(ranked(d1="b1 c1"), {"d1": "bird"}, GALLERY, ["top-1"])
    assert found.values["top-1"].tolist() == [1]


def test_a_query_ranked_as_its_own_answer_is_refused():
    with pytest.raises(UserError, match="its own answer"):
        assessed(ranked(d1="d1 c1"), {"d1": "dog"}, GALLERY, ["top-1"])


def test_what_nothing_was_evaluated_for_has_no_mean():
    nothing = Scores((), (), (), {"top-1": np.zeros(0)}, {})
    for mean in (nothing.overall, nothing.macro):
        with pytest.raises(MetricError, match="no query was evaluated"):
            mean(DRAWN)
    assert list(nothing.of_classes()) == []


def test_a_query_without_answers_is_a_miss():
    found = assessed(Ranking(("q",), ((),), ((),)), {"q": "cat"}, GALLERY, ["top-5", "mAP"])
    assert {name: column.tolist() for name, column in found.values.items()} == {
        "top-5": [0],
        "mAP": [0],
    }


def test_k_below_one_is_refused():
    ranks = RelevantRanks.from_marks(np.ones((2, 3), dtype=bool), [3, 3])
    with pytest.raises(ValueError, match="k is 0"):
        hit_rate_at_k(ranks, 0)
    with pytest.raises(MetricError, match="not a metric"):
        score(ranks, manifest({"a": "cat", "b": "cat"}, "query"), ["a", "b"], ["top-0"])


def test_hits_at_k_of_a_worked_case():
    relevant = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]], dtype=bool)
    ranks = RelevantRanks.from_marks(relevant, [1, 1, 1])
    assert hit_rate_at_k(ranks, 1).tolist() == [False, True, False]
    assert hit_rate_at_k(ranks, 3).tolist() == [True, True, False]
    assert hit_rate_at_k(ranks.of([0, 1]), 30).tolist() == [True, True]
    with pytest.raises(TruncatedRanking, match="1 of 3 queries ends at rank 3"):
        hit_rate_at_k(ranks, 30)


# All metrics, through the files' interface


def test_top_k_is_another_name_of_the_hit_rate():
    assert full_name("top-5") == "hit rate@5"
    assert [full_name(name) for name in ("mAP", "nDCG@10")] == ["mAP", "nDCG@10"]


def random_ranking(seed, pictures=60, queries=25):
    """A whole ranking of a gallery in which every class of a query has a picture."""
    rng = np.random.default_rng(seed)
    classes = ["cat", "dog", "bird", DISTRACTOR]
    labels = [*classes, *rng.choice(classes, pictures - 4, p=[0.1, 0.2, 0.1, 0.6])]
    gallery = {f"g{row:03d}": str(label) for row, label in enumerate(labels)}
    asked = {f"q{row:03d}": str(rng.choice(classes[:3])) for row in range(queries)}
    answers = tuple(tuple(rng.permutation(list(gallery)).tolist()) for _ in asked)
    distances = tuple(tuple(range(pictures)) for _ in asked)
    return Ranking(tuple(asked), answers, distances), asked, gallery


def test_metrics_by_query_equal_scikit_learns():
    ranking, queries, gallery = random_ranking(3)
    found = assessed(ranking, queries, gallery, ["mAP", "mAP@60", "nDCG@5", "nDCG@60"])
    scores = -np.arange(60.0)
    for row, (query, answers) in enumerate(zip(ranking.query_ids, ranking.answers, strict=True)):
        truth = np.array([gallery[answer] == queries[query] for answer in answers])
        expected = {
            "mAP": average_precision_score(truth, scores),
            "mAP@60": average_precision_score(truth, scores),
            "nDCG@5": ndcg_score(truth[None], scores[None], k=5),
            "nDCG@60": ndcg_score(truth[None], scores[None]),
        }
        values = {name: column[row] for name, column in found.values.items()}
        assert values == pytest.approx(expected, abs=1e-12)


def test_metrics_by_query_equal_trec_evals():
    pytrec_eval = pytest.importorskip(
        "pytrec_eval", reason="pytrec-eval-terrier, an oracle, is not installed"
    )
    ranking, queries, gallery = random_ranking(4)
    theirs_of = {
        "mAP": "map", "R-precision": "Rprec", "MRR": "recip_rank", "top-1": "success_1",
        "top-5": "success_5", "hit rate@10": "success_10", "precision@5": "P_5",
        "recall@10": "recall_10", "nDCG@10": "ndcg_cut_10",
    }  # fmt: skip
    found = assessed(ranking, queries, gallery, theirs_of)
    right = {
        query: {name: int(label == wanted) for name, label in gallery.items()}
        for query, wanted in queries.items()
    }
    run = {
        query: {answer: -float(rank) for rank, answer in enumerate(answers)}
        for query, answers in zip(ranking.query_ids, ranking.answers, strict=True)
    }
    measures = {re.sub(r"_(\d+)$", r".\1", name) for name in theirs_of.values()}
    theirs = pytrec_eval.RelevanceEvaluator(right, measures).evaluate(run)
    for name, known_as in theirs_of.items():
        expected = [theirs[query][known_as] for query in found.queries]
        np.testing.assert_allclose(found.values[name], expected, atol=1e-9)


def test_values_stand_in_the_order_of_the_evaluated_queries_and_not_of_the_manifest():
    queries = manifest({"q1": "cat", "q2": "dog", "q3": "bird"}, "query", {"q2": "original"})
    ranking = ranked(q2="d1 d2", q1="d1 c1", q3="c1 b1")
    evaluated = ["q3", "q2"]
    ranks = ranks_of(ranking, queries.label_of, GALLERY, evaluated, 2)
    assert ranks.total.tolist() == [1, 2]
    found = score(ranks, queries, evaluated, ["MRR", "top-1"])
    assert found.queries == ("q3", "q2")
    assert found.labels == ("bird", "dog")
    assert found.originals == ("q3", "original")
    assert found.values["MRR"].tolist() == [0.5, 1]
    assert found.values["top-1"].tolist() == [0, 1]


def test_some_queries_keep_all_that_is_known_of_them():
    whole = of_values(labels=["a", "b", "a"], x=[0.1, 0.2, 0.3], y=[1, 0, 1])
    some = whole.of(np.array([2, 0]))
    assert (some.queries, some.labels, some.originals) == (("q2", "q0"), ("a", "a"), ("q2", "q0"))
    assert some.values["x"].tolist() == [0.3, 0.1]
    assert some.values["y"].tolist() == [1, 1]


# Means and intervals


def test_intervals_are_those_of_the_bootstrap_by_originals():
    rng = np.random.default_rng(5)
    originals = [f"o{number}" for number in rng.integers(0, 12, 60)]
    evaluated = of_values(originals, x=rng.random(60), hit=rng.integers(0, 2, 60))
    found = evaluated.overall(DRAWN)
    expected = mean_intervals(evaluated.values, originals, IntervalSettings(1, 500, 0.95))
    for name, each in found.items():
        assert each.mean == pytest.approx(evaluated.values[name].mean())
        assert (each.low, each.high) == (expected[name].low, expected[name].high)
        assert each.low < each.mean < each.high
    narrow = evaluated.overall(IntervalSettings(seed=1, rounds=500, confidence=0.6))
    assert narrow["x"].high - narrow["x"].low < found["x"].high - found["x"].low
    assert evaluated.overall(IntervalSettings(seed=2, rounds=500, confidence=0.95)) != found


def test_copies_of_one_original_do_not_make_the_mean_surer():
    rng = np.random.default_rng(6)
    values, labels = rng.random(40), np.repeat(["cat", "dog"], 20)
    originals = [f"o{number}" for number in range(40)]
    once = of_values(originals, labels.tolist(), x=values)
    six = of_values(
        [name for name in originals for _ in range(6)],
        np.repeat(labels, 6).tolist(),
        x=np.repeat(values, 6),
    )
    for few, many in ((once.overall, six.overall), (once.macro, six.macro)):
        one, other = few(DRAWN)["x"], many(DRAWN)["x"]
        assert (other.mean, other.low, other.high) == pytest.approx((one.mean, one.low, one.high))


def test_a_single_original_has_a_mean_and_no_interval():
    evaluated = of_values(["o", "o", "o"], x=[0.0, 0.5, 1.0])
    for found in (evaluated.overall(DRAWN)["x"], evaluated.macro(DRAWN)["x"]):
        assert found.mean == pytest.approx(0.5)
        assert (found.low, found.high) == (None, None)


def test_a_class_with_a_single_original_leaves_only_the_macro_mean_without_an_interval():
    evaluated = of_values(labels=["cat", "cat", "cat", "dog"], x=[0.2, 0.4, 0.6, 1.0])
    overall, macro = evaluated.overall(DRAWN)["x"], evaluated.macro(DRAWN)["x"]
    assert overall.mean == pytest.approx(0.55)
    assert overall.low is not None
    assert overall.low < 0.55 < overall.high
    assert macro.mean == pytest.approx(0.7)  # (0.4 + 1) / 2
    assert (macro.low, macro.high) == (None, None)


def test_every_class_weighs_the_same_in_the_macro_mean():
    evaluated = of_values(labels=["cat"] * 6 + ["dog"] * 2, x=[1, 1, 1, 1, 1, 0, 0, 0.5])
    macro = evaluated.macro(DRAWN)["x"]
    assert macro.mean == pytest.approx((5 / 6 + 1 / 4) / 2)
    assert macro.low < macro.mean < macro.high


def test_wrong_settings_are_refused_and_do_not_just_leave_no_interval():
    evaluated = of_values(labels=["cat", "cat", "dog", "dog"], x=[0.2, 0.4, 0.6, 1.0])
    for wrong in ((1, 10, 0.95), (1, 1000, 95.0)):
        with pytest.raises(ValueError, match=r"10 rounds are too few|confidence of 95"):
            evaluated.overall(IntervalSettings(*wrong))


# What a reader gets


def test_measured_is_json_without_numbers_that_json_lacks(tmp_path):
    ranking = ranked(q1="c1 d1", q2="b1 d1")
    queries = {"q1": "cat", "q2": "dog"}
    found = assessed(ranking, queries, GALLERY, ["top-1", "mAP"], depth=2).as_json(DRAWN)
    write_json(tmp_path / "metrics.json", found)
    assert json.loads((tmp_path / "metrics.json").read_text()) == found
    assert list(found) == ["metrics", "unknown"]
    assert list(found["metrics"]) == ["top-1"]
    figures = found["metrics"]["top-1"]
    assert list(figures) == ["mean", "low", "high", "macro_mean", "macro_low", "macro_high"]
    assert figures["mean"] == 0.5
    assert figures["low"] < 0.5 < figures["high"]
    assert figures["macro_mean"] == 0.5
    assert figures["macro_low"] is figures["macro_high"] is None  # one original a class
    assert list(found["unknown"]) == ["mAP"]


@settings(deadline=None, max_examples=30)
@given(rankings(least=1))
def test_no_measured_figure_is_ever_nan(case):
    evaluated = assessed(*case, EVERY, depth=len(case[0].answers[0]))
    assume(evaluated.queries)
    found = evaluated.as_json(DRAWN)
    json.dumps(found, allow_nan=False)
    assert set(found["metrics"]) | set(found["unknown"]) == set(EVERY)
    assert not set(found["metrics"]) & set(found["unknown"])
    assert all(0 <= each["mean"] <= 1 for each in found["metrics"].values())


def test_where_every_metric_is_unknown_there_is_nothing_to_measure():
    found = of_values(labels=["a", "b"], x=[1, 0]).of(np.array([0, 1])).as_json(DRAWN)
    assert list(found["metrics"]) == ["x"]
    unknown = Scores(("q",), ("cat",), ("q",), {}, {"mAP": "too short"})
    assert unknown.as_json(DRAWN) == {"metrics": {}, "unknown": {"mAP": "too short"}}


def test_flat_names_are_those_that_mlflow_takes():
    figures = {"mean": 0.5, "low": 0.4, "high": 0.6, "macro_mean": 0.3, "macro_low": None}
    named = flatten(dict.fromkeys(["top-1", *EVERY], figures))
    assert all(LEGAL.fullmatch(name) for name in named)
    assert len(named) == 4 * len({"top-1", *EVERY})  # no two names are one
    assert flatten({"mAP@10": figures}) == {
        "mAP-10": 0.5,
        "intervals/mAP-10 low": 0.4,
        "intervals/mAP-10 high": 0.6,
        "intervals/mAP-10 macro mean": 0.3,
    }
    assert flatten({"top-1": {"mean": 0.5, "low": None}}) == {"top-1": 0.5}
    assert all(type(value) is float for value in named.values())
