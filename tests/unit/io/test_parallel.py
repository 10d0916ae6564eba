"""io.parallel: results in order, work ahead bounded, no thread left behind."""

import threading
import time

import numpy as np
import pytest

from gallerist.io import parallel
from gallerist.io.parallel import TRIED, in_useful_threads, ordered, stack_batches


def working():
    return [each for each in threading.enumerate() if each.name.startswith("worker")]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("ahead", [0, 3, 100])
def test_results_come_in_the_order_of_the_items(threads, ahead):
    def slow_if_even(number):
        time.sleep(0.002 * (number % 2 == 0))
        return number**2

    found = list(ordered(slow_if_even, range(20), threads=threads, ahead=ahead))
    assert found == [number**2 for number in range(20)]
    assert list(ordered(str, [], threads=threads, ahead=ahead)) == []
    assert not working()


@pytest.mark.parametrize("ahead", [0, 2, 5])
def test_no_more_is_begun_than_so_many_items_ahead_and_nothing_before_it_is_asked_for(ahead):
    begun = []
    results = ordered(begun.append, range(50), threads=8, ahead=ahead)
    assert not begun
    for taken in (1, 2, 3):
        next(results)
        time.sleep(0.05)
        assert sorted(begun) == list(range(taken + ahead))
    results.close()


def test_an_error_comes_in_the_place_of_its_result_and_ends_the_threads():
    def positive(number):
        return 1 / number

    results = ordered(positive, [1, 2, 0, 4], threads=2, ahead=3)
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not working()


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_threads_end_with_the_batches(how):
    arrays = ordered(np.ones, [3] * 100, threads=2, ahead=4)
    batches = stack_batches(arrays, 5)
    del arrays
    assert next(batches).shape == (5, 3)
    assert working()
    if how == "closed":
        batches.close()
    else:
        del batches
    assert not working()


@pytest.mark.parametrize("size", [1, 4, 9, 10])
def test_batches_are_of_one_size_but_for_the_last(size):
    arrays = (np.full(2, number) for number in range(9))
    batches = list(stack_batches(arrays, size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0], range(9))


# --- as many threads as are of use ----------------------------------------------------------------


class Clock:
    """Time that passes only where an item takes it: `alone` seconds by one thread, else `beside`.

    Who worked is kept, item by item.
    """

    def __init__(self, alone, beside):
        self.now, self.took, self.workers = 0.0, {True: alone, False: beside}, []
        self.lock = threading.Lock()

    def perf_counter(self):
        return self.now

    def square(self, number):
        with self.lock:
            name = threading.current_thread().name
            self.workers.append(name)
            self.now += self.took[name == "MainThread"]
        if name != "MainThread":
            time.sleep(0.002)  # so that each thread gets some
        return number**2


def squared(clock, monkeypatch, count, threads=4):
    monkeypatch.setattr(parallel, "time", clock)
    items = range(count)
    assert [*in_useful_threads(clock.square, items, threads=threads, ahead=2)] == [
        number**2 for number in items
    ]
    return clock.workers


@pytest.mark.parametrize(
    ("beside", "used"), [(0.00025, 4), (0.0008, 4), (0.0009, 1), (0.001, 1), (0.002, 1)]
)
def test_all_threads_work_where_they_are_a_fifth_quicker_and_else_one(beside, used, monkeypatch):
    workers = squared(Clock(0.001, beside), monkeypatch, 1 + 3 * TRIED)
    assert set(workers[: 1 + TRIED]) == {"MainThread"}
    assert "MainThread" not in workers[1 + TRIED :]
    assert len(set(workers[1 + 2 * TRIED :])) == used


@pytest.mark.parametrize(("beside", "used"), [(0.25, 4), (1, 1)])
@pytest.mark.parametrize(("alone", "alone_done"), [(0.1, 3), (0.3, 1)])
def test_of_what_takes_long_less_is_tried(beside, used, alone, alone_done, monkeypatch):
    """Of what takes longer than the whole trial, one alone and two by each thread."""
    workers = squared(Clock(alone, beside * alone), monkeypatch, 80)
    tried = 1 + alone_done + 8
    assert workers[: 1 + alone_done] == ["MainThread"] * (1 + alone_done)
    assert "MainThread" not in workers[1 + alone_done :]
    assert len(set(workers[1 + alone_done : tried])) == 4
    assert len(set(workers[tried:])) == used


def test_what_the_first_item_takes_is_not_counted(monkeypatch):
    """Libraries load with it: all threads would seem quicker."""
    clock = Clock(0.001, 0.001)
    square = clock.square

    def slow_first(number):
        clock.now += 0.0 if number else 0.2
        return square(number)

    clock.square = slow_first
    workers = squared(clock, monkeypatch, 1 + 3 * TRIED)
    assert len(set(workers[1 + 2 * TRIED :])) == 1


def test_of_one_thread_nothing_is_tried(monkeypatch):
    workers = squared(Clock(0.001, 0.001), monkeypatch, 2 * TRIED, threads=1)
    assert len(set(workers)) == 1
    assert "MainThread" not in workers


@pytest.mark.parametrize("count", [0, 1, 2, TRIED, TRIED + 1, TRIED + 2, 2 * TRIED + 1])
def test_few_items_are_all_done(count, monkeypatch):
    assert len(squared(Clock(0.001, 0.001), monkeypatch, count)) == count


@pytest.mark.parametrize("place", [0, TRIED, TRIED + 1, TRIED + 5, 2 * TRIED, 2 * TRIED + 9])
def test_an_error_comes_after_the_results_before_it_whatever_is_tried(place):
    def inverse(number):
        return 1 / (number - place)

    results = in_useful_threads(inverse, range(3 * TRIED), threads=2, ahead=2)
    assert [next(results) for _ in range(place)] == [1 / (n - place) for n in range(place)]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not working()
