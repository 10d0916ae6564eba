"""The published list of answers, as a file."""

import csv

import pytest

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation.answers import write_answers
from gallerist.evaluation.evaluate import evaluate
from gallerist.search.ranking import Ranking

HEADER = ["query", "class", "rank", "right", "answer", "answer_class", "distance"]
GALLERY = {"g1": "cat", "g2": "dog", "g3": DISTRACTOR, "g4": 'a "cat", or so'}
QUERIES = {"q1": "cat", "q2": "dog", "q3": "whale", "q4": 'a "cat", or so'}


def manifest(labels, part):
    return Manifest(
        tuple(
            Picture(name, f"{part}/{label}/of {name}.jpg", label, part, name, 8, 8, "0" * 16)
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


def test_every_judged_query_has_its_first_answers_marked_right_or_wrong(tmp_path):
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


def test_without_a_judged_query_there_is_only_the_header(tmp_path):
    evaluation = evaluate(Ranking(("q3",), (("g1",),), ((0.1,),)), {"q3": "whale"}, GALLERY)
    path = tmp_path / "answers.csv"
    write_answers(path, evaluation, manifest(QUERIES, "query"), manifest(GALLERY, "gallery"), 5)
    assert path.read_text() == ",".join(HEADER) + "\n"
    assert [file.name for file in tmp_path.iterdir()] == ["answers.csv"]
