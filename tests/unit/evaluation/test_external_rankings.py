"""evaluation.external_rankings against pytrec_eval, which is trec_eval, on the same files."""

import logging
import os
import re
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation import trec_files
from gallerist.evaluation.external_evaluation import Task, evaluate_files
from gallerist.evaluation.external_rankings import (
    find_relevant,
    read_ranking,
    read_truth,
    write_qrels,
    write_run,
)
from gallerist.evaluation.metrics import metric
from gallerist.evaluation.relevant_ranks import TruncatedRanking
from gallerist.evaluation.trec_files import FORMS, source
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking

KS = (1, 2, 5, 10)
# Ours -> pytrec_eval's, and what theirs is to be multiplied with (k, R).
ORACLE = {
    **{f"hit rate@{k}": (f"success_{k}", None) for k in KS},
    **{f"precision@{k}": (f"P_{k}", None) for k in KS},
    **{f"recall@{k}": (f"recall_{k}", None) for k in KS},
    **{f"nDCG@{k}": (f"ndcg_cut_{k}", None) for k in KS},
    **{f"mAP@{k}": (f"map_cut_{k}", k) for k in KS},
    "mAP": ("map", None),
    "R-precision": ("Rprec", None),
    "MRR": ("recip_rank", None),
}
ASKED = {
    *(f"{name}.{','.join(map(str, KS))}" for name in ("success", "P", "recall", "ndcg_cut")),
    *("map_cut." + ",".join(map(str, KS)), "map", "Rprec", "recip_rank"),
}
# Scores that are equal, nearly so, and equal only in single precision; ids of which bytes decide.
SCORES = st.sampled_from([0.0, 1.0, 1 + 1e-9, 1 + 1e-6, -3.5, 1e-3, 7e10, 2.0])
IDS = ["a", "B", "é", "0", "a.jpg", "a,b", "Zz", "10", "9", "日", "ab", "aa", "x", "y"]


@st.composite
def runs(draw):
    """(lines of a run, of qrels): every document ranked for every query, each with a right one."""
    documents = IDS[: draw(st.integers(1, len(IDS)))]
    run, qrels = [], []
    for query in range(draw(st.integers(1, 4))):
        scores = draw(st.lists(SCORES, min_size=len(documents), max_size=len(documents)))
        right = draw(st.lists(st.booleans(), min_size=len(documents), max_size=len(documents)))
        right[draw(st.integers(0, len(documents) - 1))] = True
        run += [f"q{query} Q0 {d} 7 {s!r} tag" for d, s in zip(documents, scores, strict=True)]
        qrels += [f"q{query} 0 {d} {int(r)}" for d, r in zip(documents, right, strict=True)]
    return draw(st.permutations(run)), draw(st.permutations(qrels))


def trec_eval(run, qrels):
    """What pytrec_eval makes of the two files: query -> measure -> value."""
    pytrec_eval = pytest.importorskip(
        "pytrec_eval", reason="pytrec-eval-terrier, the oracle, is not installed"
    )
    with run.open(encoding="utf-8") as one, qrels.open(encoding="utf-8") as other:
        answers, right = pytrec_eval.parse_run(one), pytrec_eval.parse_qrel(other)
    return pytrec_eval.RelevanceEvaluator(right, ASKED).evaluate(answers)


def assert_agreement(ranking, truth, theirs, names):
    found = find_relevant(ranking, truth)
    assert set(found.queries) == set(theirs)
    for name in names:
        measure, k = ORACLE[name]
        values = metric(name)(found.ranks)
        for value, query, total in zip(values, found.queries, found.ranks.total, strict=True):
            factor = 1 if k is None else total / min(k, total)
            assert value == pytest.approx(theirs[query][measure] * factor, abs=1e-9), name


def put(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(runs())
def test_every_metric_of_trec_files_is_that_of_trec_eval(tmp_path, case):
    run, qrels = put(tmp_path / "run", *case[0]), put(tmp_path / "qrels", *case[1])
    ranking = read_ranking(run)
    truth = read_truth([qrels], ranking.query_ids)
    assert_agreement(ranking, truth, trec_eval(run, qrels), ORACLE)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(runs())
def test_a_run_written_by_us_is_read_alike_by_trec_eval_and_by_us(tmp_path, case):
    read = read_ranking(put(tmp_path / "run", *case[0]))
    # Equal answers the other way round, as a search has them, and distances that hardly differ.
    ranking = Ranking(
        read.query_ids,
        tuple(each[::-1] for each in read.answers),
        tuple(tuple(1 + 1e-12 * rank for rank, _ in enumerate(each)) for each in read.answers),
    )
    truth = read_truth([put(tmp_path / "qrels", *case[1])], ranking.query_ids)
    write_run(ranking, tmp_path / "written", "gallerist")
    write_qrels(truth, tmp_path / "right")
    again = read_ranking(tmp_path / "written")
    assert (again.query_ids, again.answers) == (ranking.query_ids, ranking.answers)
    assert read_truth([tmp_path / "right"], ()).relevance.relevant == truth.relevance.relevant
    theirs = trec_eval(tmp_path / "written", tmp_path / "right")
    assert_agreement(ranking, truth, theirs, ORACLE)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(runs())
def test_of_a_truncated_run_only_what_it_shows_is_known(tmp_path, case):
    whole = read_ranking(put(tmp_path / "whole", *case[0]))
    cut = Ranking(
        *(tuple(row[:2] for row in rows) for rows in (whole.answers, whole.distances)), ()
    )
    cut = Ranking(whole.query_ids, cut.query_ids, cut.answers)
    write_run(cut, tmp_path / "run", "cut")
    qrels = put(tmp_path / "qrels", *case[1])
    truth = read_truth([qrels], ())
    names = [name for name in ORACLE if name.endswith(("@1", "@2"))]
    assert_agreement(cut, truth, trec_eval(tmp_path / "run", qrels), names)
    ranks = find_relevant(cut, truth).ranks
    if (ranks.found < ranks.total).any():
        with pytest.raises(TruncatedRanking, match="mAP cannot be known"):
            metric("mAP")(ranks)


# -- rankings -----------------------------------------------------------------------------------


def test_a_ranking_of_ours_is_read_as_it_was_written(tmp_path):
    ranking = Ranking(("q 1", "é,2"), (("a b", "c"), ("c", "a b")), ((0.25, 0.5), (0.0, 1.5)))
    ranking.write(tmp_path / "no-suffix")
    assert source(tmp_path / "no-suffix").kind == "ranking"
    assert read_ranking(tmp_path / "no-suffix") == ranking


def test_a_foreign_ranking_needs_no_distances_and_may_be_in_any_order(tmp_path):
    path = put(
        tmp_path / "r.txt",
        "\ufeffmodel,gallery_id,rank,query_id",
        *("m,b,2,q", "m,c,3,q", "m,a,1,q", ""),
    )
    assert read_ranking(path) == Ranking(("q",), (("a", "b", "c"),), ((1, 2, 3),))


def test_distances_of_a_run_never_fall(tmp_path):
    path = put(tmp_path / "run", "q Q0 a 1 0.5 t", "q Q0 b 2 0.75 t", "q Q0 c 3 -1e400 t")
    assert read_ranking(path) == Ranking(("q",), (("b", "a", "c"),), ((-0.75, -0.5, np.inf),))


def test_only_the_blanks_of_trec_eval_divide_a_line(tmp_path):
    path = put(tmp_path / "run", "q\tQ0  a\u00a0b.jpg 1 0.5 t\r", "  ")
    assert read_ranking(path).answers == (("a\u00a0b.jpg",),)


RANKING = "query_id,rank,gallery_id,distance"


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        ([RANKING, "q,1,a,0", "q,x,b,0"], 3, "rank is 'x', which is not a whole number"),
        ([RANKING, "q,0,a,0"], 2, "the best answer has rank 1"),
        ([RANKING, "q,1,a,0", "", "q,1,b,0"], 4, "query q has two answers of rank 1"),
        ([RANKING, "q,1,a,0", "q,2,a,0"], 3, "query q has a a second time"),
        ([RANKING, "q,1,a,near"], 2, "distance is 'near', which is not a number"),
        ([RANKING, "q,1,a,nan"], 2, "not a number"),
        ([RANKING, "q,1,a"], 2, "3 cells under 4 columns"),
        ([RANKING, "q,1,,0"], 2, "there is no gallery_id"),
        ([RANKING, "q,1,a,0", "q,3,b,0"], None, "none of rank 2"),
        ([RANKING, "q,1,a,0.9", "q,2,b,0.8"], None, "If the column is a similarity"),
        (["q Q0 a 1 0.5 t", "q Q0 a b 2 0.4 t"], 2, "7 fields"),
        (["q Q0 a 1 high t"], 1, "score is 'high', which is not a number"),
        (["q Q0 a 1 2 t", "", "q Q0 a 2 1 t"], 3, "query q has a a second time"),
        (["q Q0 a 1 2 t", "q Q0 \udcff 2 1 t"], 2, "byte 0xff is not UTF-8"),
        ([RANKING, "q,1,\udcff,0"], 2, "byte 0xff is not UTF-8"),
        ([RANKING, "q,1,a\rb,0"], 2, "3 cells under 4 columns"),
        ([RANKING, "q,1,a,0", 'q,2,"b', *["c" * 99] * 2000], 1314, "no CSV"),
        ([RANKING, "q,1,a,0", "q,2," + "b" * 200_000], 3, "more than 100000 bytes without an end"),
        (["0" * 200_000], 1, "more than 100000 bytes without an end"),
    ],
)
def test_a_fault_of_a_ranking_is_reported_with_its_file_and_line(tmp_path, lines, line, reason):
    path = tmp_path / "some ranking"
    path.write_bytes("".join(f"{each}\n" for each in lines).encode("utf-8", "surrogateescape"))
    where = f"{path}: " if line is None else f"{path}, line {line}: "
    with pytest.raises(UserError, match=re.escape(reason)) as told:
        read_ranking(path)
    assert str(told.value).startswith(where)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_lines_may_end_as_on_any_machine(tmp_path, monkeypatch, end, block):
    monkeypatch.setattr(trec_files, "_BLOCK", block)
    table, run = tmp_path / "table", tmp_path / "run"
    table.write_bytes(end.join(["query_id,rank,gallery_id", "q,1,a", "", 'q,2,"b"']).encode())
    run.write_bytes(end.join(["q Q0 a 1 2 t", "q Q0 b 2 1 t", ""]).encode())
    for path in (table, run):
        assert read_ranking(path).answers == (("a", "b"),)
    run.write_bytes(end.join(["q Q0 a 1 2 t", "q Q0 b"]).encode())
    with pytest.raises(UserError, match="line 2: 3 fields"):
        read_ranking(run)


def through_pipe(path):
    """The path of a pipe that the file is written into; it can be opened and read once."""
    receiving, sending = os.pipe()
    data = path.read_bytes()
    Thread(target=lambda: (os.write(sending, data), os.close(sending)), daemon=True).start()
    return f"/dev/fd/{receiving}"


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="pipes have no paths here")
def test_a_ranking_and_its_truth_through_pipes_are_read_whole(tmp_path):
    lines = [f"q{q} Q0 d{r} {r} {1 - r / 1000:.6f} {'x' * 40}" for q in (1, 2) for r in range(900)]
    run = put(tmp_path / "run", *lines)
    qrels = put(tmp_path / "qrels", *(f"q{q} 0 d{r} 1" for q in (1, 2) for r in range(5)))
    wanted = evaluate_files(Task([run, qrels], rounds=1000))
    found = evaluate_files(Task([through_pipe(run), through_pipe(qrels)], rounds=1000))
    assert found.splitlines()[1:] == wanted.splitlines()[1:]


@pytest.mark.parametrize(
    "first", ["", "query,rank,answer", "q 1 a", "a b c d", "{}", '"' + "0" * 90_000]
)
def test_a_file_of_no_known_form_is_refused_with_what_forms_there_are(tmp_path, first):
    path = put(tmp_path / "odd.csv", first)
    with pytest.raises(UserError) as told:
        read_ranking(path)
    assert str(told.value).startswith(f"{path} {'begins with' if first else 'is empty'}")
    assert all(form in str(told.value) for form in FORMS.values())


@pytest.mark.parametrize("identifier", ["a b", "", "a\tb", "a\nb"])
def test_an_id_that_a_run_cannot_hold_is_refused_and_nothing_written(tmp_path, identifier):
    ranking = Ranking(("q",), ((identifier,),), ((0.0,),))
    with pytest.raises(UserError, match="has a blank in it"):
        write_run(ranking, tmp_path / "run", "t")
    with pytest.raises(UserError, match="has a blank in it"):
        write_run(Ranking(("q",), (("a",),), ((0.0,),)), tmp_path / "run", identifier)
    assert list(tmp_path.iterdir()) == []


# -- truths -------------------------------------------------------------------------------------


def ranking_of(**answers):
    """A ranking by query id, the answers as one letter each."""
    return Ranking(
        tuple(answers),
        tuple(map(tuple, answers.values())),
        tuple(tuple(map(float, range(len(each)))) for each in answers.values()),
    )


LABELS = ["id,label,part", "q,cat,query", "r,dog,query", "s,distractor,query", "t,emu,query"]
GALLERY = ["a,cat,gallery", "b,dog,gallery", "c,cat,gallery", "d,distractor,gallery"]


def test_classes_say_what_is_right_and_distractors_are_for_none(tmp_path):
    path = put(tmp_path / "truth", *LABELS, *GALLERY, "x,cat,training", "y,cat,validation")
    ranking = ranking_of(t="abcd", s="dabc", r="abcd", q="bacd")
    found = find_relevant(ranking, read_truth([path], ranking.query_ids))
    assert found.queries == ("q", "r")
    assert found.excluded == ("s", "t")
    assert found.ranks.ranks.tolist() == [2, 3, 2]
    assert found.ranks.total.tolist() == [2, 1]
    assert found.ranks.depth.tolist() == [4, 4]


def test_without_parts_what_is_ranked_is_a_query_and_all_else_the_gallery(tmp_path):
    lines = [line.rpartition(",")[0] for line in [*LABELS, *GALLERY]]
    ranking = ranking_of(q="bacd", r="abcd", s="dabc", t="abcd")
    found = find_relevant(ranking, read_truth([put(tmp_path / "truth", *lines)], ranking.query_ids))
    with_parts = read_truth([put(tmp_path / "parts", *LABELS, *GALLERY)], ())
    expected = find_relevant(ranking, with_parts)
    assert (found.queries, found.excluded) == (expected.queries, expected.excluded)
    assert found.ranks.ranks.tolist() == expected.ranks.ranks.tolist()
    assert found.ranks.total.tolist() == expected.ranks.total.tolist()


def test_two_manifests_are_one_truth_and_copies_have_their_originals(tmp_path):
    def picture(name, label, part, source):
        return Picture(name, f"{name}.jpg", label, part, source, 8, 8, "0" * 16)

    Manifest((picture("q", "cat", "query", "o"), picture("r", "cat", "query", "o"))).write(
        tmp_path / "query.csv"
    )
    Manifest((picture("a", "cat", "gallery", "a"), picture("b", "dog", "gallery", "b"))).write(
        tmp_path / "gallery.csv"
    )
    paths = [tmp_path / "gallery.csv", tmp_path / "query.csv"]
    truth = read_truth(paths, ())
    found = find_relevant(ranking_of(q="ba", r="ab"), truth)
    assert found.queries == ("q", "r")
    assert [picture.source_id for picture in truth.queries] == ["o", "o"]
    assert found.ranks.ranks.tolist() == [2, 1]
    with pytest.raises(UserError, match="no picture is of the part gallery"):
        read_truth(paths[1:], ())


def test_a_picture_that_is_query_and_gallery_is_no_answer_to_itself(tmp_path):
    rows = [f"{name},{label},{part}" for part in ("query", "gallery") for name, label in OWN]
    truth = read_truth([put(tmp_path / "truth", "id,label,part", *rows)], ())
    found = find_relevant(ranking_of(a="cb", b="ac", c="ab"), truth)
    assert found.ranks.total.tolist() == [1, 1]
    assert found.ranks.ranks.tolist() == [2, 1]
    assert found.excluded == ("c",)
    write_qrels(truth, tmp_path / "qrels")
    assert (tmp_path / "qrels").read_text() == "a 0 b 1\nb 0 a 1\n"
    with pytest.raises(UserError, match="its own answer"):
        find_relevant(ranking_of(a="abc", b="ac", c="ab"), truth)


OWN = (("a", "cat"), ("b", "cat"), ("c", "dog"))


def test_pairs_and_qrels_say_the_same(tmp_path):
    files = [
        put(tmp_path / "1", "query_id,gallery_id", "q,a", "q,c", "r,b"),
        put(
            tmp_path / "2", "gallery_id,relevant,query_id", "a,1,q", "c,true,q", "b,0.5,r", "d,0,r"
        ),
        put(
            tmp_path / "3",
            "query_id,gallery_id,relevant",
            "q,a,True",
            "q,c,2",
            "r,b,1",
            "r,d,False",
        ),
        put(tmp_path / "4", "q 0 a 1", "q\t0\tc  1", "r 0 b 1", "r 0 d -1"),
    ]
    ranking = ranking_of(q="dacb", r="abcd", unknown="ab")
    for path in files:
        found = find_relevant(ranking, read_truth([path], ()))
        assert found.queries == ("q", "r")
        assert found.excluded == ("unknown",)
        assert found.ranks.ranks.tolist() == [2, 3, 2]
        assert found.ranks.total.tolist() == [2, 1]


def test_a_query_without_any_right_picture_is_excluded_and_has_no_line_of_qrels(tmp_path):
    truth = read_truth([put(tmp_path / "truth", "q 0 a 1", "r 0 a 0")], ())
    found = find_relevant(ranking_of(r="ab", q="ba"), truth)
    assert (found.queries, found.excluded) == (("q",), ("r",))
    write_qrels(truth, tmp_path / "qrels")
    assert (tmp_path / "qrels").read_text() == "q 0 a 1\n"


def test_grades_are_reported_as_nothing_here_distinguishes_them(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "gallerist"):
        read_truth([put(tmp_path / "plain", "q 0 a 1")], ())
        assert not caplog.records
        read_truth([put(tmp_path / "graded", "q 0 a 2")], ())
    assert "grades above 1" in caplog.text


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        (["id,label", "a,cat", "a,dog"], 3, "a stands already in {path}, line 2"),
        (["id,label,part", "a,cat,test"], 2, "'test' is none of query, gallery, training"),
        (["id,label", "a,"], 2, "there is no label"),
        (["query_id,gallery_id", "q,a", "q,a"], 3, "query q has a a second time"),
        (["query_id,gallery_id,relevant", "q,a,maybe"], 2, "relevant is 'maybe'"),
        (["q 0 a 1", "q 0 b yes"], 2, "relevance is 'yes', which is not a whole number"),
        (["q 0 a 1", "q 0 b"], 2, "3 fields"),
        (["id,label", "a,cat", "b,cat"], None, "classes of 0 queries and of 2 other pictures"),
    ],
)
def test_a_fault_of_a_truth_is_reported_with_its_file_and_line(tmp_path, lines, line, reason):
    path = put(tmp_path / "truth", *lines)
    with pytest.raises(UserError, match=re.escape(reason.format(path=path))) as told:
        read_truth([path], ())
    assert str(told.value).startswith(str(path) if line is None else f"{path}, line {line}: ")


def test_truths_that_do_not_go_together_are_refused(tmp_path):
    classes = put(tmp_path / "classes", "id,label", "a,cat")
    parts = put(tmp_path / "parts", *LABELS)
    qrels = put(tmp_path / "qrels", "q 0 a 1")
    with pytest.raises(UserError, match="give one truth"):
        read_truth([classes, qrels], ())
    with pytest.raises(UserError, match="give one truth"):
        read_truth([qrels, put(tmp_path / "more", "r 0 a 1")], ())
    with pytest.raises(UserError, match="some have a column part"):
        read_truth([classes, parts], ())


def test_a_ranking_of_other_pictures_is_refused(tmp_path):
    truth = read_truth([put(tmp_path / "truth", *LABELS[:3], *GALLERY)], ())
    with pytest.raises(UserError, match="1 queries of the truth are not in the ranking, r"):
        find_relevant(ranking_of(q="abcd"), truth)
    with pytest.raises(UserError, match=r"1 queries of the ranking have no class.* z among"):
        find_relevant(ranking_of(q="abcd", r="abcd", z="abcd"), truth)
    with pytest.raises(UserError, match="names x, which the gallery does not have"):
        find_relevant(ranking_of(q="abcx", r="abcd"), truth)
    none = read_truth([put(tmp_path / "none", "id,label,part", "q,cat,query", "a,Cat,gallery")], ())
    with pytest.raises(UserError, match="are the classes named alike"):
        find_relevant(ranking_of(q="a"), none)
