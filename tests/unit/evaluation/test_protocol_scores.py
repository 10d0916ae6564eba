"""evaluation.protocol_scores against plain loops, scikit-learn, metrics and hand-worked cases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_protocols import figure

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation.external_rankings import Truth, find_relevant
from gallerist.evaluation.judged_ranking import judge
from gallerist.evaluation.judged_truth import JudgedTruth
from gallerist.evaluation.metrics import metric
from gallerist.evaluation.protocol_scores import score
from gallerist.evaluation.protocol_search import default
from gallerist.evaluation.protocols import REASONS, Measure, Protocol
from gallerist.evaluation.relevance import Relevance
from gallerist.search.ranking import Ranking

MEASURES = [
    *(Measure(family, k) for family in ("hit rate", "precision", "recall", "mAP") for k in (1, 3)),
    *(Measure("mAP", k) for k in (None, "R")),
    *(Measure("precision", "R"), Measure("MRR", 2), Measure("MRR"), Measure("nDCG", 3)),
]
DIVISORS = {"mAP": ("R", "min(k, R)", "hits"), "precision": ("k", "min(k, R)")}
LAST = "min(k, last right rank)"
OF_CLASSES = {("own", "out, with its copies"), ("average", "classes"), ("average", "originals")}
NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"]
# A world: ranking: query -> [(gallery picture, distance)], best first; gallery: picture -> class;
# labels: query -> class, or None for pairs, with right and junk: query -> pictures; original:
# picture or query -> original.


def divisors_of(measure):
    last = (LAST,) if measure.family == "precision" and measure.k != "R" else ()
    return DIVISORS.get(measure.family, ("",)) + last


def values_of(choice):
    return st.sampled_from([value for name, value in REASONS if name == choice])


def picture(world, name, label):
    return Picture(name, name, label, "", world["original"][name], 0, 0, "")


def judged(world):
    """The world as the library has it."""
    rows = world["ranking"].values()
    ranking = Ranking(
        tuple(world["ranking"]),
        tuple(tuple(name for name, _ in row) for row in rows),
        tuple(tuple(distance for _, distance in row) for row in rows),
    )
    labels = world["labels"]
    queries = Manifest(
        tuple(picture(world, name, labels[name] if labels else "") for name in world["ranking"])
    )
    gallery = Manifest(tuple(picture(world, *each) for each in world["gallery"].items()))
    if labels is None:
        relevance = Relevance(world["right"])
        truth = Truth(queries, relevance, junk=world["junk"])
        return judge(ranking, JudgedTruth.of(truth))
    relevance = Relevance.of_classes(queries.label_of, gallery.label_of)
    return judge(ranking, JudgedTruth.of(Truth(queries, relevance, gallery)))


@st.composite
def worlds(draw, classes=None):
    """Rankings of some pictures with ties; classes with distractors, or pairs with junk."""
    names = NAMES[: draw(st.integers(4, len(NAMES)))]
    queries = draw(
        st.lists(st.sampled_from([*NAMES, "x", "y"]), min_size=1, max_size=4, unique=True)
    )
    by_class = draw(st.booleans()) if classes is None else classes
    label = st.sampled_from(["ant", "bee", DISTRACTOR])
    gallery = {name: draw(label) for name in names}
    ranking, right, junk = {}, {}, {}
    for query in queries:
        listed = draw(st.permutations(names))[: draw(st.integers(1, len(names)))]
        distances = sorted(
            draw(st.lists(st.integers(0, 3), min_size=len(listed), max_size=len(listed)))
        )
        ranking[query] = [*zip(listed, map(float, distances), strict=True)]
        grades = draw(
            st.lists(st.sampled_from([1, 0, -1]), min_size=len(names), max_size=len(names))
        )
        right[query] = {name for name, grade in zip(names, grades, strict=True) if grade > 0}
        junk[query] = {name for name, grade in zip(names, grades, strict=True) if grade < 0}
    original = {name: name for name in sorted({*NAMES, *queries})}
    if by_class:
        drawn = st.lists(st.sampled_from("abc"), min_size=len(original), max_size=len(original))
        original = (
            dict(zip(original, draw(drawn), strict=True)) if draw(st.booleans()) else original
        )
    labels = {q: gallery.get(q) or draw(label) for q in queries} if by_class else None
    if labels is None:
        # Of pairs the gallery is what the ranking and the truth name.
        named = {name for row in ranking.values() for name, _ in row}.union(*right.values())
        gallery = {name: "" for name in names if name in named.union(*junk.values())}
    world = {"ranking": ranking, "gallery": gallery, "labels": labels, "original": original}
    return {**world, "right": right, "junk": junk}


@st.composite
def protocols(draw, world, measure):
    by_class = world["labels"] is not None
    keyed = by_class and len(world["ranking"]) <= len(world["gallery"])
    return Protocol(
        keys=draw(st.sampled_from(["queries", "gallery, by name"])) if keyed else "queries",
        own=draw(values_of("own")) if by_class else draw(st.sampled_from(["in", "out"])),
        junk=draw(values_of("junk")),
        copies=draw(values_of("copies")),
        distractors=draw(values_of("distractors")),
        ties=draw(values_of("ties")),
        depth=draw(st.sampled_from([None, 1, 3])),
        divisor=draw(st.sampled_from(divisors_of(measure))),
        integration=draw(values_of("integration")),
        average=draw(values_of("average")) if by_class else "queries",
        unanswerable=draw(values_of("unanswerable")),
        batch=draw(st.sampled_from([None, 2, 3, 16])),
    )


def variants(protocol, by_class, divisors):
    """The protocol, and every protocol that differs from it in one choice, keys apart."""
    yield protocol
    for choice, value in REASONS:
        of_measure = choice != "divisor" or value in divisors
        of_truth = by_class or (choice, value) not in OF_CLASSES
        if choice != "keys" and of_measure and of_truth:
            yield replace(protocol, **{choice: value})


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_every_protocol_is_what_plain_loops_make_of_it(data):
    world = data.draw(worlds())
    by_class = world["labels"] is not None
    measure = data.draw(st.sampled_from(MEASURES))
    drawn = data.draw(protocols(world, measure))
    found = judged(world)
    for protocol in variants(drawn, by_class, divisors_of(measure)):
        expected = figure(world, protocol, measure.family, measure.k)
        value = score(found, protocol, measure).value
        assert value == pytest.approx(expected, abs=1e-12), protocol


@settings(deadline=None)
@given(worlds(classes=True))
def test_the_default_is_what_evaluating_gives(world):
    for query, listed in world["ranking"].items():  # evaluating refuses a query's own file
        kept = [each for each in listed if each[0] != query]
        world["ranking"][query] = kept + [
            (name, 9.0)
            for name in world["gallery"]
            if name != query and name not in [each for each, _ in kept]
        ]
    found = judged(world)
    rows = world["ranking"].values()
    ranking = Ranking(
        tuple(world["ranking"]),
        tuple(tuple(name for name, _ in row) for row in rows),
        tuple(tuple(distance for _, distance in row) for row in rows),
    )
    queries = Manifest(tuple(picture(world, *each) for each in world["labels"].items()))
    gallery = Manifest(tuple(picture(world, *each) for each in world["gallery"].items()))
    relevance = Relevance.of_classes(queries.label_of, gallery.label_of)
    if not relevance.answerable:
        return
    ranks = find_relevant(ranking, Truth(queries, relevance, gallery)).ranks
    for measure in MEASURES:
        expected = metric(str(measure))(ranks).mean()
        found_figure = score(found, default(found, measure), measure)
        assert found_figure.value == pytest.approx(expected, abs=1e-12), measure


def test_average_precision_is_that_of_scikit_learn():
    from sklearn.metrics import average_precision_score

    generator = np.random.default_rng(5)
    names = [f"g{number:02}" for number in range(30)]
    ranking, right, expected = {}, {}, []
    for query in ("p", "q", "r"):
        distances = generator.random(30)
        marks = generator.random(30) < 0.3
        order = np.argsort(distances)
        ranking[query] = [(names[row], float(distances[row])) for row in order]
        right[query] = {names[row] for row in np.flatnonzero(marks)}
        expected.append(average_precision_score(marks, -distances))
    world = {
        **{"ranking": ranking, "gallery": dict.fromkeys(names, ""), "labels": None},
        **{
            "right": right,
            "junk": {},
            "original": {name: name for name in [*names, "p", "q", "r"]},
        },
    }
    protocol = Protocol(own="in", divisor="R")
    found = score(judged(world), protocol, Measure("mAP"))
    assert found.value == pytest.approx(np.mean(expected), abs=1e-12)


def by_hand():
    """One query of pairs; ranked: junk, right, wrong, right; and a right one that is not ranked."""
    listed = [(name, float(rank)) for rank, name in enumerate("jrws")]
    world = {"ranking": {"q": listed}, "gallery": dict.fromkeys("jrwst", ""), "labels": None}
    original = {name: name for name in "qjrwst"}
    return judged({**world, "right": {"q": set("rst")}, "junk": {"q": {"j"}}, "original": original})


@pytest.mark.parametrize(
    ("changed", "k", "expected"),
    [
        ({}, None, (1 + 2 / 3) / 3),  # ranks 1 and 3 of three right ones
        ({"junk": "wrong"}, None, (1 / 2 + 2 / 4) / 3),
        ({"divisor": "hits"}, None, (1 + 2 / 3) / 2),
        # From (0, 1) to (1/3, 1), then from (1/3, 1/2) to (2/3, 2/3).
        ({"integration": "trapezoids"}, None, (1 + (1 / 2 + 2 / 3) / 2) / 3),
        ({"divisor": "min(k, R)"}, 2, 1 / 2),
        ({"divisor": "R"}, 2, 1 / 3),
        ({"depth": 2}, None, 1 / 3),
        ({"depth": 1}, None, 0),
        ({"unanswerable": "count as 0"}, None, (1 + 2 / 3) / 3),
    ],
)
def test_average_precision_by_hand(changed, k, expected):
    protocol = replace(Protocol(own="in", divisor="R"), **changed)
    assert score(by_hand(), protocol, Measure("mAP", k)).value == pytest.approx(expected)


def test_precision_by_the_last_right_rank_by_hand():
    protocol = Protocol(own="in", divisor=LAST)
    for k, expected in ((1, 1), (2, 1 / 2), (3, 2 / 3), (10, 2 / 3)):
        found = score(by_hand(), protocol, Measure("precision", k))
        assert found.value == pytest.approx(expected)


def keyed():
    """Three queries, q0 to q2, and a gallery of which the names a and c are distractors."""
    gallery = {"a": DISTRACTOR, "b": "bee", "c": DISTRACTOR, "d": "ant"}
    first = {"q0": "c", "q1": "a", "q2": "d"}
    world = {
        "ranking": {query: [(name, 0.0)] for query, name in first.items()},
        **{"gallery": gallery, "labels": {"q0": "ant", "q1": "bee", "q2": "ant"}},
        **{"right": {}, "junk": {}, "original": {name: name for name in [*gallery, *first]}},
    }
    return judged(world)


def test_answers_under_keys_of_the_gallery_are_judged_by_the_classes_of_those():
    top = Measure("hit rate", 1)
    assert score(keyed(), Protocol(), top).value == pytest.approx(1 / 3)
    fault = Protocol(keys="gallery, by name", distractors="match each other")
    # q0 has the class of a, a distractor, and c is one; q1 that of b; q2 that of c.
    assert score(keyed(), fault, top).value == pytest.approx(1 / 3)
    any_order = replace(fault, keys="gallery, any order")
    # A key is a distractor in 2 of 4 cases, b and d in one each: c and a are met by 2, d by 1.
    found = score(keyed(), any_order, top)
    assert found.value == pytest.approx((2 / 4 + 2 / 4 + 1 / 4) / 3)
    assert found.deviation == pytest.approx(np.sqrt(1 / 4 + 1 / 4 + 3 / 16) / 3)
    with pytest.raises(ValueError, match="would match nothing"):
        score(keyed(), replace(any_order, distractors="match nothing"), top)
