"""Visual words: a picture's key points, however many they are, as one vector of fixed length.

A vocabulary is learned from training pictures only. What describes a picture is either how often
each word is in it (`bag_of_words`) or where its descriptors lie around the words (`vlad`).
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from gallerist.features.key_points import Detector, Numbers
from gallerist.io.files import PathLike, canonical_json, replacing, sha256_of_text
from gallerist.workflow.progress import Progress

Encoding = Literal["bag_of_words", "vlad"]
Descriptors = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]
Item = TypeVar("Item")

BATCH = 4096
"""Descriptors that the words are moved by at once."""

_DISTANCES_AT_ONCE = 2**22
_MEMBERS = ("detector", "words", "pictures_with_word", "pictures")


class VocabularyUnfit(ValueError):
    """Words that cannot be learned from these descriptors, or not be used as asked."""


class VocabularyRefused(ValueError):
    """A file that holds no vocabulary."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Visual words, and how common each is.

    words: (k, d) float32, or (k, 32) uint8 of packed bits for ORB.
    detector: what gave the descriptors, and must give those that are encoded.
    pictures_with_word: (k,) int64 of the `pictures` it was counted in; both 0 before `weighted`.
    """

    words: Descriptors
    detector: Detector
    pictures_with_word: Counts
    pictures: int

    def __len__(self) -> int:
        return len(self.words)

    @property
    def inverse_document_frequency(self) -> npt.NDArray[np.float64]:
        """(k,) ln(N / n): N training pictures, n of them with the word. 0 for a word in all.

        A word in none weighs as much as one in a single picture: ln(N).
        Source: Sivic & Zisserman, Video Google, 2003. Their n counts occurrences; here it counts
        pictures, as in text retrieval and in their own later work (2009).
        Raises VocabularyUnfit when they have not been counted.
        """
        if not self.pictures:
            raise VocabularyUnfit("a bag of words needs a vocabulary that `weighted` has counted")
        return np.asarray(np.log(self.pictures / np.maximum(self.pictures_with_word, 1)))

    @property
    def sha256(self) -> str:
        """Identity of the content, as 64 hexadecimal digits: equal for equal vocabularies."""
        digest = hashlib.sha256(self.detector.to_json().encode())
        digest.update(f"{self.words.shape}{self.words.dtype.str}{self.pictures}".encode())
        digest.update(np.ascontiguousarray(self.words).tobytes())
        digest.update(np.ascontiguousarray(self.pictures_with_word).tobytes())
        return digest.hexdigest()

    @cached_property
    def points(self) -> npt.NDArray[np.float64]:
        """(k, d) float64: the words as points of the space of `as_points`."""
        return as_points(self.words).astype(np.float64)

    def write(self, path: PathLike) -> None:
        """Write as `.npz` without pickle, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                detector=np.array(self.detector.to_json()),
                words=self.words,
                pictures_with_word=self.pictures_with_word,
                pictures=np.array(self.pictures),
            )

    @classmethod
    def read(cls, path: PathLike) -> "Vocabulary":
        """Read what `write` wrote. Raises VocabularyRefused naming the file when it is no such."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                detector, words, found, pictures = (archive[name] for name in _MEMBERS)
            vocabulary = cls(words, Detector(**json.loads(str(detector))), found, int(pictures))
            _check_whole(vocabulary)
            return vocabulary
        except FileNotFoundError:
            raise VocabularyRefused(f"{os.fspath(path)}: no such file") from None
        except Exception as error:  # NumPy raises everything from TokenError to BadZipFile
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise VocabularyRefused(
                f"{os.fspath(path)} cannot be read as a vocabulary ({reason}). "
                "Remove it and learn it again."
            ) from error


def as_points(descriptors: Descriptors) -> Numbers:
    """Descriptors as points whose squared Euclidean distances are those to be compared.

    (n, d) float32 stay as they are. (n, 32) uint8 of ORB become (n, 256) of 0 and 1: the squared
    difference of two bits is 1 where they differ, so that the sum is the Hamming distance.
    """
    if descriptors.dtype == np.uint8:
        return np.unpackbits(descriptors, axis=1).astype(np.float32)
    return np.asarray(descriptors, dtype=np.float32)


def learn(descriptors: Descriptors, words: int, seed: int, *, detector: Detector) -> Vocabulary:
    """Cluster the descriptors of training pictures, such as `sampled` gives: a word a cluster.

    k-means on small batches (Sculley, Web-Scale K-Means Clustering, 2010) as scikit-learn has it,
    from seeded k-means++ centres, in one thread: sums over threads would differ in their last bits.

    ORB is clustered as `as_points`, and at the end each centre is rounded to the majority of each
    bit (half is 1). Of all bit strings that one has the least sum of Hamming distances to its
    cluster (k-majority: Grana et al., A Fast Approach for Integrating ORB Descriptors in the Bag of
    Words Model, 2013). So words are ORB descriptors themselves, and distances are whole numbers.

    Raises VocabularyUnfit when there are not as many different descriptors as words.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    _check_width(descriptors, detector)
    different = len(np.unique(descriptors, axis=0))
    if not 1 <= words <= different:
        raise VocabularyUnfit(
            f"{words} visual words cannot be learned from {different} different {detector.kind} "
            "descriptors: ask for fewer words, or give more or larger training pictures"
        )
    points = as_points(descriptors)
    clusters = MiniBatchKMeans(
        n_clusters=words,
        batch_size=BATCH,
        init_size=min(len(points), max(3 * BATCH, 3 * words)),
        n_init=1,
        random_state=seed,
    )
    with threadpool_limits(limits=1):
        centres = clusters.fit(points).cluster_centers_
    if detector.kind == "orb":
        centres = np.packbits(centres >= 0.5, axis=1)
    return Vocabulary(np.asarray(centres), detector, np.zeros(words, dtype=np.int64), 0)


def weighted(vocabulary: Vocabulary, paths: Sequence[PathLike], *, threads: int) -> Vocabulary:
    """The vocabulary with the number of (training) pictures that have each word: for bags of words.

    Raises VocabularyUnfit when every word is in every picture, so that none tells them apart;
    BadImage naming the first file that cannot be decoded.
    """

    def present(path: PathLike) -> npt.NDArray[np.bool_]:
        descriptors = vocabulary.detector.detect_in_file(path).descriptors
        return _occurrences(vocabulary, descriptors) > 0

    found = np.zeros(len(vocabulary), dtype=np.int64)
    with closing(_in_order(present, paths, threads)) as pictures:
        for words in pictures:
            found += words
    if (found == len(paths)).all():
        raise VocabularyUnfit(
            f"each of the {len(vocabulary)} visual words is in each of the {len(paths)} training "
            "pictures, so that all weigh nothing in a bag of words. "
            "Ask for more words or fewer key points, or encode them as vlad."
        )
    return replace(vocabulary, pictures_with_word=found, pictures=len(paths))


def nearest_words(vocabulary: Vocabulary, descriptors: Descriptors) -> npt.NDArray[np.intp]:
    """(n,) index of the nearest word of each descriptor; of equally near ones the first.

    In float64, so that the order in which a library sums does not choose the word.
    Raises VocabularyUnfit when the descriptors are not of the vocabulary's kind.
    """
    _check_width(descriptors, vocabulary.detector)
    points, words = as_points(descriptors), vocabulary.points
    squares = (words**2).sum(axis=1)
    step = max(1, _DISTANCES_AT_ONCE // len(words))
    nearest = np.empty(len(points), dtype=np.intp)
    for start in range(0, len(points), step):
        block = points[start : start + step].astype(np.float64)
        nearest[start : start + step] = (squares - 2 * block @ words.T).argmin(axis=1)
    return nearest


def bag_of_words(vocabulary: Vocabulary, descriptors: Descriptors) -> Numbers:
    """(k,) float32: n_w / n ln(N / N_w), of a picture's n descriptors n_w nearest to the word w.

    N training pictures, N_w of them with the word: see `inverse_document_frequency`. Not scaled to
    length 1. A picture without key points gives zeros.
    Source: Sivic & Zisserman, Video Google, 2003.
    """
    counts = _occurrences(vocabulary, descriptors)
    shares = counts / max(len(descriptors), 1)
    return np.asarray(shares * vocabulary.inverse_document_frequency, dtype=np.float32)


def vlad(vocabulary: Vocabulary, descriptors: Descriptors) -> Numbers:
    """(k * d,) float32: for each word the summed differences of its descriptors to it.

    Each word's d numbers are scaled to length 1, so that one that repeats does not drown the rest;
    those of a word without descriptors, or of differences that cancel, are zeros. Not scaled as a
    whole. A picture without key points gives zeros. Of ORB there are d = 256 differences of bits.
    Sources: Jégou et al., Aggregating Local Descriptors into a Compact Image Representation, 2010;
    intra-normalisation: Arandjelović & Zisserman, All about VLAD, 2013.
    """
    sums = np.zeros_like(vocabulary.points)
    nearest = nearest_words(vocabulary, descriptors)
    points = as_points(descriptors).astype(np.float64)
    for word in np.unique(nearest):
        sums[word] = (points[nearest == word] - vocabulary.points[word]).sum(axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(lengths > 0, lengths, 1.0)).ravel().astype(np.float32)


def signed_square_root(vector: Numbers) -> Numbers:
    """sign(x) sqrt(|x|) of each number: what repeats in a picture counts less (Jégou et al. 2012).

    Source: Aggregating Local Image Descriptors into Compact Codes; the power is 1/2.
    """
    return np.asarray(np.sign(vector) * np.sqrt(np.abs(vector)), dtype=np.float32)


ENCODINGS: dict[Encoding, Callable[[Vocabulary, Descriptors], Numbers]] = {
    "bag_of_words": bag_of_words,
    "vlad": vlad,
}


def encoded_length(vocabulary: Vocabulary, encoding: Encoding) -> int:
    """Numbers in the vector of a picture."""
    width = 1 if encoding == "bag_of_words" else vocabulary.points.shape[1]
    return len(vocabulary) * width


def encoding_sha256(vocabulary: Vocabulary, encoding: Encoding, square_root: bool) -> str:
    """Identity of what makes vectors: those of two are not comparable."""
    return sha256_of_text(canonical_json([vocabulary.sha256, encoding, square_root]))


def sampled(
    paths: Sequence[PathLike], detector: Detector, *, at_most: int, seed: int, threads: int
) -> Descriptors:
    """Descriptors of (training) pictures to learn words from, at most `at_most`: (n, d).

    Every picture gives the same number at most, which seed and its position choose, so that those
    with many key points have no more say. Of more pictures than that the seed chooses some.
    Results do not depend on threads. Raises BadImage naming the first file that is no picture.
    """
    chosen = np.arange(len(paths))
    if len(paths) > at_most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(paths), at_most, replace=False))
    share = at_most // max(len(chosen), 1)

    def some(position: int) -> Descriptors:
        descriptors = detector.detect_in_file(paths[position]).descriptors
        if len(descriptors) <= share:
            return descriptors
        chance = np.random.default_rng([seed, position])
        return descriptors[np.sort(chance.choice(len(descriptors), share, replace=False))]

    stored = np.uint8 if detector.kind == "orb" else np.float32
    none: Descriptors = np.empty((0, detector.descriptor_length), dtype=stored)
    with closing(_in_order(some, chosen.tolist(), threads)) as samples:
        return np.concatenate([none, *samples])


def described(
    paths: Sequence[PathLike],
    vocabulary: Vocabulary,
    *,
    encoding: Encoding,
    threads: int,
    square_root: bool = False,
    batch_size: int = 32,
) -> Iterator[Numbers]:
    """Batches of (n, d) float32, one row a picture in their order; d is `encoded_length`.

    Pictures are read, and their key points detected and encoded, in `threads` threads, a bounded
    number ahead. square_root: apply `signed_square_root` to each row. Rows are not scaled to
    length 1; a picture without key points is a row of zeros. Results do not depend on threads.

    Raises VocabularyUnfit at once where a bag of words is asked of a vocabulary without counts;
    BadImage naming the first file that cannot be decoded, after the batches before it.
    """
    encode = ENCODINGS[encoding]
    if encoding == "bag_of_words":
        _ = vocabulary.inverse_document_frequency  # raises before a picture is read

    def describe(path: PathLike) -> Numbers:
        vector = encode(vocabulary, vocabulary.detector.detect_in_file(path).descriptors)
        return signed_square_root(vector) if square_root else vector

    def batches() -> Iterator[Numbers]:
        with closing(_in_order(describe, paths, threads)) as vectors:
            while batch := list(islice(vectors, batch_size)):
                yield np.stack(batch)

    return batches()


def _in_order(
    function: Callable[[Any], Item], arguments: Sequence[Any], threads: int
) -> Generator[Item]:
    """Results in the order of the arguments, each computed in a thread, a bounded number ahead."""
    progress = Progress("images", len(arguments))
    left = iter(arguments)
    coming: deque[Future[Item]] = deque()
    workers = ThreadPoolExecutor(threads, thread_name_prefix="key-points")
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a picture has a thread already
    try:
        coming.extend(workers.submit(function, one) for one in islice(left, 4 * threads))
        while coming:
            yield coming.popleft().result()
            progress.advance()
            coming.extend(workers.submit(function, one) for one in islice(left, 1))
    finally:
        workers.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(opencv_threads)


def _occurrences(vocabulary: Vocabulary, descriptors: Descriptors) -> Counts:
    counts = np.bincount(nearest_words(vocabulary, descriptors), minlength=len(vocabulary))
    return np.asarray(counts, dtype=np.int64)


def _check_width(descriptors: Descriptors, detector: Detector) -> None:
    stored = np.uint8 if detector.kind == "orb" else np.float32
    wanted = (detector.descriptor_length,)
    if descriptors.ndim != 2 or descriptors.shape[1:] != wanted or descriptors.dtype != stored:
        raise VocabularyUnfit(
            f"{descriptors.shape} {descriptors.dtype} are not {detector.kind} descriptors, "
            f"which are (n, {detector.descriptor_length}) {np.dtype(stored)}"
        )


def _check_whole(vocabulary: Vocabulary) -> None:
    """Raise ValueError unless the parts of a vocabulary that was read belong together."""
    _check_width(vocabulary.words, vocabulary.detector)
    counts, count = vocabulary.pictures_with_word, len(vocabulary)
    if not count or counts.shape != (count,) or counts.dtype != np.int64:
        raise ValueError(f"{count} words with {counts.shape} {counts.dtype} counts of pictures")
    if not np.isfinite(vocabulary.points).all():
        raise ValueError("its words are not finite")
    if vocabulary.pictures < 0 or not 0 <= counts.min() <= counts.max() <= vocabulary.pictures:
        raise ValueError("its counts of pictures do not fit together")
