"""evaluation.protocol_search: the protocol of a benchmark's evaluator, from its figures alone."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import revisited
from checkout import CHECKOUT

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.external_rankings import Truth
from gallerist.evaluation.judged_ranking import judge
from gallerist.evaluation.judged_truth import SETUPS, JudgedTruth, read_revisited
from gallerist.evaluation.protocol_scores import score
from gallerist.evaluation.protocol_search import (
    Claim,
    Search,
    alternatives,
    common_choices,
    default,
)
from gallerist.evaluation.protocols import (
    CHOICES,
    REASONS,
    Measure,
    Protocol,
    is_defensible,
    reason,
)
from gallerist.evaluation.relevance import Relevance
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking

OXFORD, PARIS = "roxford5k", "rparis6k"


@cache
def judged(name, kind):
    ranking = revisited.seeded_ranking(name, kind)
    return judge(ranking, read_revisited(revisited.FOLDER / f"{name}.json"))


@cache
def search(name, kind):
    return Search(judged(name, kind))


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("kind", ["random", "good"])
@pytest.mark.parametrize("name", [OXFORD, PARIS])
def test_the_named_protocol_gives_every_figure_of_the_benchmarks_evaluator(name, kind, setup):
    ranked = judged(name, kind)
    figures = revisited.expected(name, kind)[setup]
    area = Protocol(setup=setup, divisor="R", integration="trapezoids")
    assert score(ranked, area, Measure("mAP")).value == pytest.approx(figures["mAP"], abs=1e-9)
    shares = Protocol(setup=setup, divisor="min(k, last right rank)")
    for k in (1, 5, 10):
        found = score(ranked, shares, Measure("precision", k)).value
        assert found == pytest.approx(figures[f"mP@{k}"], abs=1e-9)


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize(("name", "kind"), [(OXFORD, "good"), (PARIS, "good"), (OXFORD, "random")])
def test_the_protocol_is_found_from_the_figure_alone(name, kind, setup):
    figure = revisited.expected(name, kind)[setup]["mAP"]
    found = search(name, kind).explain(Claim(repr(figure))).giving
    assert [(str(each.measure), each.protocol.setup) for each in found] == [("mAP", setup)]
    assert found[0].departures == {"integration": "trapezoids"}
    assert found[0].defensible


@pytest.mark.parametrize("setup", SETUPS)
def test_the_protocol_is_the_first_from_the_figure_as_a_paper_prints_it(setup):
    figure = revisited.expected(PARIS, "good")[setup]["mAP"]
    found = search(PARIS, "good").explain(Claim(f"{100 * figure:.2f}", family="mAP")).giving
    assert found[0].departures == {"integration": "trapezoids"}
    assert found[0].protocol.setup == setup


def test_several_claims_are_given_by_the_choices_that_they_share():
    figures = revisited.expected(OXFORD, "good")
    claims = [Claim(f"{100 * figures[setup]['mAP']:.2f}", family="mAP") for setup in SETUPS]
    found = [search(OXFORD, "good").explain(claim) for claim in claims]
    assert common_choices(found) == [frozenset()]  # of what depends on no metric, the default
    # The same, with junk counted as wrong in one of them: nothing gives both.
    wrong = Protocol(setup="medium", divisor="R", junk="wrong")
    figure = score(judged(OXFORD, "good"), wrong, Measure("mAP")).value
    found.append(search(OXFORD, "good").explain(Claim(f"{figure:.6f}")))
    assert [each.departures for each in found[-1].giving] == [{"junk": "wrong"}]
    assert common_choices(found) == []
    assert not found[-1].giving[0].defensible


# -- what is tried --------------------------------------------------------------------------------


def small(distances=(0.1, 0.2, 0.3), sources=("a", "b", "c"), labels=("ant", "bee", "ant")):
    """Two queries, p and the gallery's own a, ranked alike."""
    gallery = Manifest(
        tuple(
            Picture(*(name, name, label, "gallery", source), 0, 0, "")
            for name, label, source in zip("abc", labels, sources, strict=True)
        )
    )
    queries = Manifest(
        (
            Picture("p", "p", "ant", "query", "p", 0, 0, ""),
            Picture("a", "a", "ant", "query", "a", 0, 0, ""),
        )
    )
    relevance = Relevance.of_classes(queries.label_of, gallery.label_of)
    rows = (tuple("abc"), tuple("bca"))
    ranking = Ranking(("p", "a"), rows, (distances,) * 2)
    return judge(ranking, JudgedTruth.of(Truth(queries, relevance, gallery)))


def test_only_what_the_data_let_vary_is_tried():
    plain = alternatives(small(), Measure("mAP"))
    assert set(plain) == {"keys", "own", "divisor", "integration", "average", "unanswerable"}
    assert "ties" in alternatives(small(distances=(1.0, 1.0, 2.0)), Measure("mAP"))
    copied = alternatives(small(sources=("a", "b", "a")), Measure("mAP"))
    assert copied["copies"] == ("one",)
    assert copied["own"] == ("in", "out, with its copies")
    assert "distractors" in alternatives(small(labels=("ant", "distractor", "ant")), Measure("mAP"))
    assert not {"divisor", "integration"} & set(alternatives(small(), Measure("hit rate", 1)))


def test_every_value_that_is_tried_has_a_reason_and_those_of_the_default_are_defensible():
    worlds = [
        small(),
        small(distances=(1.0, 1.0, 1.0)),
        small(sources=("a", "b", "a"), labels=("ant", "distractor", "ant")),
    ]
    for world in worlds:
        for measure in Claim("0.123").measures():
            base = default(world, measure)
            assert is_defensible(base, base)
            for choice, values in alternatives(world, measure).items():
                assert choice in CHOICES
                for value in values:
                    assert reason(choice, value).why
                    assert value != getattr(base, choice)


def test_a_protocol_whose_departures_include_anothers_of_the_same_figure_is_left_out():
    scored = Search(small()).score_all(Measure("hit rate", 1))
    for one in scored:
        for other in scored:
            if one is not other and one.departures.items() <= other.departures.items():
                assert np.abs(np.subtract(one.figure, other.figure)).max() > 1e-13


def test_the_own_file_that_was_left_in_is_found_by_its_figure():
    world = small()
    # p: a and c are right: 1 and 2/3. a: without itself b, c: 1/2; with itself b, c, a: 1/2, 2/3.
    without, within = ((1 + 2 / 3) / 2 + 1 / 2) / 2, ((1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 2
    assert score(world, default(world, Measure("mAP")), Measure("mAP")).value == pytest.approx(
        without
    )
    found = Search(world).explain(Claim(f"{within:.5f}", family="mAP")).giving
    assert {"own": "in"} in [each.departures for each in found if each.measure == Measure("mAP")]


def test_what_is_nearest_comes_first_and_of_equals_that_with_fewer_departures():
    found = Search(small()).explain(Claim("0.61"))
    keys = [(found.claim.distance(each.figure.value), len(each.departures)) for each in found.tried]
    assert keys == sorted(keys)


def test_by_chance_is_how_often_a_number_near_the_claim_is_met():
    found = search(OXFORD, "good").explain(Claim("0.570", family="mAP"))
    figures = np.array(sorted({round(each.figure.value, 12) for each in found.tried}))
    generator = np.random.default_rng(4)
    numbers = generator.uniform(0.52, 0.62, 20_000)
    met = [((figures >= x - 0.0005) & (figures <= x + 0.0005)).sum() for x in numbers]
    assert found.by_chance == pytest.approx(np.mean(met), rel=0.1)


# -- claims ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "rounding"),
    [
        ("0.677", 0.677, 5e-4),
        ("67.7", 0.677, 5e-4),
        ("67.70 %", 0.677, 5e-5),
        (".5", None, None),
        ("0.9%", 0.009, 5e-4),
        ("1.00", 1.0, 5e-3),
        ("100", 1.0, 5e-3),
        ("57", 0.57, 5e-3),
        ("0.7083809813683672", 0.7083809813683672, 1e-9),
    ],
)
def test_a_claim_is_as_exact_as_its_digits(text, value, rounding):
    if value is None:
        with pytest.raises(UserError, match="any figure would match"):
            Claim(text)
        return
    claim = Claim(text)
    assert claim.value == pytest.approx(value, abs=1e-15)
    assert claim.rounding == pytest.approx(rounding)
    assert claim.distance(value + rounding * 0.99) == 0
    assert claim.distance(value - 1.1 * rounding - 1e-8) > 0


@pytest.mark.parametrize("text", ["", "nan", "-0.3", "101", "1e-3", "0,677", "mAP 0.5"])
def test_what_is_no_figure_is_refused(text):
    with pytest.raises(UserError, match="no figure of a metric"):
        Claim(text)


def test_a_claim_at_1_is_tried_once_for_metrics_that_are_equal_there():
    assert [str(each) for each in Claim("0.677", 1).measures()] == ["hit rate@1", "recall@1"]
    assert [str(each) for each in Claim("0.677", 1, "mAP").measures()] == ["mAP@1"]
    with pytest.raises(UserError, match="at least 1"):
        Claim("0.677", 0)


def test_metrics_that_are_left_out_at_1_equal_the_hit_rate_in_every_protocol():
    world = small(distances=(1.0, 1.0, 2.0), sources=("a", "b", "a"))
    for family, divisor in (("precision", "k"), ("mAP", "min(k, R)"), ("MRR", ""), ("nDCG", "")):
        for own in ("in", "out"):
            protocol = replace(default(world, Measure("hit rate", 1)), own=own)
            expected = score(world, protocol, Measure("hit rate", 1))
            found = score(world, replace(protocol, divisor=divisor), Measure(family, 1))
            assert found.value == pytest.approx(expected.value)


def test_the_document_names_every_choice_and_every_value():
    text = (CHECKOUT / "docs/protocols.md").read_text(encoding="utf-8")
    for choice, value in REASONS:
        rows = re.findall(rf"^\| `{choice}`.*$", text, re.M)
        assert any(f"`{value}`" in row for row in rows), (choice, value)
    for choice in CHOICES:
        assert re.search(rf"^\| `{choice}`", text, re.M), choice
