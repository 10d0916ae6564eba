"""features.vocabulary: words, and pictures encoded by them, against scikit-learn and by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer
from threadpoolctl import threadpool_limits

from gallerist.data.decoding import BadImage
from gallerist.features.key_points import Detector
from gallerist.features.vocabulary import (
    Vocabulary,
    WordExtractor,
    as_points,
    bag_of_words,
    count_words,
    learn,
    nearest_words,
    signed_square_root,
    vlad,
)
from gallerist.features.vocabulary import (
    sample as sample_of,
)
from gallerist.io.errors import UserError

SIFT = Detector("sift", max_side=120, max_points=80)
DETECTORS = {
    "sift": SIFT,
    "rootsift": Detector("sift", max_side=120, max_points=80, root=True),
    "orb": Detector("orb", max_side=120, max_points=80),
    "surf": Detector("surf", max_side=120, max_points=80),
}


def picture(seed):
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (24, 30, 3), dtype=np.uint8)
    return cv2.resize(coarse, (150, 120), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Nine pictures; the last one is white."""
    folder = tmp_path_factory.mktemp("pictures")
    files = [folder / f"{number}.png" for number in range(9)]
    for number, file in enumerate(files):
        pixels = picture(number) if number < 8 else np.full((60, 60, 3), 255, dtype=np.uint8)
        cv2.imwrite(str(file), pixels)
    return files


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    return DETECTORS[request.param]


@pytest.fixture(scope="module")
def sample(paths, detector):
    return sample_of(paths, detector, at_most=400, seed=1, threads=2)


@pytest.fixture(scope="module")
def vocabulary(paths, detector, sample):
    return count_words(learn(sample, 12, 3, detector=detector), paths, threads=2)


def extractor(vocabulary, encoding, threads=2, square_root=False):
    return WordExtractor(vocabulary, encoding, square_root=square_root, threads=threads)


def hand_made(words, pictures_with_word=(0,), pictures=0):
    """A vocabulary of SIFT words that differ in their first numbers only."""
    rows = np.zeros((len(words), 128), dtype=np.float32)
    rows[:, : len(words[0])] = words
    return Vocabulary(rows, SIFT, np.array(pictures_with_word, dtype=np.int64), pictures)


def descriptors_of(rows):
    padded = np.zeros((len(rows), 128), dtype=np.float32)
    padded[:, : len(rows[0])] = rows
    return padded


@given(st.binary(min_size=64, max_size=64))
def test_squared_distances_of_unpacked_orb_are_hamming_distances(data):
    pair = np.frombuffer(data, dtype=np.uint8).reshape(2, 32)
    a, b = as_points(pair)
    assert ((a - b) ** 2).sum() == cv2.norm(pair[0], pair[1], cv2.NORM_HAMMING)


def test_a_vocabulary_has_the_words_that_are_asked_for(vocabulary, detector):
    assert len(vocabulary) == 12
    assert vocabulary.words.shape == (12, detector.descriptor_length)
    assert vocabulary.words.dtype == (np.uint8 if detector.kind == "orb" else np.float32)
    assert vocabulary.pictures == 9
    assert (vocabulary.pictures_with_word <= 8).all()  # the white picture has none
    assert vocabulary.pictures_with_word.max() >= 2


def test_the_same_seed_gives_the_same_words_and_another_seed_others(sample, detector):
    once, again, other = (learn(sample, 10, seed, detector=detector) for seed in (5, 5, 6))
    assert once.sha256 == again.sha256
    np.testing.assert_array_equal(once.words, again.words)
    assert once.sha256 != other.sha256


def test_words_do_not_depend_on_threads_nor_on_the_global_chance(sample, detector):
    np.random.seed(1)
    with threadpool_limits(limits=1):
        one = learn(sample, 10, 5, detector=detector)
    np.random.seed(2)
    with threadpool_limits(limits=4):
        assert learn(sample, 10, 5, detector=detector).sha256 == one.sha256


def test_words_are_found_where_the_clusters_are():
    chance = np.random.default_rng(1)
    centres = chance.uniform(0, 255, (6, 128))
    rows = (centres.repeat(50, axis=0) + chance.normal(0, 1, (300, 128))).astype(np.float32)
    words = learn(rows, 6, 1, detector=SIFT).words
    distances = np.linalg.norm(words[:, None] - centres[None], axis=2)
    assert sorted(distances.argmin(axis=1)) == list(range(6))
    assert distances.min(axis=1).max() < 5


def test_words_of_orb_are_the_majority_of_each_bit():
    """Noisy copies of three strings: the majority is the string, a mean would be no string."""
    chance = np.random.default_rng(2)
    strings = chance.integers(0, 2, (3, 256))
    flipped = chance.random((90, 256)) < 0.15
    rows = np.packbits(strings.repeat(30, axis=0) ^ flipped, axis=1)
    words = learn(rows, 3, 1, detector=DETECTORS["orb"]).words
    assert {row.tobytes() for row in words} == {
        row.tobytes() for row in np.packbits(strings, axis=1)
    }


def test_more_words_than_different_descriptors_are_refused():
    rows = descriptors_of([[1, 2], [3, 4], [1, 2]])
    with pytest.raises(UserError, match=r"3 visual words .* from 2 different sift"):
        learn(rows, 3, 1, detector=SIFT)
    assert len(learn(rows, 2, 1, detector=SIFT)) == 2


def test_the_nearest_word_is_that_of_opencv(paths, vocabulary, detector):
    rows = detector.detect_in_file(paths[0]).descriptors
    norm = cv2.NORM_HAMMING if detector.kind == "orb" else cv2.NORM_L2
    theirs = cv2.BFMatcher(norm).match(rows, vocabulary.words)
    to_words = as_points(rows)[:, None] - as_points(vocabulary.words)[None]
    ours = (to_words**2).sum(axis=2)[np.arange(len(rows)), nearest_words(vocabulary, rows)]
    distances = np.array([match.distance for match in theirs])
    np.testing.assert_allclose(
        ours, distances if detector.kind == "orb" else distances**2, rtol=1e-4
    )


def test_of_equally_near_words_the_first_is_taken():
    vocabulary = hand_made([[2, 0], [0, 0], [2, 0]])
    assert nearest_words(vocabulary, descriptors_of([[1, 0], [2, 0], [1, 5]])).tolist() == [0, 0, 0]


def test_tf_idf_by_hand():
    """Three words, in 4, 1 and none of 4 pictures; a picture with the words 0, 0, 1, 2."""
    vocabulary = hand_made([[0], [10], [20]], pictures_with_word=(4, 1, 0), pictures=4)
    vector = bag_of_words(vocabulary, descriptors_of([[1], [0], [11], [19]]))
    np.testing.assert_allclose(vector, [0, np.log(4) / 4, np.log(4) / 4], rtol=1e-6)
    assert vector.dtype == np.float32


def test_tf_idf_equals_scikit_learn_where_the_definitions_agree():
    """Theirs is tf (ln(N / n) + 1), so ours is theirs less tf; n of theirs counts pictures too."""
    chance = np.random.default_rng(4)
    counts = chance.poisson(0.7, (20, 8))
    counts[:, 0] += 1
    theirs = TfidfTransformer(norm=None, smooth_idf=False).fit_transform(counts).toarray()
    words = 10 * np.arange(8)[:, None]
    vocabulary = hand_made(words, pictures_with_word=(counts > 0).sum(axis=0), pictures=20)
    for row, wanted in zip(counts, theirs - counts, strict=True):
        vector = bag_of_words(vocabulary, descriptors_of(words.repeat(row, axis=0)))
        np.testing.assert_allclose(vector, wanted / row.sum(), rtol=1e-5, atol=1e-6)


def test_words_are_counted_once_a_picture(paths, vocabulary, detector):
    counts = np.zeros(12, dtype=int)
    for path in paths:
        rows = detector.detect_in_file(path).descriptors
        counts[np.unique(nearest_words(vocabulary, rows))] += 1
    np.testing.assert_array_equal(vocabulary.pictures_with_word, counts)


def test_words_that_are_in_every_picture_are_refused(paths):
    rows = SIFT.detect_in_file(paths[0]).descriptors
    with pytest.raises(UserError, match="each of the 1 visual words is in each of the 3"):
        count_words(learn(rows, 1, 1, detector=SIFT), paths[:3], threads=1)


def test_vlad_equals_a_loop(paths, vocabulary, detector):
    rows = detector.detect_in_file(paths[1]).descriptors
    points, words = (as_points(x).astype(float) for x in (rows, vocabulary.words))
    wanted = np.zeros(words.shape)
    for point in points:
        word = int(((words - point) ** 2).sum(axis=1).argmin())
        wanted[word] += point - words[word]
    for word in range(len(words)):
        length = sum(value**2 for value in wanted[word]) ** 0.5
        if length:
            wanted[word] /= length
    vector = vlad(vocabulary, rows)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, wanted.ravel(), atol=1e-6)


def test_vlad_by_hand():
    """Two descriptors at the first word, one on the second, and two that cancel at the third."""
    vocabulary = hand_made([[0, 0], [50, 0], [0, 50]])
    rows = descriptors_of([[3, 0], [0, 4], [50, 0], [1, 50], [-1, 50]])
    vector = vlad(vocabulary, rows).reshape(3, 128)
    np.testing.assert_allclose(vector[0, :2], [0.6, 0.8], rtol=1e-6)
    assert not vector[0, 2:].any()
    assert not vector[1:].any()


@pytest.mark.parametrize("encode", [bag_of_words, vlad])
def test_an_encoding_does_not_depend_on_the_order_of_the_points(encode, paths, vocabulary):
    rows = vocabulary.detector.detect_in_file(paths[2]).descriptors
    np.testing.assert_allclose(
        encode(vocabulary, rows), encode(vocabulary, rows[::-1].copy()), atol=1e-6
    )


@pytest.mark.parametrize("encode", [bag_of_words, vlad])
def test_a_picture_without_key_points_is_zeros(encode, paths, vocabulary, detector):
    rows = detector.detect_in_file(paths[8]).descriptors
    assert len(rows) == 0
    vector = encode(vocabulary, rows)
    assert vector.shape == (extractor(vocabulary, encode.__name__).length,)
    assert not vector.any()


def test_the_signed_square_root_keeps_signs():
    vector = np.array([4, -9, 0], dtype=np.float32)
    np.testing.assert_array_equal(signed_square_root(vector), [2, -3, 0])


@pytest.mark.parametrize("encoding", ["bag_of_words", "vlad"])
def test_pictures_are_described_in_their_order_whatever_the_threads(paths, vocabulary, encoding):
    encode = {"bag_of_words": bag_of_words, "vlad": vlad}[encoding]
    rows = [encode(vocabulary, vocabulary.detector.detect_in_file(p).descriptors) for p in paths]
    opencv_threads = cv2.getNumThreads()
    for threads in (1, 3):
        batches = list(extractor(vocabulary, encoding, threads).batches(paths, batch_size=4))
        assert [len(batch) for batch in batches] == [4, 4, 1]
        np.testing.assert_array_equal(np.concatenate(batches), rows)
        assert batches[0].dtype == np.float32
    assert cv2.getNumThreads() == opencv_threads
    rooted = extractor(vocabulary, encoding, square_root=True).batches(paths)
    np.testing.assert_array_equal(next(rooted), signed_square_root(np.stack(rows)))
    assert list(extractor(vocabulary, encoding).batches([])) == []


def test_a_bad_picture_is_named_after_the_batches_before_it(paths, vocabulary, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    bad = [*paths[:4], tmp_path / "bad.png"]
    batches = extractor(vocabulary, "vlad").batches(bad, batch_size=2)
    assert len(next(batches)) == len(next(batches)) == 2
    with pytest.raises(BadImage, match=r"bad\.png: "):
        next(batches)
    with pytest.raises(BadImage, match=r"bad\.png: "):
        sample_of([tmp_path / "bad.png"], vocabulary.detector, at_most=5, seed=1, threads=1)


def test_a_sample_is_bounded_and_does_not_depend_on_threads(paths, detector):
    every = [detector.detect_in_file(path).descriptors for path in paths]
    one, three = (sample_of(paths, detector, at_most=90, seed=2, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one, three)
    assert len(one) == sum(min(len(rows), 10) for rows in every)
    known = {row.tobytes() for rows in every for row in rows}
    assert {row.tobytes() for row in one} <= known
    other = sample_of(paths, detector, at_most=90, seed=3, threads=1)
    assert one.tobytes() != other.tobytes()
    np.testing.assert_array_equal(
        sample_of(paths, detector, at_most=10_000, seed=2, threads=2),
        np.concatenate(every),
    )


def test_of_more_pictures_than_descriptors_some_give_one(paths, detector):
    few = sample_of(paths[:8], detector, at_most=5, seed=2, threads=2)
    assert few.shape == (5, detector.descriptor_length)
    assert sample_of([], detector, at_most=5, seed=2, threads=2).shape == (
        0,
        detector.descriptor_length,
    )


def test_a_vocabulary_is_read_as_it_was_written(vocabulary, tmp_path):
    vocabulary.write(tmp_path / "words.npz")
    again = Vocabulary.read(tmp_path / "words.npz", max_pixels=10**8)
    assert again.sha256 == vocabulary.sha256
    assert again.detector == vocabulary.detector
    assert again.pictures == vocabulary.pictures
    np.testing.assert_array_equal(again.words, vocabulary.words)
    np.testing.assert_array_equal(again.pictures_with_word, vocabulary.pictures_with_word)


def test_the_identity_changes_with_everything_that_is_in_it(vocabulary):
    from dataclasses import replace

    changed = vocabulary.words.copy()
    changed[0, 0] += 1
    detector = replace(vocabulary.detector, max_points=81)
    others = [
        replace(vocabulary, words=changed),
        replace(vocabulary, detector=detector),
        replace(vocabulary, pictures=vocabulary.pictures + 1),
        replace(vocabulary, pictures_with_word=vocabulary.pictures_with_word[::-1] + 1),
    ]
    assert len({vocabulary.sha256, *(other.sha256 for other in others)}) == 5


def test_a_file_that_is_no_vocabulary_is_refused(vocabulary, tmp_path):
    file = tmp_path / "words.npz"
    vocabulary.write(file)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(vocabulary.words.tobytes())] ^= 1
    damaged = [whole[: len(whole) // 2], b"", b"text", bytes(flipped)]
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"words\.npz cannot be read .* learn it again"):
            Vocabulary.read(file, max_pixels=10**8)
    with file.open("wb") as opened:
        np.save(opened, np.zeros(3))
    with pytest.raises(UserError, match="cannot be read as a vocabulary"):
        Vocabulary.read(file, max_pixels=10**8)
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(file, detector=objects, words=objects, pictures_with_word=objects, pictures=objects)
    with pytest.raises(UserError, match="cannot be read as a vocabulary"):
        Vocabulary.read(file, max_pixels=10**8)
