"""Progress: quiet, and right about what is done."""

import logging

import pytest

from gallerist.workflow import progress
from gallerist.workflow.progress import Progress, tracked


class Clock:
    """A clock that is set by hand, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="gallerist")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_line_says_how_many_how_fast_and_how_long(clock, lines):
    counter = Progress("images", 100)
    clock.now += 20
    counter.advance(40)
    assert lines() == ["40 of 100 images, 2.0/s, 30 s left"]


def test_lines_come_at_most_every_interval_and_at_the_end(clock, lines):
    counter = Progress("images", 1000)
    for _ in range(1000):
        clock.now += 0.1
        counter.advance()
    done = [int(line.split()[0]) for line in lines()]
    assert len(done) == 10
    assert done == sorted(done)
    assert done[-1] == 1000
    assert lines()[-1] == "1000 of 1000 images, 10.0/s, 0 s left"


def test_short_work_says_one_line(lines):
    assert list(tracked(["a", "b"], "letters", 2)) == ["a", "b"]
    assert len(lines()) == 1
    assert lines()[0].startswith("2 of 2 letters, ")


def test_nothing_to_do_says_nothing(lines):
    assert list(tracked([], "letters", 0)) == []
    assert lines() == []


def test_an_item_is_counted_when_it_is_finished_and_not_when_it_is_begun(clock, lines):
    items = tracked("abc", "letters", 3)
    next(items)
    clock.now += 60
    assert lines() == []
    next(items)
    assert lines() == ["1 of 3 letters, 0.0/s, 120 s left"]


def test_items_need_no_length(lines):
    assert list(tracked(iter("ab"), "letters", 2)) == ["a", "b"]
    assert len(lines()) == 1
