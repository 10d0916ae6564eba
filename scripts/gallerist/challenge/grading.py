"""Grades of the unlabelled challenge: as they should be, and as the published fault makes them.

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
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

from gallerist.challenge.truth import Truth
from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation.bootstrap import ROUNDS
from gallerist.evaluation.curves import Curve, curve, hits_among_distractors
from gallerist.evaluation.metrics import FloatArray, metric
from gallerist.evaluation.relevance import RelevantRanks, TruncatedRanking
from gallerist.evaluation.scores import Assessment, Measure, Settings
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_csv

Answers = Mapping[str, Sequence[str]]
"""Query file name -> gallery file names, best first: `Submission.answers`, or a whole ranking."""

KS = (1, 5, 10)
CONFIDENCE = 0.95
RANDOM, CHANCE = "random", "chance"
"""Rankers that `study` adds: one drawn random ranking, and the exact mean over all of them."""

STUDY_COLUMNS = (
    "ranker", "k",
    "right", "right_low", "right_high",
    "fault", "fault_low", "fault_high",
    "fault_expected", "fault_expected_low", "fault_expected_high",
)  # fmt: skip


@dataclass(frozen=True)
class Grade:
    """What answers reach by the ground truth, over all judged queries and those of each domain.

    assessment: the value of every metric for every judged query, in the order of names; and in
        `unknown` the metrics for which the answers do not reach deep enough.
    overall: metric -> mean with its interval. by_domain: the same, for each domain there is.
    domains: of each judged query. excluded: queries without a right picture in the gallery.
    unlabelled: queries that were answered, but that the ground truth lacks. Both count nowhere.
    """

    assessment: Assessment
    domains: tuple[str, ...]
    overall: Mapping[str, Measure]
    by_domain: Mapping[str, Mapping[str, Measure]]
    excluded: tuple[str, ...]
    unlabelled: tuple[str, ...]

    def figures(self) -> dict[str, Any]:
        """The same as JSON can hold it, without the values of single queries."""
        counts = Counter(self.domains)
        return {
            "queries": len(self.domains),
            "excluded": list(self.excluded),
            "unlabelled": list(self.unlabelled),
            "metrics": {name: asdict(each) for name, each in self.overall.items()},
            "domains": {
                domain: {
                    "queries": counts[domain],
                    "metrics": {name: asdict(each) for name, each in measures.items()},
                }
                for domain, measures in self.by_domain.items()
            },
            "unknown": dict(self.assessment.unknown),
        }


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
    by_name: Mapping[str, Measure]
    expected: Mapping[str, Measure]


@dataclass(frozen=True)
class StudyRow:
    """One ranker's hit rate at k: graded rightly, with the fault, and with the fault expected."""

    ranker: str
    k: int
    right: Measure
    fault: Measure
    fault_expected: Measure


def grade(
    answers: Answers, truth: Truth, *, ks: Sequence[int] = KS, seed: int, rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Grade:  # fmt: skip
    """Grade answers, of whatever depth, by the ground truth.

    Hit rates at ks, MRR at the last of them, the share of distractors among the first k answers,
    and mAP, mAP@R and MRR where the ranking is deep enough. seed, rounds, confidence: of the
    bootstrap over queries (`bootstrap.mean_intervals`).

    Raises UserError when a judged query has no answers, an answer is not in the truth's gallery
    or stands twice, and when no query can be judged.
    """
    judged = truth.judged
    if not judged:
        raise UserError(
            f"none of the {len(truth.query)} queries has a picture of its class in the gallery: "
            "are the classes of both parts called the same?"
        )
    _require_answered(answers, truth, judged)
    rows = _rows(answers, truth, judged)
    ranks = _ranks(rows, truth, judged)
    values, unknown = _values(ranks, rows, truth, ks)
    assessment = Assessment(judged, tuple(truth.query[q] for q in judged), judged, values, unknown)
    domains = tuple(truth.domain(query) for query in judged)
    settings = Settings(seed, rounds, confidence)
    return Grade(
        assessment,
        domains,
        assessment.overall(settings),
        {
            domain: assessment.of(np.flatnonzero(np.asarray(domains) == domain)).overall(settings)
            for domain in sorted(set(domains))
        },
        truth.excluded,
        tuple(sorted(set(answers) - set(truth.query))),
    )


def growth(
    answers: Answers, truth: Truth, *, k: int = 1, step: int = 500, seed: int,
    rounds: int = ROUNDS, confidence: float = CONFIDENCE,
) -> Curve:  # fmt: skip
    """Hit rate at k with 0, step, 2 step, ... and at last all distractors in the gallery.

    Exact expectations over which distractors stay: `retrieval_curves.hits_among_distractors`, which
    says for which rankings that holds. Raises CurveFault when the ranking is not deep enough, and
    UserError as `grade`.
    """
    judged = truth.judged
    _require_answered(answers, truth, judged)
    rows = _rows(answers, truth, judged)
    labels = _labels(rows, truth)
    wanted = np.array([truth.query[query] for query in judged])
    counts = sorted({*range(0, truth.distractors, step), truth.distractors})
    chances = hits_among_distractors(
        labels == wanted[:, None],
        labels == DISTRACTOR,
        counts,
        k=k,
        distractors=truth.distractors,
        depth=(rows >= 0).sum(axis=1),
    )
    return curve(counts, chances, judged, seed=seed, rounds=rounds, level=confidence)


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
    labels = _labels(_rows(answers, truth, queries), truth)
    filed = np.array([truth.gallery[keys[query]] for query in queries])
    sizes = Counter(truth.gallery.values())
    by_name, expected = {}, {}
    for k in ks:
        shares = [sum(sizes[c] for c in set(line)) for line in labels[:, :k].tolist()]
        by_name[_hit(k)] = (labels[:, :k] == filed[:, None]).any(axis=1).astype(np.float64)
        expected[_hit(k)] = np.array(shares, dtype=np.float64) / len(truth.gallery)
    settings = Settings(seed, rounds, confidence)
    return KeyFaultGrade(
        keys,
        int((filed == DISTRACTOR).sum()),
        Assessment(queries, tuple(filed.tolist()), queries, by_name, {}).overall(settings),
        Assessment(queries, tuple(filed.tolist()), queries, expected, {}).overall(settings),
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
        mean([truth.query[query] for query in truth.judged]),
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
        rows += [
            StudyRow(
                name, k, right.overall[_hit(k)], fault.by_name[_hit(k)], fault.expected[_hit(k)]
            )
            for k in ks
        ]
    return rows + [StudyRow(CHANCE, k, *map(Measure, chance(truth, k))) for k in ks]


def write_study(path: PathLike, rows: Sequence[StudyRow]) -> None:
    """Write as CSV, a row a ranker and k; ends are empty where there is no interval."""
    write_csv(path, STUDY_COLUMNS, map(_cells, rows))


def _cells(row: StudyRow) -> tuple[object, ...]:
    measures = (row.right, row.fault, row.fault_expected)
    ends = (end for each in measures for end in (each.mean, each.low, each.high))
    return (row.ranker, row.k, *("" if end is None else f"{end:.4f}" for end in ends))


def _hit(k: int) -> str:
    return f"hit rate@{k}"


def _values(
    ranks: RelevantRanks, rows: npt.NDArray[np.int32], truth: Truth, ks: Sequence[int]
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Metric -> (queries,), and for those that cannot be known, why."""
    values: dict[str, FloatArray] = {}
    unknown: dict[str, str] = {}
    for name in (*map(_hit, ks), f"MRR@{max(ks)}", "MRR", "mAP", "mAP@R"):
        try:
            values[name] = metric(name)(ranks)
        except TruncatedRanking as error:
            unknown[name] = str(error)
    strange = _labels(rows, truth) == DISTRACTOR
    for k in ks:
        name = f"distractors@{k}"
        if int(ranks.depth.min()) >= k:
            values[name] = strange[:, :k].mean(axis=1)
        else:
            unknown[name] = f"{name} cannot be known: a query has only {ranks.depth.min()} answers."
    return values, unknown


def _ranks(rows: npt.NDArray[np.int32], truth: Truth, queries: Sequence[str]) -> RelevantRanks:
    # By rows, not by names: a query and a gallery picture of one name are two pictures.
    wanted = [truth.query[query] for query in queries]
    return RelevantRanks.from_matrix(rows, wanted, list(truth.gallery.values()))


def _rows(answers: Answers, truth: Truth, queries: Sequence[str]) -> npt.NDArray[np.int32]:
    """(queries, depth) places of the answers in the truth's gallery, -1 where there are no more."""
    place = {name: number for number, name in enumerate(truth.gallery)}
    depth = max((len(answers[query]) for query in queries), default=0)
    rows = np.full((len(queries), depth), -1, dtype=np.int32)
    for row, query in zip(rows, queries, strict=True):
        named = answers[query]
        try:
            row[: len(named)] = [place[name] for name in named]
        except KeyError as stranger:
            raise UserError(
                f"{stranger.args[0]}, an answer to {query}, is not in the gallery of the ground "
                "truth: it is of another gallery, or misspelt."
            ) from None
        if len(set(named)) < len(named):
            twice = Counter(named).most_common(1)[0][0]
            raise UserError(f"{twice} is an answer to {query} more than once.")
    return rows


def _labels(rows: npt.NDArray[np.int32], truth: Truth) -> npt.NDArray[np.str_]:
    """(queries, depth) class of each answer; empty, which no class is, where there is none."""
    return np.array([*truth.gallery.values(), ""])[rows]


def _require_answered(answers: Answers, truth: Truth, queries: Sequence[str]) -> None:
    lacking = [query for query in queries if not answers.get(query)]
    if lacking:
        strangers = set(answers) - set(truth.query)
        hint = (
            " The answers are filed under names of gallery pictures: the keys were taken from the "
            "wrong list."
            if strangers and strangers <= set(truth.gallery)
            else ""
        )
        raise UserError(f"{len(lacking)} queries, {lacking[0]} the first, lack answers.{hint}")


def _require_depth(answers: Answers, k: int) -> None:
    shallow = sorted(query for query, named in answers.items() if len(named) < k)
    if shallow:
        raise UserError(
            f"{len(answers[shallow[0]])} answers to {shallow[0]} are too few for a hit rate at "
            f"{k}: search for at least {k}."
        )
