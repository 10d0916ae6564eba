"""Names of metrics: put together and taken apart in one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.io.metric_names import accuracies, k_of, top


@given(st.integers(1, 10**9))
def test_the_name_of_a_hit_rate_gives_its_k_back(k):
    assert k_of(top(k)) == k


@pytest.mark.parametrize("name", ["mAP", "mAP@5", "top-", "top-x", "top-5 low", "stop-5", "top--5"])
def test_other_names_have_no_k(name):
    assert k_of(name) is None


def test_accuracies_come_by_their_k_and_map_last():
    assert accuracies(["mAP", "top-10", "MRR", "top-3"]) == ["top-3", "top-10", "mAP"]
