"""A pattern for one of many names: what it matches, against the names side by side."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gallerist.workflow.wildcards import one_of

NAMES = st.text("ab1.-_", min_size=1, max_size=6)


@given(st.sets(NAMES, max_size=12), NAMES)
def test_it_matches_what_the_names_side_by_side_match(names, other):
    pattern = re.compile(one_of(names))
    for text in [*names, other]:
        assert bool(pattern.fullmatch(text)) == (text in names)


@given(st.sets(NAMES, min_size=1, max_size=12), st.sampled_from(["", ".b", "-a.1"]))
def test_what_follows_a_name_decides_which_one_it_is(names, rest):
    """As in a path, where `a.csv` and `a.b.csv` may both be there."""
    side_by_side = "|".join(re.escape(name) for name in names)
    for name in names:
        found = re.fullmatch(f"({one_of(names)}){re.escape(rest)}", name + rest)
        expected = re.fullmatch(f"({side_by_side}){re.escape(rest)}", name + rest)
        assert found[1] == expected[1] == name


def test_without_a_name_nothing_matches():
    assert re.search(one_of([]), "") is None


def test_what_a_thousand_names_begin_with_stands_in_it_once():
    pattern = one_of(f"network-seed{seed}" for seed in range(1000))
    assert pattern.count("network") == 1
    assert len(pattern) < 6000
