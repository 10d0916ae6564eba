"""Hit rate against k, precision against recall, hit rate against distractors: values and lines."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from kept_figures import keep_figures
from PIL import Image
from sklearn.metrics import precision_recall_curve as sklearn_curve

from gallerist.evaluation.bootstrap import mean_intervals
from gallerist.evaluation.curves import (
    Curve,
    CurveFault,
    curve,
    hit_rate_curve,
    hits_among_distractors,
    interpolated_precision,
    ks_up_to,
    precision_recall_curve,
)
from gallerist.evaluation.metrics import average_precision, hit_rate_at_k
from gallerist.evaluation.relevance import RelevantRanks, TruncatedRanking
from gallerist.figures import curve_plots
from gallerist.figures import style as palette
from gallerist.figures.curve_plots import draw_growth, draw_hit_rates, draw_precision_recall


@some.composite
def rankings(draw, queries=4, answers=14):
    """(queries, answers) bool whole rankings in which every query has a right picture."""
    rows = some.lists(some.booleans(), min_size=answers, max_size=answers).filter(any)
    return np.array(draw(some.lists(rows, min_size=1, max_size=queries)))


def of(relevant) -> RelevantRanks:
    return RelevantRanks.from_relevance(relevant, relevant.sum(axis=1))


@given(rankings(), some.sampled_from([2, 3, 11, 101]))
def test_interpolated_precision_is_the_best_of_sklearns_at_that_recall_or_more(relevant, levels):
    values = interpolated_precision(of(relevant), levels)
    assert values.shape == (len(relevant), levels)
    for row, drawn in zip(relevant, values, strict=True):
        precision, recall, _ = sklearn_curve(row, -np.arange(len(row)))
        precision, recall = precision[:-1], recall[:-1]  # its last point is made up
        for level, value in zip(np.linspace(0, 1, levels), drawn, strict=True):
            assert value == pytest.approx(precision[recall >= level - 1e-9].max())


def test_interpolated_precision_of_a_case_worked_by_hand():
    """Right at ranks 1, 3 and 6 of three: precisions 1, 2/3, 1/2 at recalls 1/3, 2/3, 1."""
    relevant = np.array([[1, 0, 1, 0, 0, 1]], dtype=bool)
    expected = [1] * 4 + [2 / 3] * 3 + [1 / 2] * 4
    np.testing.assert_allclose(interpolated_precision(of(relevant))[0], expected)


def test_a_level_that_is_just_reached_counts_as_reached():
    """With ten right pictures every tenth of recall is reached at one of them, in floats or not."""
    relevant = np.zeros((1, 55), dtype=bool)
    places = np.cumsum(np.arange(1, 11)) - 1
    relevant[0, places] = True
    precision = np.arange(1, 11) / (places + 1)
    np.testing.assert_allclose(interpolated_precision(of(relevant))[0, 1:], precision)


@given(rankings())
def test_interpolated_precision_falls_and_lies_above_the_average_precision(relevant):
    assert (np.diff(interpolated_precision(of(relevant), 101), axis=1) <= 0).all()
    for row in relevant:
        each = of(row[None])
        at_right_pictures = interpolated_precision(each, int(row.sum()) + 1)[0, 1:]
        assert at_right_pictures.mean() >= average_precision(each)[0] - 1e-12


def test_precision_below_the_ranking_that_was_kept_is_not_guessed():
    kept = RelevantRanks.from_relevance(np.array([[True, False]]), [2])
    with pytest.raises(TruncatedRanking, match="deeper ranking"):
        interpolated_precision(kept)


def test_one_level_of_recall_is_no_curve():
    with pytest.raises(CurveFault, match="11 or 101"):
        interpolated_precision(of(np.array([[True]])), 1)


def random_ranks(ease=1.0, queries=30, answers=120) -> RelevantRanks:
    generator = np.random.default_rng(5)
    scores = generator.normal(size=(queries, answers))
    scores[:, :8] += ease
    return of(np.argsort(-scores, axis=1) < 8)


GROUPS = [f"original {number // 3}" for number in range(30)]


def test_a_hit_rate_curve_has_the_metrics_means_and_the_tables_intervals():
    ranks = random_ranks()
    drawn = hit_rate_curve(ranks, GROUPS, depth=10, seed=3)
    np.testing.assert_array_equal(drawn.at, np.arange(1, 11))
    for k, mean, low, high in zip(drawn.at, drawn.means, drawn.lows, drawn.highs, strict=True):
        values = hit_rate_at_k(ranks, int(k))
        interval = mean_intervals({"any": values}, GROUPS, seed=3)["any"]
        assert (mean, low, high) == pytest.approx((values.mean(), interval.low, interval.high))


def test_the_level_and_the_rounds_are_those_of_the_bootstrap():
    ranks = random_ranks()
    wide = hit_rate_curve(ranks, GROUPS, depth=4, seed=3, rounds=1500, level=0.99)
    narrow = hit_rate_curve(ranks, GROUPS, depth=4, seed=3, rounds=1500, level=0.8)
    assert (wide.highs - wide.lows > narrow.highs - narrow.lows).all()
    values = {"any": hit_rate_at_k(ranks, 4)}
    interval = mean_intervals(values, GROUPS, seed=3, rounds=1500, level=0.99)["any"]
    assert (wide.lows[-1], wide.highs[-1]) == pytest.approx((interval.low, interval.high))


def test_a_precision_recall_curve_is_the_mean_over_the_queries():
    ranks = random_ranks()
    drawn = precision_recall_curve(ranks, GROUPS, seed=3, levels=11)
    np.testing.assert_allclose(drawn.means, interpolated_precision(ranks, 11).mean(axis=0))
    np.testing.assert_allclose(drawn.at, np.arange(11) / 10)
    assert (drawn.lows <= drawn.means).all()
    assert (drawn.means <= drawn.highs).all()


def test_queries_of_one_original_have_a_curve_without_intervals():
    drawn = hit_rate_curve(random_ranks(), ["same"] * 30, depth=5, seed=1)
    assert np.isnan(drawn.lows).all()
    assert np.isnan(drawn.highs).all()
    assert np.isfinite(drawn.means).all()


@given(some.integers(1, 100_000))
def test_every_curve_begins_at_one_ends_at_its_depth_and_is_fine_enough(depth):
    ks = ks_up_to(depth)
    assert ks[0] == 1
    assert ks[-1] == depth
    assert (np.diff(ks) > 0).all()
    assert set(range(1, min(depth, 50) + 1)) <= set(ks.tolist())
    assert len(ks) < 200
    assert (ks[1:] / ks[:-1])[50:].max(initial=1) < 1.1


@pytest.mark.parametrize(
    ("at", "means"), [([1, 2], [0.1]), ([], []), ([2, 1], [0.1, 0.2]), ([1, 1], [0.1, 0.2])]
)
def test_arrays_that_are_no_curve_are_refused(at, means):
    values = np.array(means)
    with pytest.raises(CurveFault):
        Curve(np.array(at), values, values, values)


def test_values_of_other_queries_are_refused():
    with pytest.raises(CurveFault, match=r"shape \(2, 3\).*4 queries at 3 places"):
        curve([1, 2, 3], np.zeros((2, 3)), ["a", "b", "c", "d"], seed=0)


KINDS = {"right": 0, "distractor": 1, "other": 2}


def brute_force(row, k, drawn, distractors) -> float:
    """Mean hit over all sets of distractors that stay, each gallery ranked anew."""
    outcomes = []
    for staying in itertools.combinations(range(distractors), drawn):
        seen, kept = 0, []
        for kind in row:
            if kind == KINDS["distractor"]:
                if seen in staying:
                    kept.append(kind)
                seen += 1
            else:
                kept.append(kind)
        outcomes.append(KINDS["right"] in kept[:k])
    return float(np.mean(outcomes))


@settings(max_examples=60)
@given(
    some.integers(1, 4), some.integers(0, 5), some.integers(0, 3), some.integers(1, 6), some.data()
)
def test_the_chance_among_fewer_distractors_is_that_of_all_draws(
    rights, distractors, others, k, data
):
    kinds = [0] * rights + [1] * distractors + [2] * others
    row = np.array(data.draw(some.permutations(kinds)))
    counts = list(range(distractors + 1))
    chances = hits_among_distractors(
        (row == 0)[None], (row == 1)[None], counts, k=k, distractors=distractors
    )
    expected = [brute_force(row, k, drawn, distractors) for drawn in counts]
    np.testing.assert_allclose(chances[0], expected, atol=1e-12)
    assert (np.diff(chances[0]) <= 1e-12).all()


def test_with_all_distractors_the_chance_is_the_hit_rate_and_with_none_they_are_passed_over():
    right = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=bool)
    distractor = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]], dtype=bool)
    chances = hits_among_distractors(right, distractor, [0, 2], k=1, distractors=2)
    np.testing.assert_array_equal(chances, [[1, 0], [0, 0], [1, 1]])


def test_a_padded_ranking_is_read_to_its_depth_only():
    right = np.zeros((1, 6), dtype=bool)
    distractor = np.array([[1, 0, 0, 0, 0, 0]], dtype=bool)
    with pytest.raises(CurveFault, match="1 queries have no right picture"):
        hits_among_distractors(right, distractor, [1], k=3, distractors=1, depth=[2])
    chances = hits_among_distractors(right, distractor, [0, 1], k=3, distractors=1, depth=[6])
    np.testing.assert_array_equal(chances, [[0, 0]])


@pytest.mark.parametrize("counts", [[-1], [3], [0, 9]])
def test_more_distractors_than_there_are_cannot_be_drawn(counts):
    with pytest.raises(CurveFault, match="2 distractors"):
        hits_among_distractors(np.array([[True]]), np.array([[False]]), counts, k=1, distractors=2)


@pytest.fixture
def figures(monkeypatch):
    """The figures that were written, to be looked into."""
    return keep_figures(monkeypatch, curve_plots)


def made(count, at, intervals=True) -> dict[str, Curve]:
    places = np.asarray(at, dtype=float)
    curves = {}
    for number in range(count):
        means = np.linspace(0.1 + 0.8 * number / count, 0.95, len(places))
        width = 0.05 if intervals else np.nan
        curves[f"experiment_{number}_of_a_rather_long_name"] = Curve(
            places, means, means - width, np.minimum(means + width, 1)
        )
    return curves


def draw_each(name, curves, path):
    styles = palette.styles(list(curves))
    if name == "growth":
        draw_growth(curves, styles, path, title="monkeys10", k=5)
    else:
        function = draw_hit_rates if name == "hits" else draw_precision_recall
        function(curves, styles, path, title="monkeys10")


PLACES = {"hits": ks_up_to(200), "precision": np.linspace(0, 1, 11), "growth": [0, 10, 100, 5335]}


@pytest.mark.parametrize("count", [1, 8, 40])
@pytest.mark.parametrize("name", PLACES)
def test_all_experiments_are_drawn_and_named_and_nothing_is_cut(figures, tmp_path, name, count):
    curves = made(count, PLACES[name])
    draw_each(name, curves, tmp_path / "curves.png")
    (figure,) = figures
    (axis,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(curves)
    assert legend.get_window_extent().y1 <= axis.get_tightbbox().y0 + 1
    for line, (title, style) in zip(axis.lines, palette.styles(list(curves)).items(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curves[title].means)
        assert (line.get_color(), line.get_marker()) == (style["color"], style["marker"])
    assert len(axis.collections) == count
    assert "95 % intervals" in axis.get_title()
    assert axis.get_xlabel().endswith(")")
    assert axis.get_ylabel().endswith(")")
    with Image.open(tmp_path / "curves.png") as image:
        picture = np.asarray(image.convert("L"))
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def test_bands_of_many_experiments_do_not_hide_the_lines(figures, tmp_path):
    for count in (1, 8, 40):
        draw_each("hits", made(count, range(1, 11)), tmp_path / "curves.png")
        faint = figures[-1].axes[0].collections[0].get_alpha()
        assert 1 - (1 - faint) ** count < 0.6


@pytest.mark.parametrize(("depth", "scale"), [(1, "linear"), (50, "linear"), (51, "log")])
def test_the_axis_of_k_is_logarithmic_beyond_fifty(figures, tmp_path, depth, scale):
    draw_each("hits", made(2, ks_up_to(depth)), tmp_path / "curves.png")
    axis = figures[0].axes[0]
    assert axis.get_xscale() == scale
    ticks = [label.get_text() for label in axis.get_xticklabels()]
    assert ticks[0] == "1"
    low, high = axis.get_xlim()
    assert low < 1 <= depth < high
    assert all(low <= float(tick) <= high for tick in ticks)


@pytest.mark.parametrize(("counts", "scale"), [([0, 10, 20], "linear"), ([0, 5, 5335], "symlog")])
def test_growth_keeps_zero_and_names_the_whole_number_of_distractors(
    figures, tmp_path, counts, scale
):
    draw_each("growth", made(2, counts), tmp_path / "curves.png")
    axis = figures[0].axes[0]
    assert axis.get_xscale() == scale
    low, high = axis.get_xlim()
    assert low <= 0 < counts[-1] <= high
    extents = [label.get_window_extent() for label in axis.get_xticklabels()]
    if scale == "symlog":
        assert {"0", "5335"} <= {label.get_text() for label in axis.get_xticklabels()}
        assert all(one.x1 < other.x0 for one, other in itertools.pairwise(extents))


def test_the_title_says_which_intervals_are_drawn(figures, tmp_path):
    curves = made(2, range(1, 11))
    draw_hit_rates(curves, palette.styles(list(curves)), tmp_path / "c.png", title="t", level=0.9)
    assert figures[0].axes[0].get_title() == "t, bands: 90 % intervals"


def test_curves_without_intervals_claim_none(figures, tmp_path):
    draw_each("hits", made(2, range(1, 11), intervals=False), tmp_path / "curves.png")
    assert "interval" not in figures[0].axes[0].get_title()


def test_an_experiment_without_a_style_is_named(tmp_path):
    with pytest.raises(CurveFault, match="no style for experiment_0"):
        draw_hit_rates(made(1, [1]), {}, tmp_path / "curves.png", title="t")


@pytest.mark.parametrize("name", PLACES)
def test_where_no_curve_is_known_the_picture_says_so(figures, tmp_path, name):
    draw_each(name, {}, tmp_path / "curves.png")
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["not known of any experiment"]
    assert "interval" not in figures[0].axes[0].get_title()
    assert figures[0].axes[0].get_xlabel()
