"""evaluation.judged_truth and judged_ranking: truths with junk, and what is wrong with them."""

import json

import pytest
import revisited

from gallerist.evaluation.external_rankings import find_relevant, read_ranking, read_truth
from gallerist.evaluation.judged_ranking import judge
from gallerist.evaluation.judged_truth import SETUPS, read_judged_truth, read_revisited
from gallerist.evaluation.metrics import metric
from gallerist.evaluation.protocol_scores import score
from gallerist.evaluation.protocols import Measure, Protocol
from gallerist.evaluation.relevance import Relevance
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking

ENTRY = {"easy": [0], "hard": [1, 2], "junk": [3], "box": [0, 0, 1, 1]}
WHOLE = {"gallery": list("abcde"), "queries": ["q"], "truth": [ENTRY]}


def put(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_each_setup_has_its_right_answers_and_its_junk(tmp_path):
    read = read_judged_truth([put(tmp_path / "truth.json", WHOLE)], ())
    named = {name: (right["q"], junk["q"]) for name, (right, junk) in read.setups.items()}
    assert named == {
        "easy": ({"a"}, {"b", "c", "d"}),
        "medium": ({"a", "b", "c"}, {"d"}),
        "hard": ({"b", "c"}, {"a", "d"}),
    }
    assert read.truth.relevance.gallery == set("abcde")


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
def test_the_published_annotations_are_read_whole(name):
    value = revisited.read(name)
    read = read_revisited(revisited.FOLDER / f"{name}.json")
    for setup, (right, junk) in SETUPS.items():
        for kinds, found in zip((right, junk), read.setups[setup], strict=True):
            for query, entry in zip(value["queries"], value["truth"], strict=True):
                expected = {value["gallery"][place] for kind in kinds for place in entry[kind]}
                assert found[query] == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{", "is no JSON"),
        ('{"gallery": [], "gallery": []}', "gallery stands in it twice"),
        ([], "is no truth with junk. The form is"),
        ({**WHOLE, "truth": {}}, "is no truth with junk"),
        ({**WHOLE, "gallery": []}, "gallery is no list of names"),
        ({**WHOLE, "queries": [1]}, "queries is no list of names"),
        ({**WHOLE, "gallery": list("abcda")}, "gallery has a twice"),
        ({**WHOLE, "truth": []}, "0 entries for 1 queries"),
        ({**WHOLE, "truth": [[]]}, "q: easy is no list of whole numbers"),
        ({**WHOLE, "truth": [{**ENTRY, "hard": [True]}]}, "q: hard is no list of whole numbers"),
        ({**WHOLE, "truth": [{**ENTRY, "junk": [5]}]}, "q: junk has 5, and the gallery 5"),
        ({**WHOLE, "truth": [{**ENTRY, "junk": [-1]}]}, "q: junk has -1"),
        ({**WHOLE, "truth": [{**ENTRY, "junk": [2]}]}, "q: c is hard and junk"),
    ],
)
def test_a_fault_of_the_annotations_is_reported_with_its_place(tmp_path, value, reason):
    path = put(tmp_path / "truth.json", value)
    with pytest.raises(UserError) as told:
        read_revisited(path)
    assert str(told.value).startswith(str(path))
    assert reason in str(told.value)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("pairs.csv", ["query_id,gallery_id,relevant", "q,a,1", "q,j,-1", "q,b,0"]),
        ("truth.qrels", ["q 0 a 1", "q 0 j -1", "q 0 b 0"]),
    ],
)
def test_a_relevance_below_0_is_junk_and_wrong_only_in_evaluating(tmp_path, name, lines):
    truth = put(tmp_path / name, "\n".join(lines))
    run = put(tmp_path / "run", "\n".join(f"q Q0 {each} 1 {-i} t" for i, each in enumerate("jab")))
    ranking = read_ranking(run)
    assert find_relevant(ranking, read_truth([truth], ())).ranks.ranks.tolist() == [2]
    judged = judge(ranking, read_judged_truth([truth], ranking.query_ids))
    for junk, expected in (("out", 1), ("wrong", 1 / 2)):
        protocol = Protocol(own="in", divisor="R", junk=junk)
        assert score(judged, protocol, Measure("mAP")).value == expected


@pytest.mark.parametrize(
    ("queries", "answers", "reason"),
    [
        ("x", "a", "no query that the truth knows"),
        ("p", "a", "1 queries of the truth are not in the ranking: q"),
        ("q", "z", "the ranking names z, which the gallery does not have"),
    ],
)
def test_a_ranking_of_other_data_is_refused(tmp_path, queries, answers, reason):
    empty = {"easy": [], "hard": [], "junk": []}
    value = {**WHOLE, "queries": ["q", "p"], "truth": [ENTRY, empty]}
    truth = read_revisited(put(tmp_path / "truth.json", value))
    with pytest.raises(UserError, match=reason):
        judge(Ranking(tuple(queries), (tuple(answers),), ((0.0,),)), truth)


def test_a_ranked_query_without_a_class_is_refused(tmp_path):
    rows = ["id,label,part", "q,ant,query", "a,ant,gallery"]
    truth = read_judged_truth([put(tmp_path / "classes.csv", "\n".join(rows))], ())
    with pytest.raises(UserError, match="no class of 1 queries: x"):
        judge(Ranking(("q", "x"), (("a",), ("a",)), ((0.0,), (0.0,))), truth)


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
def test_the_published_figures_come_by_the_relevance_that_search_and_evaluation_have(name):
    read = read_revisited(revisited.FOLDER / f"{name}.json")
    names = {"mAP": "mAP/trapezoids"} | {f"mP@{k}": f"precision@{k}/last" for k in (1, 5, 10)}
    for kind in ("random", "good"):
        ranking = revisited.seeded_ranking(name, kind)
        answers = dict(zip(ranking.query_ids, ranking.answers, strict=True))
        for setup, figures in revisited.expected(name, kind).items():
            right, junk = read.setups[setup]
            relevance = Relevance(right, read.truth.relevance.gallery, junk=junk)
            ranks = relevance.ranks(answers)
            assert len(ranks) == figures["queries judged"]
            for figure, ours in names.items():
                assert metric(ours)(ranks).mean() == pytest.approx(figures[figure], abs=1e-9)
