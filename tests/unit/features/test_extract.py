"""Classical descriptors of many files."""

import logging
import threading
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from gallerist.data.decoding import BadImage
from gallerist.data.preprocessing import Preprocessing
from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.descriptors.registry import DESCRIPTORS
from gallerist.settings.descriptors import read_descriptor

SETTINGS = {"orientations": 4, "signed": False, "grid": 2, "square_root": True}
PREPROCESSING = Preprocessing(16)


@pytest.fixture
def paths(tmp_path):
    random = np.random.default_rng(1)
    paths = [tmp_path / f"{i}.png" for i in range(11)]
    for path in paths:
        pixels = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def extractor_of(name, threads, **settings):
    settings = {"descriptor": name, "image_size": 16, "look": "colour", **settings}
    return DescriptorExtractor(
        read_descriptor(**settings), max_pixels=PREPROCESSING.max_pixels, threads=threads
    )


def batches_of(paths, threads=2, **chosen):
    extractor = extractor_of("edge_histogram", threads, **SETTINGS)
    return extractor.batches(paths, **chosen)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("batch_size", [1, 4, 11, 100])
def test_rows_are_the_descriptors_vectors_in_the_order_of_the_paths(paths, threads, batch_size):
    batches = list(batches_of(paths, threads=threads, batch_size=batch_size))
    function = DESCRIPTORS["edge_histogram"]
    expected = np.stack([function(PREPROCESSING.load(path), **SETTINGS) for path in paths])
    assert np.array_equal(np.concatenate(batches), expected)
    assert [len(rows) for rows in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert all(rows.dtype == np.float32 for rows in batches)


def test_no_pictures_have_no_batches():
    assert list(batches_of([])) == []


def test_a_bad_picture_is_named_after_the_batches_before_it(paths):
    paths[5].write_text("no picture")
    paths[9].write_text("nor this")
    batches = batches_of(paths, batch_size=2)
    assert len(list(islice(batches, 2))) == 2
    with pytest.raises(BadImage, match=r"5\.png: not an image: text"):
        next(batches)


class Counting:
    """A preprocessing that counts what has been asked of it."""

    sha256 = ""

    def __init__(self):
        self.loaded, self._lock = 0, threading.Lock()

    def load(self, path):
        with self._lock:
            self.loaded += 1
        return np.zeros((4, 4, 3), np.uint8)


def test_no_more_than_a_few_pictures_are_made_ahead():
    counting = Counting()
    extractor = extractor_of("hu_moments", 4)
    extractor._pictures = counting
    batches = extractor.batches(["x"] * 1000, batch_size=10)
    assert counting.loaded == 0
    next(batches)
    batches.close()
    assert counting.loaded <= 30


def test_threads_end_when_the_batches_are_closed(paths):
    batches = batches_of(paths, batch_size=1)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("extraction")]


def test_progress_is_logged_once_all_is_done(paths, caplog):
    with caplog.at_level(logging.INFO, logger="gallerist"):
        list(batches_of(paths))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("11 of 11 images, ")
