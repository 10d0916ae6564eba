"""Pictures that are the same, or nearly, on both sides of a split: the leak report.

Pictures are compared by their 64-bit perceptual hashes: two that differ in few bits look alike.

A hash says on which side of their median the 64 lowest frequencies of a picture lie. So 32 of its
bits are set, and two hashes differ in an even number of bits, unless frequencies tie. In a picture
of one colour, or of plain stripes or a plain gradient, nearly all frequencies are zero: at most 8
bits are set, and any two such pictures look alike. Hashes with so few bits are therefore never near
to anything; such pictures are found when their files are equal, and otherwise not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import combinations

import numpy as np

from gallerist.data.manifest import Manifest, Picture
from gallerist.io.files import PathLike, write_csv

FEWEST_BITS = 9
"""A hash with fewer bits set says nothing about its picture."""

_COMPARISONS = 2**17
"""Pairs of hashes compared at a time: 1 MB, which stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One picture that is in two parts.

    kind: "exact" when the files are equal, "near" when only the perceptual hashes are close.
    bits: in which the two hashes differ.
    """

    kind: str
    part_a: str
    path_a: str
    label_a: str
    part_b: str
    path_b: str
    label_b: str
    bits: int


def is_telling(phash: str) -> bool:
    """Whether a hash can be compared at all: not that of a picture of one colour or of stripes."""
    return int(phash, 16).bit_count() >= FEWEST_BITS


def near_pairs(
    a: Sequence[str], b: Sequence[str] | None, distance: int
) -> list[tuple[int, int, int]]:
    """Find all pairs of 64-bit hashes that differ in at most `distance` bits.

    a, b: hashes as hexadecimal digits. Without `b`, pairs within `a`, each once, i < j.
    Returns (index in a, index in b, bits), sorted. Every hash counts here, telling or not.
    Compares all with all, a block at a time: 20,000 x 20,000 take about two seconds.
    """
    hashes_a, hashes_b = (
        np.array([int(digits, 16) for digits in hashes], dtype=np.uint64)
        for hashes in (a, a if b is None else b)
    )
    pairs: list[tuple[int, int, int]] = []
    rows = max(1, _COMPARISONS // max(1, len(hashes_b)))
    for start in range(0, len(hashes_a), rows):
        first = start if b is None else 0
        block = hashes_a[start : start + rows, None]
        bits = np.bitwise_count(block ^ hashes_b[None, first:])
        i, j = np.nonzero(bits <= distance)
        if b is None:
            i, j = i[i < j], j[i < j]
        found = zip((i + start).tolist(), (j + first).tolist(), bits[i, j].tolist(), strict=True)
        pairs.extend(found)
    return pairs


def near_pictures(
    a: Sequence[Picture], b: Sequence[Picture] | None, distance: int
) -> list[tuple[Picture, Picture, int]]:
    """Find pairs of pictures whose hashes are telling and differ in at most `distance` bits.

    Without `b`, pairs within `a`, each once. Returns (picture of a, picture of b, bits), in order
    of a, then of b. Pictures with equal ids count like any other.
    """
    sides = [a] if b is None else [a, b]
    # Rows and hashes, and no pictures: a manifest makes those when they are asked for.
    telling = [
        [(row, each.phash) for row, each in enumerate(side) if is_telling(each.phash)]
        for side in sides
    ]
    hashes = [[phash for _, phash in found] for found in telling]
    pairs = near_pairs(hashes[0], None if b is None else hashes[1], distance)
    return [
        (sides[0][telling[0][i][0]], sides[-1][telling[-1][j][0]], bits) for i, j, bits in pairs
    ]


def find_leaks(parts: Mapping[str, Manifest], distance: int) -> list[Leak]:
    """Find pictures that two different parts have in common, exactly or nearly.

    parts: name -> originals of that part; augmented copies, which resemble theirs, do not belong
    here. Every pair of parts is compared once, in the order given. Exact: equal ids. Near: telling
    hashes within `distance` bits, and not exact. Labels play no role in finding.
    """
    leaks: list[Leak] = []
    for a, b in combinations(parts, 2):
        others = parts[b].by_id()
        found = [("exact", one, others[one.id], 0) for one in parts[a] if one.id in others]
        near = near_pictures(parts[a], parts[b], distance)
        found += [("near", one, other, bits) for one, other, bits in near if one.id != other.id]
        leaks += [
            Leak(kind, a, one.path, one.label, b, other.path, other.label, bits)
            for kind, one, other, bits in found
        ]
    return leaks


def summarise_leaks(leaks: Iterable[Leak], parts: Sequence[str]) -> dict[str, int]:
    """Count leaks by kind and pair of parts: {"exact_training_gallery": 0, ...}.

    Every pair of `parts`, in the order given to `find_leaks`, has both its counts, zeros included.
    """
    counts = {f"{kind}_{a}_{b}": 0 for a, b in combinations(parts, 2) for kind in ("exact", "near")}
    for leak in leaks:
        counts[f"{leak.kind}_{leak.part_a}_{leak.part_b}"] += 1
    return counts


def write_leaks(path: PathLike, leaks: Iterable[Leak]) -> None:
    """Write leaks as CSV with a header, whole or not at all."""
    write_csv(path, (field.name for field in fields(Leak)), map(astuple, leaks))
