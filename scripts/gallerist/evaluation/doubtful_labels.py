"""Pictures whose label their neighbours contradict.

Confident learning (Northcutt, Jiang, Chuang, Confident Learning: Estimating Uncertainty in Dataset
Labels, 2021): a picture labelled a is doubtful where its probability of another class b is at least
what pictures labelled b have of b on average. Probabilities are the shares of the classes among a
picture's nearest neighbours, of which neither it, nor a copy of it, nor a nearly equal one is any:
so they are out of sample.

Gallery and queries are judged. A network has learned the labels of its training pictures, right or
wrong: near to them lie pictures of that label, which can say nothing against it.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.data.near_duplicates import near_pictures
from gallerist.io.arrays import Floats, Integers
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_csv
from gallerist.search.distances import Metric
from gallerist.search.nearest_others import Searched, nearest_others

NEIGHBOURS = 10
"""Of a picture, that say its class. The n-th weighs 1/n."""

MOST, MOST_NUMBERS = 10_000, 1 << 27
"""Pictures that are judged, and are neighbours, and numbers of their vectors, which are in memory
(512 MB); of more, as many pictures are drawn."""

LEAST_AGREEMENT = 0.5
"""Share of the pictures whose neighbours have to agree with their labels: vectors that put most
pictures beside others' cannot say which label is wrong."""

_ROUNDING = 1e-6
"""By which a probability may miss the average."""


class Judged(NamedTuple):
    """The pictures that are judged: each id once. groups: (n,) equal for those nearly equal."""

    pictures: Sequence[Picture]
    groups: Integers

    @property
    def labels(self) -> list[str]:
        """Their classes, in order."""
        return [picture.label for picture in self.pictures]

    def ids(self, part: str) -> list[str]:
        """Those of a part; the parts stand one after the other."""
        return [picture.id for picture in self.pictures if picture.part == part]


@dataclass(frozen=True)
class Doubt:
    """A picture whose label is doubtful.

    picture: id. suggested: the class that its neighbours have. probability, label_probability: of
    the class suggested, and of the label, in [0, 1]. suggested_rank, label_rank: of the nearest
    neighbour of these classes; None where none is among them. experiments: those whose neighbours
    suggest this class, the one that judges first. neighbours: ids, nearest first, by that one.
    """

    picture: str
    part: str
    label: str
    suggested: str
    probability: float
    label_probability: float
    suggested_rank: int | None
    label_rank: int | None
    experiments: tuple[str, ...]
    neighbours: tuple[str, ...]


def _rank_of(cell: str) -> int | None:
    return int(cell) if cell else None


_READ: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("picture", "part", "label", "suggested"), str),
    **dict.fromkeys(("probability", "label_probability"), float),
    **dict.fromkeys(("suggested_rank", "label_rank"), _rank_of),
    **dict.fromkeys(("experiments", "neighbours"), lambda cell: tuple(cell.split())),
}
"""Column -> what a cell holds."""

COLUMNS = tuple(_READ)


class Doubts(NamedTuple):
    """What was found, the surest first.

    agreement: experiment -> share of the pictures whose neighbours agree with their label. judge:
    the experiment with the highest, by which the labels are doubted; None where it is too low.
    """

    found: Sequence[Doubt]
    agreement: Mapping[str, float]
    judge: str | None


def judged_pictures(parts: Iterable[Manifest], distance: int, seed: int, most: int) -> Judged:
    """The pictures of these parts that have a class, `most` drawn by seed where there are more.

    Of a picture in two parts the first counts. distance: bits in which perceptual hashes of nearly
    equal pictures differ at most; copies of one original are one group, too.
    """
    every: dict[str, Picture] = {}
    for picture in (picture for part in parts for picture in part):
        if picture.label not in ("", DISTRACTOR):
            every.setdefault(picture.id, picture)
    pictures = [*every.values()]
    if len(pictures) > most:
        drawn = np.random.default_rng(seed).choice(len(pictures), most, replace=False)
        pictures = [pictures[row] for row in np.sort(drawn)]
    return Judged(pictures, _groups(pictures, distance))


def _groups(pictures: Sequence[Picture], distance: int) -> Integers:
    """(n,) the group of each picture: chains of nearly equal ones, and copies of one original."""
    parent = {picture.id: picture.id for picture in pictures}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for picture in pictures:
        parent[root(picture.id)] = root(picture.source_id)
    for one, other, _ in near_pictures(pictures, None, distance):
        parent[root(one.id)] = root(other.id)
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(root(picture.id), len(numbers)) for picture in pictures]
    return np.array(found, dtype=np.int64)


def doubt_labels(
    queries: Manifest,
    gallery: Manifest,
    vectors: Mapping[str, Callable[[], Searched]],
    metrics: Mapping[str, Metric],
    *,
    longest: int,
    distance: int,
    seed: int,
) -> Doubts:
    """Find the queries and gallery pictures whose label their neighbours contradict.

    vectors: what reads, of each experiment, those of the queries and those of the gallery; one is
    let go before the next is read. metrics: of each, how it measures between them. longest: numbers
    in the longest of the vectors. distance, seed: see `judged_pictures`.
    """
    most = max(1, min(MOST, MOST_NUMBERS // longest))
    judged = judged_pictures((queries, gallery), distance, seed, most)
    ids = judged.ids("query"), judged.ids("gallery")
    neighbours = {
        name: nearest_others(
            [*zip(read(), ids, strict=True)], judged.groups, NEIGHBOURS, metrics[name]
        )
        for name, read in vectors.items()
    }
    return find_doubts(judged, neighbours)


def class_probabilities(neighbours: Integers, classes: Integers, count: int) -> Floats:
    """(n, count) probabilities of each class, from the classes of a picture's neighbours.

    neighbours: (n, k) rows, nearest first, -1 for none. classes: (n,) numbers below `count`. Zeros
    where a picture has no neighbour.
    """
    found = np.zeros((len(neighbours), count))
    for place, column in enumerate(neighbours.T):
        rows = np.flatnonzero(column >= 0)
        found[rows, classes[column[rows]]] += 1 / (place + 1)
    total = found.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(found, total, out=found, where=total > 0))


def confident_classes(probabilities: Floats, classes: Integers) -> Integers:
    """(n,) the class that each picture is confidently of, -1 where it is of none.

    A class that it has at least the mean probability of which those labelled with it have; of
    several the likeliest. Where it is not the label, the label is doubtful.

    probabilities: (n, classes). classes: (n,) the labels, of which each class has one at least.
    """
    count = probabilities.shape[1]
    own = probabilities[np.arange(len(classes)), classes]
    means = np.bincount(classes, own, count) / np.bincount(classes, minlength=count)
    confident = probabilities >= np.maximum(means, 2 * _ROUNDING) - _ROUNDING
    likeliest = np.where(confident, probabilities, -1.0).argmax(axis=1)
    return np.where(confident.any(axis=1), likeliest, -1)


def find_doubts(
    judged: Judged, neighbours: Mapping[str, Integers], *, agreement: float = LEAST_AGREEMENT
) -> Doubts:
    """Find the pictures whose label their neighbours contradict.

    neighbours: experiment -> (n, k) rows of each picture's nearest others, nearest first, -1 for
    none. The experiment whose neighbours agree with most labels judges; the first of equal ones.
    agreement: the share of them that it has to agree with.
    """
    names, classes = np.unique(np.array(judged.labels, dtype=np.str_), return_inverse=True)
    if len(names) < 2 or not neighbours:
        return Doubts([], {}, None)
    found: dict[str, tuple[Floats, Integers]] = {}
    agreeing = {}
    for experiment, rows in neighbours.items():
        chances = class_probabilities(rows, classes, len(names))
        own = chances[np.arange(len(classes)), classes]
        agreeing[experiment] = float(((own > 0) & (own >= chances.max(axis=1))).mean())
        found[experiment] = chances, confident_classes(chances, classes)
    judge = max(agreeing, key=agreeing.__getitem__)
    if agreeing[judge] < agreement:
        return Doubts([], agreeing, None)
    chances, suggested = found[judge]
    doubtful = np.flatnonzero((suggested >= 0) & (suggested != classes))
    others = {name: each for name, (_, each) in found.items() if name != judge}
    doubts = []
    for row in doubtful.tolist():
        label, other = int(classes[row]), int(suggested[row])
        near = [each for each in neighbours[judge][row].tolist() if each >= 0]
        near_classes = classes[near].tolist()
        picture = judged.pictures[row]
        doubts.append(
            Doubt(
                picture=picture.id,
                part=picture.part,
                label=picture.label,
                suggested=str(names[other]),
                probability=round(float(chances[row, other]), 4),
                label_probability=round(float(chances[row, label]), 4),
                suggested_rank=_rank(near_classes, other),
                label_rank=_rank(near_classes, label),
                experiments=(judge, *(name for name in others if others[name][row] == other)),
                neighbours=tuple(judged.pictures[each].id for each in near),
            )
        )
    doubts.sort(key=lambda each: (each.label_probability - each.probability, each.picture))
    return Doubts(doubts, agreeing, judge)


def _rank(classes: Sequence[int], wanted: int) -> int | None:
    return classes.index(wanted) + 1 if wanted in classes else None


def write_doubts(path: PathLike, doubts: Iterable[Doubt]) -> None:
    """Write a line a picture as CSV; of several experiments or neighbours, with spaces between."""
    write_csv(path, COLUMNS, map(_cells, doubts))


def _cells(doubt: Doubt) -> Iterator[object]:
    for value in astuple(doubt):
        yield " ".join(value) if isinstance(value, tuple) else "" if value is None else value


def read_doubts(path: PathLike) -> list[Doubt]:
    """Read what `write_doubts` wrote. Raises UserError where the columns are others."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise UserError(f"{path}: the columns of doubtful labels are {', '.join(COLUMNS)}")
        return [Doubt(**{name: _READ[name](row[name]) for name in COLUMNS}) for row in rows]
