"""io.parallel: results in order, work ahead bounded, no thread left behind."""

import threading
import time

import numpy as np
import pytest

from gallerist.io.parallel import ordered, stack_batches


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
