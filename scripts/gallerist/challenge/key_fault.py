"""The published key fault: what it makes of the challenge's grades.

The published grades are .2920 / .6308 / .7231 (hit rate at 1, 5 and 10) for ResNet152 and .6769 /
.7692 / .8154 for a small network trained from scratch: a network that gets .17 at 1 among ten
classes would beat one that gets .94. The explanation is in what was sent, not in the networks.

`results.json` is {query name: [ten gallery names]}. The code that wrote it made the dictionary's
keys from the gallery's list of names. As far as the figures allow, this happened:

    queries = os.listdir(query)      # 65
    gallery = os.listdir(gallery)    # 6244
    for i, answers in enumerate(found):        # found[i]: the names found for queries[i]
        images[gallery[i]] = answers           # and not images[queries[i]]

So the answers to query i are filed under the i-th gallery picture, with which the query has nothing
to do. The server asks its ground truth for the class of every key and of every answer. It has both
lists of names, so it knows the key: had it refused gallery names, all grades would be 0. An answer
is right when the two classes are equal, and confusion images are of one class, `confusion_classes`.

Of the gallery's 6244 pictures 5335 are confusion images (85 %), so some 55 of the 65 keys are, and
every confusion image among the answers is then "right". A random ranking, whose answers are
confusion images just as often, gets .730 / .856 / .858 in the mean over all orders of the gallery
(`chance`). A single submission differs from that by some .05 either way; with the 55 such keys that
the order of names gives, the mean is .723 / .848 / .850, and one draw .708 / .846 / .846. A good
ranking keeps confusion images out of its answers, and is punished for it: what is graded is how
badly animals are told from the rest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from gallerist.challenge.grading import CONFIDENCE, KS, Answers, grade, hit_rate, labels_of
from gallerist.challenge.truth import Truth
from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation.bootstrap import ROUNDS, Estimate, IntervalSettings
from gallerist.evaluation.scores import Scores
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_csv

RANDOM, CHANCE = "random", "chance"
"""Rankers that `study` adds: one drawn random ranking, and the exact mean over all of them."""

STUDY_COLUMNS = (
    "ranker", "k",
    "right", "right_low", "right_high",
    "fault", "fault_low", "fault_high",
    "fault_expected", "fault_expected_low", "fault_expected_high",
)  # fmt: skip


@dataclass(frozen=True)
class KeyFaultGrade:
    """Hit rates as the fault makes them; see the module.

    keys: of each query, in the order of names, the gallery picture that its answers are filed under
        when the gallery is listed by name. distractor_keys: how many of these are distractors.
    by_name: metric -> hit rate in that order. The server's own order is not known, so also
    expected: its exact mean over all orders of the gallery.
    Intervals say how sure the mean is for other queries, of the gallery's order that was taken.
    """

    keys: Mapping[str, str]
    distractor_keys: int
    by_name: Mapping[str, Estimate]
    expected: Mapping[str, Estimate]


@dataclass(frozen=True)
class StudyRow:
    """One ranker's hit rate at k: graded rightly, with the fault, and with the fault expected."""

    ranker: str
    k: int
    right: Estimate
    fault: Estimate
    fault_expected: Estimate


def grade_with_key_fault(
    answers: Answers, truth: Truth, *, ks: Sequence[int] = KS, seed: int, rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> KeyFaultGrade:  # fmt: skip
    """Grade answers as a server does that gets them under gallery names; see the module.

    All queries answered take part, in the order of names, whether the truth knows them or not:
    their own class is never asked for.

    For the expectation: in a random order, the key of a query is each of the G gallery pictures
    equally often. It makes the first k answers right when its class is among theirs, so the chance
    is the sum of n_c / G over the classes c of the first k answers, n_c pictures being of class c.
    The mean over the queries is exact, though the keys of two queries are never the same.

    Raises UserError as `grade`, when a query has fewer answers than the largest k, and when the
    gallery has fewer pictures than there are queries.
    """
    queries = tuple(sorted(answers))
    _require_depth(answers, max(ks))
    if len(truth.gallery) < max(len(queries), 1) or not queries:
        raise UserError(
            f"{len(queries)} queries cannot be filed under the names of {len(truth.gallery)} "
            "gallery pictures: the fault needs at least as many, and a query."
        )
    keys = dict(zip(queries, sorted(truth.gallery), strict=False))
    labels = labels_of(answers, truth, queries)
    filed = np.array([truth.gallery[keys[query]] for query in queries])
    sizes = Counter(truth.gallery.values())
    by_name, expected = {}, {}
    for k in ks:
        shares = [sum(sizes[c] for c in set(line)) for line in labels[:, :k].tolist()]
        by_name[hit_rate(k)] = (labels[:, :k] == filed[:, None]).any(axis=1).astype(np.float64)
        expected[hit_rate(k)] = np.array(shares, dtype=np.float64) / len(truth.gallery)
    settings = IntervalSettings(seed, rounds, confidence)
    return KeyFaultGrade(
        keys,
        int((filed == DISTRACTOR).sum()),
        Scores(queries, tuple(filed.tolist()), queries, by_name, {}).overall(settings),
        Scores(queries, tuple(filed.tolist()), queries, expected, {}).overall(settings),
    )


def random_answers(truth: Truth, depth: int, seed: int) -> dict[str, tuple[str, ...]]:
    """A random ranking: for each query of the truth, so many gallery pictures without repetition.

    Depends on the seed and the names, not on their order in the file. A depth beyond the gallery
    gives the whole gallery.
    """
    generator = np.random.default_rng(seed)
    names = np.array(sorted(truth.gallery), dtype=object)
    count = min(depth, len(names))
    return {
        query: tuple(names[generator.permutation(len(names))[:count]].tolist())
        for query in sorted(truth.query)
    }


def chance(truth: Truth, k: int) -> tuple[float, float, float]:
    """The hit rate at k that random rankings have in the mean: right, with the fault, expected.

    Exact: k of G pictures hold none of a class of n with the probability C(G-n, k) / C(G, k), the
    hypergeometric distribution. Rightly graded, n is the query's class in the gallery; with the
    fault, that of its key: of the first names, or of any gallery picture.
    """
    sizes = Counter(truth.gallery.values())
    first = sorted(truth.gallery)[: len(truth.query)]

    def mean(classes: Sequence[str]) -> float:
        of_class = np.sort([sizes[label] for label in classes])  # the last bit: not by file order
        return float(hypergeom.sf(0, len(truth.gallery), of_class, k).mean())

    return (
        mean([truth.query[query] for query in truth.answerable]),
        mean([truth.gallery[name] for name in first]),
        mean(list(truth.gallery.values())),
    )


def study(
    rankings: Mapping[str, Answers], truth: Truth, *, ks: Sequence[int] = KS, seed: int,
    rounds: int = ROUNDS, confidence: float = CONFIDENCE,
) -> list[StudyRow]:  # fmt: skip
    """Hit rates of every ranker, right and with the fault, next to those of chance.

    rankings: ranker -> answers, each at least as deep as the largest k. Added are `RANDOM`, a
    ranking drawn by the seed, with intervals as the others have, and `CHANCE`, the exact mean over
    all random rankings, which needs none. Rows are in the order of the rankings, then of ks.

    Raises UserError as `grade` and `grade_with_key_fault`, naming the ranker.
    """
    taken = {RANDOM, CHANCE} & set(rankings)
    if taken:
        raise UserError(f"no ranker can be called {min(taken)}: the study adds one of that name")
    rows = []
    for name, answers in {**rankings, RANDOM: random_answers(truth, max(ks), seed)}.items():
        try:
            _require_depth(answers, max(ks))
            right = grade(answers, truth, ks=ks, seed=seed, rounds=rounds, confidence=confidence)
            fault = grade_with_key_fault(
                answers, truth, ks=ks, seed=seed, rounds=rounds, confidence=confidence
            )
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        for k in ks:
            metric = hit_rate(k)
            figures = right.overall[metric], fault.by_name[metric], fault.expected[metric]
            rows.append(StudyRow(name, k, *figures))
    return rows + [StudyRow(CHANCE, k, *map(Estimate, chance(truth, k))) for k in ks]


def write_study(path: PathLike, rows: Sequence[StudyRow]) -> None:
    """Write as CSV, a row a ranker and k; ends are empty where there is no interval."""
    write_csv(path, STUDY_COLUMNS, map(_cells, rows))


def _cells(row: StudyRow) -> tuple[object, ...]:
    measures = (row.right, row.fault, row.fault_expected)
    ends = (end for each in measures for end in (each.mean, each.low, each.high))
    return (row.ranker, row.k, *("" if end is None else f"{end:.4f}" for end in ends))


def _require_depth(answers: Answers, k: int) -> None:
    shallow = sorted(query for query, named in answers.items() if len(named) < k)
    if shallow:
        raise UserError(
            f"{len(answers[shallow[0]])} answers to {shallow[0]} are too few for a hit rate at "
            f"{k}: search for at least {k}."
        )
