"""The tables of an evaluation: the published list of answers, the queries, the classes."""

import csv
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation.bootstrap import IntervalSettings, mean_intervals
from gallerist.evaluation.relevance import evaluate
from gallerist.evaluation.relevant_ranks import RelevantRanks
from gallerist.evaluation.scores import Scores, score
from gallerist.evaluation.tables import (
    read_queries,
    write_answers,
    write_classes,
    write_domains,
    write_queries,
)
from gallerist.search.ranking import Ranking

DRAWN = IntervalSettings(seed=1, rounds=500, confidence=0.95)
HEADER = ["query", "class", "rank", "right", "answer", "answer_class", "distance"]
GALLERY = {"g1": "cat", "g2": "dog", "g3": DISTRACTOR, "g4": 'a "cat", or so'}
QUERIES = {"q1": "cat", "q2": "dog", "q3": "whale", "q4": 'a "cat", or so'}


def manifest(labels, part, sources=()):
    """Pictures of those ids and classes. sources: id -> the original it was made from."""
    made_from = dict(sources)
    return Manifest(
        tuple(
            Picture(
                *(name, f"{part}/{label}/of {name}.jpg", label, part, made_from.get(name, name)),
                *(8, 8, "0" * 16),
            )
            for name, label in labels.items()
        )
    )


def written(path, count, answers, distances):
    ranking = Ranking(tuple(QUERIES), answers, distances)
    evaluation = evaluate(ranking, QUERIES, GALLERY)
    write_answers(path, evaluation, manifest(QUERIES, "query"), manifest(GALLERY, "gallery"), count)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


ANSWERS = (("g2", "g1", "g3"), ("g3", "g2"), ("g1", "g2", "g3"), ("g4",))
DISTANCES = ((0.1, 0.1234567, 2.0), (0.0, 1 / 3), (0.1, 0.2, 0.3), (0.5,))


def test_every_evaluated_query_has_its_first_answers_marked_right_or_wrong(tmp_path):
    header, *lines = written(tmp_path / "answers.csv", 2, ANSWERS, DISTANCES)
    assert header == HEADER
    assert lines == [
        ["of q1.jpg", "cat", "1", "x", "of g2.jpg", "dog", "0.100000"],
        ["of q1.jpg", "cat", "2", "o", "of g1.jpg", "cat", "0.123457"],
        ["of q2.jpg", "dog", "1", "x", "of g3.jpg", DISTRACTOR, "0.000000"],
        ["of q2.jpg", "dog", "2", "o", "of g2.jpg", "dog", "0.333333"],
        ["of q4.jpg", QUERIES["q4"], "1", "o", "of g4.jpg", QUERIES["q4"], "0.500000"],
    ]


@pytest.mark.parametrize(("count", "lines"), [(1, 3), (2, 5), (3, 6), (99, 6)])
def test_no_more_answers_are_listed_than_asked_for(tmp_path, count, lines):
    _, *found = written(tmp_path / "answers.csv", count, ANSWERS, DISTANCES)
    assert len(found) == lines
    assert max(int(line[2]) for line in found) <= count


def test_the_marks_agree_with_the_evaluation(tmp_path):
    _, *found = written(tmp_path / "answers.csv", 99, ANSWERS, DISTANCES)
    assert [line[3] == "o" for line in found] == [line[1] == line[5] for line in found]
    assert not any(line[3] == "o" for line in found if line[5] == DISTRACTOR)


def test_without_a_evaluated_query_there_is_only_the_header(tmp_path):
    evaluation = evaluate(Ranking(("q3",), (("g1",),), ((0.1,),)), {"q3": "whale"}, GALLERY)
    path = tmp_path / "answers.csv"
    write_answers(path, evaluation, manifest(QUERIES, "query"), manifest(GALLERY, "gallery"), 5)
    assert path.read_text() == ",".join(HEADER) + "\n"
    assert [file.name for file in tmp_path.iterdir()] == ["answers.csv"]


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8
)


@settings(deadline=None)
@given(st.data())
def test_queries_read_back_to_the_last_bit(tmp_path_factory, data):
    count = data.draw(st.integers(0, 5))
    labels = {f"q{row}": data.draw(names) for row in range(count)}
    sources = {name: data.draw(names.filter(bool)) for name in labels}
    asked = manifest({**labels, "lost": "whale"}, "query", sources)
    column = st.lists(st.floats(0, 1), min_size=count, max_size=count)
    columns = data.draw(st.dictionaries(names.filter(bool), column, max_size=3))
    assume(not set(columns) & {"query_id", "path", "class", "original", "first_right"})
    written = Scores(
        tuple(labels),
        tuple(labels.values()),
        tuple(sources.values()),
        {name: np.array(values, dtype=np.float64) for name, values in columns.items()},
        {},
    )
    path = tmp_path_factory.mktemp("queries") / "queries.csv"
    first = [data.draw(st.none() | st.integers(1, 9)) for _ in labels]
    marks = [[rank == each for rank in range(1, 10)] for each in first]
    write_queries(path, written, asked, RelevantRanks.from_marks(marks, [1] * count), ["lost"])
    read = read_queries(path)
    assert read.queries == written.queries
    assert read.labels == written.labels
    assert read.originals == written.originals
    assert list(read.values) == list(written.values)
    for name, values in written.values.items():
        assert read.values[name].dtype == np.float64
        np.testing.assert_array_equal(read.values[name], values, strict=True)


def test_the_list_of_queries_has_one_line_a_query_and_names_the_excluded(tmp_path):
    labels = {"q1": "cat", "q2": "whale", "q3": "dog", "q4": DISTRACTOR}
    queries = manifest(labels, "query", {"q3": "a"})
    answers = (("d1", "d2", "c1", "c2"), ("c1",), ("c1", "c2"), ("d1",))
    distances = tuple(tuple(map(float, range(len(each)))) for each in answers)
    evaluation = evaluate(
        Ranking(tuple(labels), answers, distances),
        labels,
        {"c1": "cat", "c2": "cat", "d1": "dog", "d2": "dog"},
    )
    ranks = evaluation.ranks.ended_by_itself(4)
    found = score(ranks, queries, evaluation.queries, ["top-1", "mAP", "mAP@1"])
    path = tmp_path / "queries.csv"
    write_queries(path, found, queries, ranks, evaluation.excluded)
    assert path.read_text().splitlines() == [
        "query_id,path,class,original,first_right,top-1,mAP,mAP@1",
        f"q1,query/cat/of q1.jpg,cat,q1,3,0,{(1 / 3 + 2 / 4) / 2!r},0",
        "q3,query/dog/of q3.jpg,dog,a,,0,0,0",
        "q2,query/whale/of q2.jpg,whale,q2,excluded,,,",
        "q4,query/distractor/of q4.jpg,distractor,q4,excluded,,,",
    ]
    read = read_queries(path)
    assert read.queries == ("q1", "q3")
    assert read.unknown == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with query_id, path, class, original, first_right"),
        ("query_id,rank\nq,1\n", "begins with query_id, path, class, original, first_right"),
        ("query_id,path,class,original,first_right,mAP\nq,p,c,o,1\n", "line 2: .* too few"),
        ("query_id,path,class,original,first_right,mAP\nq,p,c,o,1,1,1\n", "line 2: .* too many"),
        ("query_id,path,class,original,first_right,mAP\nq,p,c,o,1,many\n", "line 2: .* no number"),
        ("query_id,path,class,original,first_right\nq\n", "line 2: .* too few"),
    ],
)
def test_a_file_that_is_no_list_of_queries_is_named(tmp_path, text, message):
    path = tmp_path / "queries.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_queries(path)
    assert str(path) in str(error.value)


def test_the_list_of_classes_has_means_and_ends_of_intervals(tmp_path):
    hits, scores = [1, 1, 0, 1, 1, 0], [1, 0.5, 0.2, 0.3, 0.25, 0.125]
    labels = ["dog", "dog", "dog", "dog", "cat", "cat"]
    originals = ["d1", "d1", "d2", "d3", "c1", "c1"]
    values = {"top-1": np.array(hits, dtype=np.float64), "mAP": np.array(scores)}
    written = Scores(tuple("abcdef"), tuple(labels), tuple(originals), values, {})
    write_classes(tmp_path / "classes.csv", written, DRAWN)
    with (tmp_path / "classes.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [
        *("class", "queries", "originals", "top-1", "top-1 low", "top-1 high"),
        *("mAP", "mAP low", "mAP high"),
    ]
    cat, dog = lines
    assert (cat["class"], cat["queries"], cat["originals"]) == ("cat", "2", "1")
    assert (cat["top-1"], cat["top-1 low"], cat["top-1 high"]) == ("0.5000", "", "")
    assert cat["mAP"] == "0.1875"
    assert (dog["class"], dog["queries"], dog["originals"]) == ("dog", "4", "3")
    assert (dog["top-1"], dog["mAP"]) == ("0.7500", "0.5000")
    expected = mean_intervals(
        {"mAP": np.array(scores[:4])}, originals[:4], IntervalSettings(1, 500, 0.95)
    )["mAP"]
    assert math.isclose(float(dog["mAP low"]), expected.low, abs_tol=1e-4)
    assert math.isclose(float(dog["mAP high"]), expected.high, abs_tol=1e-4)


def test_the_list_of_domains_has_the_figures_of_each_domain_alone(tmp_path):
    values = {"mAP": np.array([1, 0.5, 0.2, 0.25])}
    asked = [tuple("abcd"), ("cat",) * 4, ("1", "2", "3", "4"), values, {}]
    written = Scores(*asked, domains=("photo", "sketch", "photo", "photo"))
    write_domains(tmp_path / "domains.csv", written, DRAWN)
    with (tmp_path / "domains.csv").open(newline="") as file:
        photo, sketch = csv.DictReader(file)
    assert (photo["domain"], photo["queries"], photo["mAP"]) == ("photo", "3", "0.4833")
    assert (sketch["domain"], sketch["queries"], sketch["mAP"]) == ("sketch", "1", "0.5000")
    expected = mean_intervals({"mAP": values["mAP"][[0, 2, 3]]}, ["1", "3", "4"], DRAWN)["mAP"]
    assert (photo["mAP low"], photo["mAP high"]) == (f"{expected.low:.4f}", f"{expected.high:.4f}")
    assert (sketch["mAP low"], sketch["mAP high"]) == ("", "")
    assert written.as_json(DRAWN)["domains"] == {"photo": 3, "sketch": 1}


def test_queries_are_scored_with_their_domains_and_without(tmp_path):
    queries = manifest(QUERIES, "query")
    evaluation = evaluate(Ranking(tuple(QUERIES), ANSWERS, DISTANCES), QUERIES, GALLERY)
    domains = {"q1": "photo", "q2": "sketch", "q3": "photo", "q4": "photo"}
    asked = evaluation.ranks, queries, evaluation.queries, ["top-1"]
    assert score(*asked, domains).domains == ("photo", "sketch", "photo")  # q3 is excluded
    assert score(*asked).domains == ()
    assert "domains" not in score(*asked).as_json(DRAWN)
