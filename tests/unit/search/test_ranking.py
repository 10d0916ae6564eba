"""A ranking as a file."""

import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.search.ranking import Ranking

names = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)


@st.composite
def rankings(draw) -> Ranking:
    queries = draw(st.lists(names, max_size=5, unique=True))
    answers, distances = [], []
    for _ in queries:
        found = draw(st.lists(names, min_size=1, max_size=6, unique=True))
        near = st.integers(0, 2_000_000_000).map(lambda number: number / 1e9)
        answers.append(tuple(found))
        distances.append(
            tuple(sorted(draw(st.lists(near, min_size=len(found), max_size=len(found)))))
        )
    return Ranking(tuple(queries), tuple(answers), tuple(distances))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("rankings") / "ranking.csv"


@settings(deadline=None)
@given(rankings())
def test_what_is_written_reads_back(file, ranking):
    ranking.write(file)
    assert Ranking.read(file) == ranking


def test_distances_keep_nine_decimals(file):
    Ranking(("q",), (("a", "b"),), ((1 / 3, 2**0.5),)).write(file)
    assert Ranking.read(file).distances == ((0.333333333, 1.414213562),)


def test_the_file_is_plain_csv_with_ranks_from_one(file):
    Ranking(("q1", "q2"), (("a", "b"), ("b",)), ((0.0, 0.5), (0.25,))).write(file)
    assert file.read_text() == (
        "query_id,rank,gallery_id,distance\n"
        "q1,1,a,0.000000000\nq1,2,b,0.500000000\nq2,1,b,0.250000000\n"
    )


@settings(deadline=None)
@given(rankings())
def test_another_tool_may_write_it_in_any_order_of_rows_and_columns(file, ranking):
    ranking.write(file)
    kept = {"dtype": str, "keep_default_na": False}
    frame = pd.read_csv(file, **kept).sample(frac=1, random_state=1)
    frame["comment"] = "mine"
    frame = frame[["distance", "comment", "rank", "gallery_id", "query_id"]]
    frame.to_csv(file, index=False)
    read = Ranking.read(file)
    found = dict(zip(read.query_ids, zip(read.answers, read.distances, strict=True), strict=True))
    assert found == dict(
        zip(ranking.query_ids, zip(ranking.answers, ranking.distances, strict=True), strict=True)
    )


def test_ranks_are_numbers_and_not_words(file):
    answers = [f"g{number}" for number in range(25)]
    Ranking(("q",), (tuple(answers),), (tuple(number / 25 for number in range(25)),)).write(file)
    lines = file.read_text().splitlines()
    rows = lines[1:]
    random.Random(1).shuffle(rows)
    file.write_text("\n".join([lines[0], *rows]) + "\n")
    assert Ranking.read(file).answers == (tuple(answers),)


@pytest.mark.parametrize("content", ["", "query_id,rank,gallery_id\nq,1,g\n", "id\n1\n"])
def test_a_file_without_the_columns_is_refused_by_name(file, content):
    file.write_text(content)
    with pytest.raises(ValueError, match=r"ranking\.csv: the columns of a ranking are query_id"):
        Ranking.read(file)


def test_lists_of_different_lengths_are_not_written(file):
    file.unlink(missing_ok=True)
    with pytest.raises(ValueError, match="zip"):
        Ranking(("q",), (("a", "b"),), ((0.5,),)).write(file)
    assert not file.exists()
