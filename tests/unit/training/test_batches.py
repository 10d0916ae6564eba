"""gallerist.training.batches: the order, the contents, and the reading ahead."""

import gc
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from coloured import CLASSES, drawn, image_batches, loaded
from trunk_of_numbers import TrunkOfNumbers, numbered

from gallerist.data.decoding import BadImage
from gallerist.data.manifest import Manifest
from gallerist.data.preprocessing import Preprocessing
from gallerist.io.errors import UserError
from gallerist.networks.trunk_rows import TrunkRows
from gallerist.training import batches as training_batches
from gallerist.training.batches import AHEAD, RowBatches, TrainingData, targets_of


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("training"), "training", 7)


class Rows:
    """Rows in memory, which remember what was asked for."""

    def __init__(self, count, values=3):
        self.array = np.arange(count * values, dtype=np.float16).reshape(count, values)
        self.asked = []

    def take(self, indices):
        self.asked.append(np.asarray(indices).tolist())
        return self.array[indices]


def row_batches(count, batch_size, seed, positions=None, rows=None):
    positions = range(count) if positions is None else positions
    return RowBatches((rows or Rows(count)).take, positions, np.arange(count), batch_size, seed)


# --- the order --------------------------------------------------------------------------------


def test_the_order_depends_on_the_seed_the_epoch_and_the_number_of_pictures_alone(pictures):
    images = image_batches(pictures, 4, 3)
    first = [images.order(epoch).tolist() for epoch in (1, 2, 3)]
    np.random.seed(0)
    keras.utils.set_random_seed(4)
    rows = row_batches(21, 7, 3)
    assert [rows.order(epoch).tolist() for epoch in (3, 2, 1)] == first[::-1]
    others = [row_batches(21, 7, 4).order(epoch).tolist() for epoch in (1, 2, 3)]
    assert len({tuple(order) for order in first + others}) == 6
    assert all(sorted(order) == list(range(21)) for order in first)
    assert row_batches(21, 4, None).order(2).tolist() == list(range(21))


def test_the_order_is_that_of_numpys_generator_seeded_with_the_seed_and_the_epoch(pictures):
    """Written down, because results that were published must not change."""
    expected = np.random.default_rng([5, 2]).permutation(21)
    np.testing.assert_array_equal(image_batches(pictures, 4, 5).order(2), expected)


def test_an_epoch_that_was_not_read_to_its_end_changes_no_later_one(pictures):
    batches = image_batches(pictures, 4, 3)
    stopped = batches.epoch(1)
    next(stopped)
    stopped.close()
    found = np.concatenate([targets for _, targets in batches.epoch(2)])
    np.testing.assert_array_equal(found, loaded(pictures)[1][batches.order(2)])


# --- decoding once ----------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded, in some order."""
    found, load = [], Preprocessing.load_group

    def noting(self, group):
        found.extend(group)
        return load(self, group)

    monkeypatch.setattr(Preprocessing, "load_group", noting)
    return found


def epochs(batches, count, start=0):
    """Of so many epochs all pixels and all classes, in their order."""
    every = [list(batches.epoch(number, start)) for number in range(1, count + 1)]
    return [[np.concatenate(kind) for kind in zip(*each, strict=True)] for each in every]


def test_pictures_that_fit_into_memory_are_decoded_once(pictures, decoded, monkeypatch):
    kept = epochs(image_batches(pictures, 4, 3), 3)
    assert Counter(decoded) == Counter(pictures.paths)
    decoded.clear()
    monkeypatch.setattr(training_batches, "MOST_KEPT", 21 * 16 * 16 * 3 - 1)
    anew = epochs(image_batches(pictures, 4, 3), 3)
    assert Counter(decoded) == Counter(3 * pictures.paths)
    for one, other in zip(kept, anew, strict=True):
        assert all(map(np.array_equal, one, other))


def test_a_picture_that_an_epoch_left_out_is_decoded_in_the_next(pictures, decoded):
    batches = image_batches(pictures, 4, 3)
    begun = list(batches.epoch(1, start=2))
    assert len(decoded) == 21 - 8
    (pixels, targets), (again, _) = epochs(batches, 1) + epochs(batches, 1)
    by_file, classes = loaded(pictures)
    order = batches.order(1)
    assert np.array_equal(pixels, by_file[order])
    assert np.array_equal(targets, classes[order])
    assert np.array_equal(again, pixels)
    assert np.array_equal(np.concatenate([each for each, _ in begun]), pixels[8:])
    assert set(decoded) == set(pictures.paths)


# --- the contents -----------------------------------------------------------------------------


def test_batches_hold_every_picture_once_with_its_class(pictures):
    pixels, classes = loaded(pictures)
    batches = image_batches(pictures, 4, 3)
    assert (len(batches), batches.images) == (6, 21)
    read = list(batches.epoch(1))
    assert [len(batch) for batch, _ in read] == [4, 4, 4, 4, 4, 1]
    assert all(batch.dtype == np.uint8 and target.dtype == np.int32 for batch, target in read)
    order = batches.order(1)
    np.testing.assert_array_equal(np.concatenate([b for b, _ in read]), pixels[order])
    np.testing.assert_array_equal(np.concatenate([t for _, t in read]), classes[order])


@pytest.mark.parametrize("batch_size", [1, 4, 7, 20, 21, 22])
def test_rows_come_in_the_order_of_the_epoch_from_their_positions(batch_size):
    positions = np.random.default_rng(1).permutation(30)[:21]
    rows = Rows(30)
    batches = row_batches(21, batch_size, 3, positions, rows)
    read = list(batches.epoch(2))
    order = batches.order(2)
    assert len(read) == len(batches) == -(-21 // batch_size)
    found = np.concatenate([b for b, _ in read])
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, rows.array[positions[order]])
    np.testing.assert_array_equal(np.concatenate([t for _, t in read]), order)


def test_rows_of_originals_and_copies_are_those_of_their_pictures_also_where_some_were_lost(
    tmp_path,
):
    """The real thing: a store on the disk, of which one picture's row is missing."""
    trunk, images = TrunkOfNumbers(), numbered(9)
    rows = TrunkRows(trunk, tmp_path)
    rows.fill(Manifest(images.pictures[1:]))
    preprocessing = SimpleNamespace(sha256=trunk.preprocessing)
    data = TrainingData(images, Manifest(images.pictures[:2]), preprocessing, 4, 11)
    batches, validation = data.rows(trunk.model, rows)
    values = np.stack([trunk.row(each) for each in images.ids])
    found = np.concatenate([batch for batch, _ in batches.epoch(1)])
    np.testing.assert_array_equal(found, values[batches.order(1)])
    np.testing.assert_array_equal(next(validation.epoch(1))[0], values[:2])
    with pytest.raises(UserError, match="other frozen layers"):
        data.rows("o" * 64, rows)


def test_classes_are_numbered_as_the_training_has_them(pictures):
    assert targets_of(pictures, pictures.classes).tolist() == [0, 1, 2] * 7
    assert targets_of(pictures, ["red", "blue", "x", "green"]).tolist() == [1, 3, 0] * 7


def test_a_class_that_training_lacks_is_refused(pictures):
    strangers = [replace(pictures.pictures[0], label=name, id=name) for name in ("zebra", "ape")]
    with pytest.raises(ValueError, match="validation has classes that training lacks: ape, zebra"):
        targets_of(Manifest((*strangers, *pictures.pictures[1:])), CLASSES)


# --- the reading ------------------------------------------------------------------------------


def test_a_bad_picture_is_named_when_its_batch_is_asked_for(pictures, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(pictures.paths[0]).read_bytes()[:200])
    rows = (*pictures.pictures[:20], replace(pictures.pictures[20], path=str(bad)))
    batches = image_batches(Manifest(rows), 4, None).epoch(1)
    for _ in range(5):
        next(batches)
    with pytest.raises(BadImage) as refusal:
        next(batches)
    assert str(refusal.value).startswith(f"{bad}: truncated")


def test_an_error_of_the_rows_is_the_one_that_is_raised():
    class Torn(Rows):
        def take(self, indices):
            if 9 in indices:
                raise OSError("the disk is gone")
            return super().take(indices)

    batches = row_batches(12, 3, None, rows=Torn(12)).epoch(1)
    for _ in range(3):
        next(batches)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_rows_are_read_ahead_and_no_more_than_that():
    class Counted(Rows):
        begun = threading.Semaphore(0)

        def take(self, indices):
            taken = super().take(indices)
            self.begun.release()
            return taken

    rows = Counted(40)
    batches = row_batches(40, 4, None, rows=rows).epoch(1)
    next(batches)
    for _ in range(1 + AHEAD):  # this batch and those ahead, without another being asked for
        assert rows.begun.acquire(timeout=20)
    assert not rows.begun.acquire(timeout=0.2)
    next(batches)
    assert rows.begun.acquire(timeout=20)
    assert not rows.begun.acquire(timeout=0.2)
    assert rows.asked == [list(range(i, i + 4)) for i in range(0, 4 * (2 + AHEAD), 4)]
    batches.close()


@pytest.mark.parametrize("end", ["closed", "dropped", "read"])
def test_no_thread_stays_when_an_epoch_ends(end, pictures):
    before = set(threading.enumerate())
    for batches in (image_batches(pictures, 4, 1), row_batches(21, 4, 1)):
        epoch = batches.epoch(1)
        next(epoch)
        assert set(threading.enumerate()) - before
        if end == "closed":
            epoch.close()
        elif end == "read":
            assert len(list(epoch)) == 5
        del epoch
        gc.collect()
        deadline = time.monotonic() + 20
        while set(threading.enumerate()) - before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not set(threading.enumerate()) - before
