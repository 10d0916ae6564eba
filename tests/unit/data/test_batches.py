"""gallerist.data.batches: batches in order, bounded, and no thread left behind."""

import threading
import time
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from gallerist.data.batches import decoded_ahead
from gallerist.data.decoding import BadImage
from gallerist.data.preprocessing import Preprocessing

SIDE = 8


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twenty pictures of sizes of their own."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = [str(folder / f"{number}.png") for number in range(20)]
    for number, path in enumerate(paths):
        assert cv2.imwrite(path, random.integers(0, 256, (9 + number, 30, 3), dtype=np.uint8))
    return paths


@dataclass(frozen=True)
class Counted(Preprocessing):
    """Counts what it has decoded, in whatever thread, and how many threads do so at once."""

    def __post_init__(self):
        object.__setattr__(self, "done", [])
        object.__setattr__(self, "at_once", [])

    def load(self, path):
        self.at_once.append(len(decoding_threads()))
        pixels = super().load(path)
        self.done.append(path)
        return pixels


def decoding_threads():
    return [each for each in threading.enumerate() if each.name.startswith("decoding")]


def settled(count):
    """Wait until something that goes on in other threads counts no more, and give its count."""
    before = -1
    while before != (now := count()):
        before = now
        time.sleep(0.2)
    return now


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ahead", [0, 1, 5, 99])
@pytest.mark.parametrize("batch_size", [1, 7, 20, 50])
def test_batches_hold_all_pictures_in_order(batch_size, ahead, threads, files):
    preprocessing = Preprocessing(SIDE)
    batches = list(
        decoded_ahead(files, preprocessing, batch_size=batch_size, threads=threads, ahead=ahead)
    )
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch_size
    assert {batch.dtype for batch in batches} == {np.dtype(np.uint8)}
    one_by_one = np.stack([preprocessing.load(path) for path in files])
    np.testing.assert_array_equal(np.concatenate(batches), one_by_one)


def test_no_files_give_no_batches():
    assert list(decoded_ahead([], Preprocessing(SIDE), threads=2)) == []


def test_batches_are_of_32_or_larger_where_more_threads_need_pictures(files):
    paths = (files * 10)[:150]
    for threads, expected in [(2, [32] * 4 + [22]), (40, [80, 70])]:
        batches = decoded_ahead(paths, Preprocessing(SIDE), threads=threads)
        assert [len(batch) for batch in batches] == expected


def test_no_more_is_decoded_than_so_many_batches_ahead(files):
    preprocessing = Counted(SIDE)
    batches = decoded_ahead(files, preprocessing, batch_size=3, threads=2, ahead=2)
    assert not preprocessing.done  # nothing before the first batch is asked for
    for taken in (1, 2, 3):
        next(batches)
        assert settled(lambda: len(preprocessing.done)) == 3 * (taken + 2)
    batches.close()


def test_no_more_threads_decode_than_are_given(files):
    preprocessing = Counted(SIDE)
    list(decoded_ahead(files * 3, preprocessing, threads=3))
    assert max(preprocessing.at_once) <= 3


@pytest.mark.parametrize("position", [0, 8, 19])
def test_a_bad_picture_is_named_after_the_batches_before_it(position, files, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"<html>")
    paths = [*files]
    paths[position] = str(bad)
    batches = decoded_ahead(paths, Preprocessing(SIDE), batch_size=4, threads=2)
    for _ in range(position // 4):
        assert len(next(batches)) == 4
    with pytest.raises(BadImage) as refusal:
        next(batches)
    assert str(refusal.value).startswith(f"{bad}: not an image")
    assert not decoding_threads()


def test_of_two_bad_pictures_the_first_is_named(files, tmp_path):
    (tmp_path / "slow.png").write_bytes(b"<html>" + b" " * 5_000_000)
    paths = [*files[:3], str(tmp_path / "slow.png"), str(tmp_path / "gone.png")]
    for _ in range(5):
        with pytest.raises(BadImage, match=r"slow\.png: not an image"):
            list(decoded_ahead(paths, Preprocessing(SIDE), threads=4))


@pytest.mark.parametrize("how", ["closed", "dropped", "finished"])
def test_threads_end_with_the_iterator(how, files):
    batches = decoded_ahead(files, Preprocessing(SIDE), batch_size=2, threads=3)
    next(batches)
    assert decoding_threads()
    if how == "closed":
        batches.close()
    elif how == "finished":
        list(batches)
    else:
        del batches
    assert not decoding_threads()
