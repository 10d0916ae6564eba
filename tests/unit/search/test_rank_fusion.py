"""Rankings merged by reciprocal rank."""

import pytest
from hypothesis import given
from hypothesis import settings as settings
from hypothesis import strategies as st

from gallerist.io.errors import UserError
from gallerist.search.rank_fusion import fuse_rankings
from gallerist.search.ranking import Ranking


def ranking(**answers):
    """A ranking of one-letter gallery ids: q="abc"."""
    found = tuple(tuple(names) for names in answers.values())
    return Ranking(tuple(answers), found, tuple(tuple(map(float, range(len(n)))) for n in found))


def test_reciprocal_ranks_worked_by_hand():
    # a: 1/61 + 1/63, b: 1/62 + 1/61, c: 1/63, d: 1/62
    found = fuse_rankings([ranking(q="abc"), ranking(q="bda")], depth=4)
    assert found.answers == (("b", "a", "d", "c"),)
    scores = [1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62, 1 / 63]
    assert found.distances[0] == pytest.approx([1 - score / (2 / 61) for score in scores])


def test_the_constant_says_how_much_the_first_places_count():
    rankings = [ranking(q="axyzb"), ranking(q="vwstb")]
    assert fuse_rankings(rankings, depth=1, constant=60).answers == (("b",),)
    assert fuse_rankings(rankings, depth=1, constant=0).answers == (("a",),)


def test_equal_scores_are_exactly_equal_and_ordered_by_gallery_id():
    three = [ranking(q="dcba"), ranking(q="cbda"), ranking(q="bdca")]
    found = fuse_rankings(three, depth=4)
    assert found.answers == (("b", "c", "d", "a"),)
    assert len(set(found.distances[0][:3])) == 1


def test_first_everywhere_is_at_distance_zero():
    found = fuse_rankings([ranking(q="ab")] * 7, depth=2)
    assert found.distances[0][0] == 0
    assert 0 < found.distances[0][1] < 1


@settings(deadline=None)
@given(st.lists(st.permutations("abcdef"), min_size=1, max_size=5), st.randoms())
def test_the_order_of_the_rankings_does_not_matter(orders, random):
    rankings = [ranking(q=order) for order in orders]
    found = fuse_rankings(rankings, depth=6)
    random.shuffle(rankings)
    assert fuse_rankings(rankings, depth=6) == found
    assert list(found.distances[0]) == sorted(found.distances[0])
    assert fuse_rankings(rankings, depth=2).answers[0] == found.answers[0][:2]


def test_one_ranking_keeps_its_order_and_queries_may_come_in_another():
    one = ranking(p="cab", q="bca")
    assert fuse_rankings([one], depth=3).answers == one.answers
    swapped = ranking(q="bca", p="cab")
    both = fuse_rankings([one, swapped], depth=3)
    assert (both.query_ids, both.answers) == (one.query_ids, one.answers)


@pytest.mark.parametrize("other", [{"p": "a"}, {"q": "a", "r": "a"}, {"q": "a"}])
def test_rankings_of_different_queries_are_refused(other):
    with pytest.raises(UserError, match=r"ranking 2 answers . queries, .*rank the same queries"):
        fuse_rankings([ranking(p="a", q="a"), ranking(**other)], depth=1)


@pytest.mark.parametrize("settings", [{"depth": 0}, {"depth": 1, "constant": -1}])
def test_settings_of_ranks_that_mean_nothing_are_refused(settings):
    with pytest.raises(UserError, match="at least 1 and at least 0"):
        fuse_rankings([ranking(q="a")], **settings)


def test_nothing_to_fuse_is_refused():
    with pytest.raises(UserError, match="no ranking"):
        fuse_rankings([], depth=1)
