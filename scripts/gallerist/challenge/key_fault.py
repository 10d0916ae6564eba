"""The published key fault: what it makes of the challenge's grades.

The published grades are .2920 / .6308 / .7231 (hit rate at 1, 5 and 10) for ResNet152 and .6769 /
.7692 / .8154 for a small network trained from scratch: a network that gets .17 at 1 among ten
classes would beat one that gets .94. The cause is in what was sent, not in the networks.

`results.json` is {query name: [ten gallery names]}. The code that wrote it made the dictionary's
keys from the gallery's list of names. As far as the figures allow, this happened:

    queries = os.listdir(query)      # 65
    gallery = os.listdir(gallery)    # 6244
    for i, answers in enumerate(found):        # found[i]: the names found for queries[i]
        images[gallery[i]] = answers           # and not images[queries[i]]

So the answers to query i are filed under the i-th gallery picture, with which the query has nothing
to do. The server asks its ground truth for the class of every key and of every answer. It has both
lists of names, so it knows the key: had it refused gallery names, all grades would be 0. An answer
counts when the two classes are equal, and confusion images are of one class, `confusion_classes`.

Of the gallery's 6244 pictures 5335 are confusion images (85 %), so some 55 of the 65 keys are, and
every confusion image among the answers then counts. A random ranking, whose answers are
confusion images just as often, gets .730 / .856 / .858 in the mean over all orders of the gallery
(`chance`). A single submission differs from that by some .05 either way; with the 55 such keys that
the order of names gives, the mean is .723 / .848 / .850, and one draw .708 / .846 / .846. A good
ranking keeps confusion images out of its answers, and gets a low grade for it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from math import comb
from typing import NamedTuple

import numpy as np

from gallerist.challenge.answer_file import Answers
from gallerist.challenge.grading import ALL, KS, Grades, grade, hit_rate
from gallerist.challenge.truth import Truth
from gallerist.evaluation.bootstrap import Estimate, IntervalSettings
from gallerist.evaluation.scores import Scores
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_csv

RANDOM, CHANCE = "random", "chance"
"""Rankers that `study` adds: one drawn random ranking, and the exact mean over all of them."""

_GRADES = ("right", "fault", "fault_expected")
STUDY_COLUMNS = ("ranker", "k", *(f"{name}{e}" for name in _GRADES for e in ("", "_low", "_high")))


class StudyRow(NamedTuple):
    """One ranker's hit rate at k. estimates: without the fault, with it, and with it expected."""

    ranker: str
    k: int
    estimates: tuple[Estimate, Estimate, Estimate]


def grade_with_key_fault(
    answers: Answers, truth: Truth, settings: IntervalSettings, *, ks: Sequence[int] = KS
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Grade answers as a server does that gets them under gallery names; see the module.

    All queries answered take part, in the order of names, whether the truth has them or not: their
    own class is never asked for. settings: of the intervals, which are those for other queries in
    the gallery's order that was taken.

    Returns metric -> hit rate with the gallery in the order of names; and, since the server's own
    order is not known, its exact mean over all orders. There, the key of a query is each of the G
    gallery pictures equally often. It makes the first k answers count when its class is among
    theirs, so the chance is the sum of n_c / G over the classes c of the first k answers, n_c
    pictures being of class c. The mean over the queries is exact, though the keys of two queries
    are never the same.

    Raises UserError when a query has fewer answers than the largest k, and when the gallery has
    fewer pictures than there are queries.
    """
    queries = tuple(sorted(answers))
    for query in queries:
        if len(answers[query]) < max(ks):
            raise UserError(
                f"{len(answers[query])} answers to {query} are too few for a hit rate at "
                f"{max(ks)}: search for at least {max(ks)}."
            )
    if not 0 < len(queries) <= len(truth.gallery):
        raise UserError(
            f"{len(queries)} queries cannot be filed under the names of {len(truth.gallery)} "
            "gallery pictures: the fault needs at least as many, and a query."
        )
    keys = tuple(truth.gallery[name] for name in sorted(truth.gallery)[: len(queries)])
    labels = [[truth.gallery[name] for name in answers[query]] for query in queries]
    sizes = Counter(truth.gallery.values())
    by_name, expected = {}, {}
    for k in ks:
        found = [set(row[:k]) for row in labels]
        hits = [key in classes for key, classes in zip(keys, found, strict=True)]
        shares = [sum(sizes[label] for label in classes) for classes in found]
        by_name[hit_rate(k)] = np.array(hits, dtype=np.float64)
        expected[hit_rate(k)] = np.array(shares, dtype=np.float64) / len(truth.gallery)
    return (
        Scores(queries, keys, queries, by_name, {}).overall(settings),
        Scores(queries, keys, queries, expected, {}).overall(settings),
    )


def random_answers(truth: Truth, depth: int, seed: int) -> dict[str, tuple[str, ...]]:
    """A random ranking: for each query of the truth, so many gallery pictures without repetition.

    Depends on the seed and the names, not on their order in the file. A depth beyond the gallery
    gives the whole gallery.
    """
    generator = np.random.default_rng(seed)
    names = np.array(sorted(truth.gallery), dtype=object)
    return {
        query: tuple(names[generator.permutation(len(names))[:depth]].tolist())
        for query in sorted(truth.query)
    }


def chance(truth: Truth, k: int) -> tuple[Estimate, Estimate, Estimate]:
    """The mean hit rate at k of random rankings: without the fault, with it, and with it expected.

    Exact: k of G pictures hold none of a class of n with the probability C(G-n, k) / C(G, k), the
    hypergeometric distribution. Without the fault, n is the query's class in the gallery; with it,
    that of its key: of the first names, or of any gallery picture.
    """
    sizes, whole = Counter(truth.gallery.values()), len(truth.gallery)
    first = sorted(truth.gallery)[: len(truth.query)]

    def mean(classes: Sequence[str]) -> Estimate:
        of_class = sorted(sizes[label] for label in classes)  # the last bit: not by file order
        found = [1 - comb(whole - size, k) / comb(whole, k) for size in of_class]
        return Estimate(float(np.mean(found)))

    return (
        mean([truth.query[query] for query in truth.answerable]),
        mean([truth.gallery[name] for name in first]),
        mean(list(truth.gallery.values())),
    )


def study(
    rankings: Mapping[str, Answers], grades: Grades, truth: Truth,
    settings: IntervalSettings, *, ks: Sequence[int] = KS,
) -> list[StudyRow]:  # fmt: skip
    """Hit rates of every ranker, without and with the fault, next to those of chance.

    rankings: ranker -> answers, each at least as deep as the largest k. grades: of these, at ks.
    Added are `RANDOM`, a ranking drawn by the seed, with intervals as the others have, and
    `CHANCE`, the exact mean over all random rankings, which needs none. Rows are in the order of
    the rankings, then of ks.

    Raises UserError as `grade_with_key_fault`, naming the ranker.
    """
    taken = {RANDOM, CHANCE} & set(rankings)
    if taken:
        raise UserError(f"no ranker can be called {min(taken)}: the study adds one of that name")
    random = random_answers(truth, max(ks), settings.seed)
    grades = {**grades, RANDOM: grade(random, truth, settings, ks=ks)}
    rows = []
    for name, answers in {**rankings, RANDOM: random}.items():
        try:
            by_name, expected = grade_with_key_fault(answers, truth, settings, ks=ks)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        right = grades[name][ALL].estimates
        for k in ks:
            metric = hit_rate(k)
            rows.append(StudyRow(name, k, (right[metric], by_name[metric], expected[metric])))
    return rows + [StudyRow(CHANCE, k, chance(truth, k)) for k in ks]


def write_study(path: PathLike, rows: Sequence[StudyRow]) -> None:
    """Write as CSV, a row a ranker and k; ends are empty where there is no interval."""
    cells = ((row.ranker, row.k, *chain(*map(format_ends, row.estimates))) for row in rows)
    write_csv(path, STUDY_COLUMNS, cells)


def format_ends(estimate: Estimate) -> tuple[str, ...]:
    """Mean, low and high with four decimals; empty where there is no interval."""
    ends = (estimate.mean, estimate.low, estimate.high)
    return tuple("" if end is None else f"{end:.4f}" for end in ends)
