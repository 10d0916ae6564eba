"""One query's answers out of a large ranking: the same as when all of it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.search.ranking import Ranking
from gallerist.search.ranking_file import RankingFile, UnorderedRanking


def ranking(lengths):
    """Of queries with so many answers each; ids and distances are of different widths."""
    queries = tuple(f"q{number * number}" for number in range(len(lengths)))
    answers = tuple(tuple(f"g{10**place}" for place in range(count)) for count in lengths)
    distances = tuple(tuple(place / 7 for place in range(count)) for count in lengths)
    return Ranking(queries, answers, distances)


def opened(path, found):
    found.write(path)
    return RankingFile(path, {query: place for place, query in enumerate(found.query_ids)})


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(0, 14), st.integers(1, 14)
)
def test_any_part_of_any_query_is_found(tmp_path_factory, lengths, skipped, count):
    found = ranking(lengths)
    file = opened(tmp_path_factory.mktemp("ranking") / "r.csv", found)
    for row, query in enumerate(found.query_ids):
        part = file.answers(query, count, skipped=skipped)
        assert part.ids == found.answers[row][skipped : skipped + count]
        expected = found.distances[row][skipped : skipped + count]
        assert part.distances == pytest.approx(expected, abs=1e-9)
        assert part.first_rank == skipped + 1


def test_queries_of_very_different_lengths_are_found(tmp_path):
    """So that the place in the file says little about the query."""
    found = ranking([1] * 300 + [30] * 100 + [0] * 50 + [2])
    file = opened(tmp_path / "r.csv", found)
    for row, query in enumerate(found.query_ids):
        assert file.answers(query, 50).ids == found.answers[row]


def test_another_order_of_queries_is_refused(tmp_path):
    found = ranking([3, 3, 3, 3, 3])
    found.write(tmp_path / "r.csv")
    backwards = {query: place for place, query in enumerate(reversed(found.query_ids))}
    file = RankingFile(tmp_path / "r.csv", backwards)
    with pytest.raises(UnorderedRanking, match=r"r\.csv is not in the order of the queries"):
        file.answers(found.query_ids[0], 3)


HEADER = "query_id,rank,gallery_id,distance\n"


@pytest.mark.timeout(30)  # it goes back no further than to the first row
@pytest.mark.parametrize(
    "text",
    [
        *("", "a,b\n", f"{HEADER}q0,2,g,0.5\nq0,1,h,0.25\n"),
        *(f"{HEADER}q0,1,g,0.5\nq0,{rank},h,0.6\n" for rank in (-1, 9, 10**400)),
    ],
    ids=["empty", "other columns", "ranks in disorder", "below 1", "too high", "of 400 digits"],
)
def test_what_is_no_ranking_is_refused(tmp_path, text):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(UnorderedRanking, match="run the workflow again"):
        RankingFile(tmp_path / "r.csv", {"q0": 0, "q1": 1}).answers("q0", 5)
