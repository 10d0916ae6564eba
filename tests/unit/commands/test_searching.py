"""What `gallerist search` says before the answers."""

from types import SimpleNamespace

import pytest
from small_gallery import small_gallery

from gallerist.commands import options
from gallerist.commands.search import _sureness


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "RESULTS", tmp_path)
    found = small_gallery(tmp_path)
    found.add_experiment("hog", [1] * 10)
    return found


def test_without_a_threshold_nothing_is_said(small):
    assert _sureness(small.config, "hog", [SimpleNamespace(distance=9.0)]) == ("", "")
    assert _sureness(small.config, "not evaluated", []) == ("", "")


def test_beyond_the_threshold_the_answers_are_not_sure(small):
    small.add_threshold("hog", 0.25)
    assert _sureness(small.config, "hog", [SimpleNamespace(distance=0.2)]) == ("", "")
    for answers in ([SimpleNamespace(distance=0.25)], []):
        notice, behind = _sureness(small.config, "hog", answers)
        assert notice.startswith("nothing in the gallery: its first answer is at a distance of ")
        assert "answers are given below 0.25 alone (with 95 % certainty at most 5 %" in notice
        assert behind.strip() == "not sure"
