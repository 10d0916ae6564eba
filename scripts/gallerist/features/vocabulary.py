"""Visual words: a picture's key points, however many they are, as one vector of fixed length.

A vocabulary is learned from training pictures only. The vector of a picture is either how often
each word is in it (`bag_of_words`) or where its descriptors lie around the words (`vlad`).
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from gallerist.features.extractors import PictureByPicture, in_threads
from gallerist.features.key_points import Detector
from gallerist.io.arrays import AnyArray, Booleans, Floats, Indices, Integers, Vectors
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, canonical_json, replacing, sha256_of_text

Encoding = Literal["bag_of_words", "vlad"]
Detect = Callable[[PathLike], AnyArray]
"""A picture file -> the descriptors of its key points, as a detector gives them."""

BATCH = 4096
"""Descriptors that the words are moved by at once."""

_DISTANCES_AT_ONCE = 2**22
_MEMBERS = ("detector", "words", "pictures_with_word", "pictures")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Visual words, and how common each is.

    words: (k, d) float32, or (k, 32) uint8 of packed bits for ORB.
    detector: what gave the descriptors, and must give those that are encoded.
    pictures_with_word: (k,) int64 of the `pictures` it was counted in; both 0 before `count_words`.
    """

    words: AnyArray
    detector: Detector
    pictures_with_word: Integers
    pictures: int

    def __len__(self) -> int:
        return len(self.words)

    @property
    def inverse_document_frequency(self) -> Floats:
        """(k,) ln(N / n): N training pictures, n of them with the word. 0 for a word in all.

        A word in none weighs as much as one in a single picture: ln(N).
        Source: Sivic & Zisserman, Video Google, 2003. Their n counts occurrences; here it counts
        pictures, as in text retrieval and in their own later work (2009).
        """
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
    def points(self) -> Floats:
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
    def read(cls, path: PathLike, *, max_pixels: int) -> "Vocabulary":
        """Read what `write` wrote; max_pixels: of the pictures that are to be encoded.

        Raises UserError naming the file when it is no such.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                detector, words, found, pictures = (archive[name] for name in _MEMBERS)
            settings = {**json.loads(str(detector)), "max_pixels": max_pixels}
            return cls(words, Detector(**settings), found, int(pictures))
        except Exception as error:  # NumPy raises everything from TokenError to BadZipFile
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{os.fspath(path)} cannot be read as a vocabulary ({reason}). "
                "Remove it and learn it again."
            ) from error


def as_points(descriptors: AnyArray) -> Vectors:
    """Descriptors as points whose squared Euclidean distances are those to be compared.

    (n, d) float32 stay as they are. (n, 32) uint8 of ORB become (n, 256) of 0 and 1: the squared
    difference of two bits is 1 where they differ, so that the sum is the Hamming distance.
    """
    if descriptors.dtype == np.uint8:
        return np.unpackbits(descriptors, axis=1).astype(np.float32)
    return np.asarray(descriptors, dtype=np.float32)


def learn(descriptors: AnyArray, words: int, seed: int, *, detector: Detector) -> Vocabulary:
    """Cluster the descriptors of training pictures, such as `sample` gives: a word a cluster.

    k-means on small batches (Sculley, Web-Scale K-Means Clustering, 2010) as scikit-learn has it,
    from seeded k-means++ centres, in one thread: sums over threads would differ in their last bits.

    ORB is clustered as `as_points`, and at the end each centre is rounded to the majority of each
    bit (half is 1). Of all bit strings that one has the least sum of Hamming distances to its
    cluster (k-majority: Grana et al., A Fast Approach for Integrating ORB Descriptors in the Bag of
    Words Model, 2013). So words are ORB descriptors themselves, and distances are whole numbers.

    Raises UserError when there are not as many different descriptors as words.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    different = len(np.unique(descriptors, axis=0))
    if not 1 <= words <= different:
        raise UserError(
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


def count_words(
    vocabulary: Vocabulary,
    paths: Sequence[PathLike],
    *,
    threads: int,
    detect: Detect | None = None,
) -> Vocabulary:
    """The vocabulary with the number of (training) pictures that have each word: for bags of words.

    detect: gives what the vocabulary's detector does; None is that one.
    Raises UserError when every word is in every picture, so that none tells them apart;
    BadImage naming the first file that cannot be decoded.
    """
    detect = detect or vocabulary.detector.descriptors

    def present(path: PathLike) -> Booleans:
        return _occurrences(vocabulary, detect(path)) > 0

    found = np.zeros(len(vocabulary), dtype=np.int64)
    with closing(in_threads(present, paths, threads)) as pictures:
        for words in pictures:
            found += words
    if (found == len(paths)).all():
        raise UserError(
            f"each of the {len(vocabulary)} visual words is in each of the {len(paths)} training "
            "pictures, so that all weigh nothing in a bag of words. "
            "Ask for more words or fewer key points, or encode them as vlad."
        )
    return replace(vocabulary, pictures_with_word=found, pictures=len(paths))


def nearest_words(vocabulary: Vocabulary, descriptors: AnyArray) -> Indices:
    """(n,) index of the nearest word of each descriptor; of equally near ones the first.

    In float64, so that the order in which a library sums does not choose the word.
    """
    points, words = as_points(descriptors), vocabulary.points
    squares = (words**2).sum(axis=1)
    step = max(1, _DISTANCES_AT_ONCE // len(words))
    nearest = np.empty(len(points), dtype=np.intp)
    for start in range(0, len(points), step):
        block = points[start : start + step].astype(np.float64)
        nearest[start : start + step] = (squares - 2 * block @ words.T).argmin(axis=1)
    return nearest


def bag_of_words(vocabulary: Vocabulary, descriptors: AnyArray) -> Vectors:
    """(k,) float32: n_w / n ln(N / N_w), of a picture's n descriptors n_w nearest to the word w.

    N training pictures, N_w of them with the word: see `inverse_document_frequency`. Not scaled to
    length 1. A picture without key points gives zeros.
    Source: Sivic & Zisserman, Video Google, 2003.
    """
    counts = _occurrences(vocabulary, descriptors)
    shares = counts / max(len(descriptors), 1)
    return np.asarray(shares * vocabulary.inverse_document_frequency, dtype=np.float32)


def vlad(vocabulary: Vocabulary, descriptors: AnyArray) -> Vectors:
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


def signed_square_root(vector: Vectors) -> Vectors:
    """sign(x) sqrt(|x|) of each number: what repeats in a picture counts less (Jégou et al. 2012).

    Source: Aggregating Local Image Descriptors into Compact Codes; the power is 1/2.
    """
    return np.asarray(np.sign(vector) * np.sqrt(np.abs(vector)), dtype=np.float32)


def sample(
    paths: Sequence[PathLike],
    detector: Detector,
    *,
    at_most: int,
    seed: int,
    threads: int,
    detect: Detect | None = None,
) -> AnyArray:
    """Descriptors of (training) pictures to learn words from, at most `at_most`: (n, d).

    Every picture gives the same number at most, which seed and its position choose, so that those
    with many key points have no more say. Of more pictures than that the seed chooses some.
    detect: gives what the detector does; None is that one.
    Results do not depend on threads. Raises BadImage naming the first file that is no picture.
    """
    detect = detect or detector.descriptors
    chosen = np.arange(len(paths))
    if len(paths) > at_most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(paths), at_most, replace=False))
    share = at_most // max(len(chosen), 1)

    def some(position: int) -> AnyArray:
        descriptors = detect(paths[position])
        if len(descriptors) <= share:
            return descriptors
        chance = np.random.default_rng([seed, position])
        return descriptors[np.sort(chance.choice(len(descriptors), share, replace=False))]

    stored = np.uint8 if detector.kind == "orb" else np.float32
    none: AnyArray = np.empty((0, detector.descriptor_length), dtype=stored)
    with closing(in_threads(some, chosen.tolist(), threads)) as samples:
        return np.concatenate([none, *samples])


class WordExtractor(PictureByPicture):
    """A vocabulary with an encoding, for files: see `extractors.Extractor`.

    detect: what gives a picture's descriptors, as the vocabulary's detector does.
    """

    def __init__(
        self, vocabulary: Vocabulary, encoding: Encoding, *, square_root: bool, threads: int
    ) -> None:
        """square_root: apply `signed_square_root` to each vector.

        threads: that detect and encode, a picture at a time; vectors do not depend on them.
        """
        self._vocabulary, self.threads, self._square_root = vocabulary, threads, square_root
        self.detect: Detect = vocabulary.detector.descriptors
        self._encode, width = {
            "bag_of_words": (bag_of_words, 1),
            "vlad": (vlad, vocabulary.points.shape[1]),
        }[encoding]
        self.model = sha256_of_text(canonical_json([vocabulary.sha256, encoding, square_root]))
        self.preprocessing = sha256_of_text(vocabulary.detector.to_json())
        self.length = len(vocabulary) * width

    def vector(self, path: PathLike) -> Vectors:
        """The vector of one picture; zeros where it has no key points."""
        descriptors = self.detect(path)
        vector = self._encode(self._vocabulary, descriptors)
        return signed_square_root(vector) if self._square_root else vector


def _occurrences(vocabulary: Vocabulary, descriptors: AnyArray) -> Integers:
    counts = np.bincount(nearest_words(vocabulary, descriptors), minlength=len(vocabulary))
    return np.asarray(counts, dtype=np.int64)
