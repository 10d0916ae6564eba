"""The map of features: near stays near, the same on any number of threads, and drawn whole."""

import os
import subprocess
import sys

import numpy as np
import pytest
from checkout import SCRIPTS
from hypothesis import given
from hypothesis import strategies as some
from kept_figures import keep_figures
from matplotlib.colors import to_hex
from PIL import Image
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from gallerist.figures import feature_map
from gallerist.figures.feature_map import draw, project, sample
from gallerist.figures.style import CLASS_COLOURS, OTHER


def features(classes=6, each=30, length=80, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around a centre a class, and the class of each."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = np.random.default_rng(99).normal(size=(classes, length))
    rows = centres[labels] + 0.7 * generator.normal(size=(len(labels), length))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.fixture(scope="module")
def mapped():
    gallery, gallery_labels = features()
    queries, query_labels = features(each=5, seed=1)
    return gallery, gallery_labels, queries, query_labels, project(gallery, queries, 3)


def test_neighbours_on_the_map_are_neighbours_among_the_features(mapped):
    gallery, _, queries, _, (gallery_places, query_places) = mapped
    assert gallery_places.shape == (len(gallery), 2)
    assert query_places.shape == (len(queries), 2)
    rows = np.concatenate([gallery, queries])
    places = np.concatenate([gallery_places, query_places])
    assert trustworthiness(rows, places, n_neighbors=5) > 0.85
    mixed = np.random.default_rng(0).permutation(places)
    assert trustworthiness(rows, mixed, n_neighbors=5) < 0.7


def test_queries_lie_among_the_gallery_pictures_of_their_class(mapped):
    _, gallery_labels, _, query_labels, (gallery_places, query_places) = mapped
    near = KNeighborsClassifier(3).fit(gallery_places, gallery_labels)
    assert near.score(query_places, query_labels) > 0.95


def test_the_map_is_the_same_on_any_number_of_threads(mapped):
    gallery, _, queries, _, expected = mapped
    with threadpool_limits(limits=2):
        again = project(gallery, queries, 3)
    for one, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_map_is_the_same_in_a_process_that_may_use_more_threads():
    """Of a job, which loads scikit-learn, and OpenMP with it, only when it draws."""
    program = """
import numpy as np
from gallerist.figures.feature_map import project
rows = np.random.default_rng(5).normal(size=(300, 500)).astype(np.float32)
print(project(rows[:200], rows[200:], 3)[0].tobytes().hex())
"""
    made = []
    for threads in ("1", "2"):
        environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        made.append(done.stdout)
    assert made[0] == made[1] != ""


def test_the_features_are_left_as_they_were():
    gallery, _ = features(classes=2, each=4)
    before = gallery.copy()
    project(gallery, gallery[:0], 1)
    np.testing.assert_array_equal(gallery, before)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 20])
@pytest.mark.parametrize("length", [1, 2, 60])
def test_a_map_of_any_few_rows_is_finite(count, length):
    rows = np.random.default_rng(count).normal(size=(count, length)).astype(np.float32)
    gallery, queries = project(rows[:-1], rows[-1:], 1)
    assert (gallery.shape, queries.shape) == ((count - 1, 2), (1, 2))
    assert gallery.dtype == queries.dtype == np.float32
    assert np.isfinite(gallery).all()
    assert np.isfinite(queries).all()
    assert count == 1 or len(np.unique(np.concatenate([gallery, queries]), axis=0)) > 1


def test_pictures_that_are_all_alike_or_have_no_content_lie_on_one_point():
    for rows in (np.zeros((9, 4), np.float32), np.full((9, 4), 0.5, np.float32)):
        gallery, queries = project(rows[:6], rows[6:], 1)
        assert not gallery.any()
        assert not queries.any()


def test_many_copies_of_two_pictures_have_a_finite_map():
    rows = np.repeat(np.eye(2, 5, dtype=np.float32), 40, axis=0)
    gallery, _ = project(rows, rows[:3], 1)
    assert np.isfinite(gallery).all()


def test_features_of_no_map_are_refused():
    rows = np.ones((3, 4), np.float32)
    with pytest.raises(match=r"\(3, 4\) and \(3, 3\)"):
        project(rows, rows[:, :3], 1)
    with pytest.raises(match="no features"):
        project(rows[:0], rows[:0], 1)
    with pytest.raises(match="not finite"):
        project(rows, np.full((1, 4), np.nan, np.float32), 1)


@given(some.integers(0, 5000), some.integers(1, 3000), some.integers(0, 2**32))
def test_a_sample_is_seeded_rises_and_has_no_row_twice(count, most, seed):
    rows = sample(count, most, seed)
    assert len(rows) == min(count, most)
    assert (np.diff(rows) > 0).all()
    assert set(rows.tolist()) <= set(range(count))
    np.testing.assert_array_equal(rows, sample(count, most, seed))


def test_a_sample_is_drawn_from_the_whole_gallery():
    drawn = np.concatenate([sample(100, 10, seed) for seed in range(400)])
    counts = np.bincount(drawn, minlength=100)
    assert counts.mean() == 40
    assert counts.min() > 15
    assert counts.max() < 70


@pytest.fixture
def figures(monkeypatch):
    """The figures that were written, to be looked into."""
    return keep_figures(monkeypatch, feature_map)


def draw_random(path, classes, gallery=200, queries=40, total=None):
    generator = np.random.default_rng(1)
    places = generator.normal(size=(gallery + queries, 2)).astype(np.float32)
    names = [f"class_{number}_of_long_name" for number in range(classes)]
    labels = [names[i % classes] for i in range(gallery - 20)] + ["distractor"] * 20
    asked = [names[min(i % 13, i % classes)] for i in range(queries)]
    wrong = np.arange(queries) % 10 == 0
    draw(
        places[:gallery], labels, places[gallery:], asked, wrong, path, title="challenge, resnet",
        sampled={"gallery": total or gallery, "queries": queries},
    )  # fmt: skip
    return places, asked, wrong


@pytest.mark.parametrize("classes", [1, 10, 67])
def test_a_map_is_whole_and_names_the_classes_with_most_queries(figures, tmp_path, classes):
    draw_random(tmp_path / "map.png", classes)
    (figure,) = figures
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len([name for name in named if name.startswith("class_")]) == min(classes, 10)
    assert named[-2:] == ["query", "query with a wrong first answer"]
    assert ("57 other classes, distractors" in named) == (classes == 67)
    assert figure.legends[0].get_window_extent().y1 <= figure.axes[0].get_tightbbox().y0 + 1
    with Image.open(tmp_path / "map.png") as image:
        picture = np.asarray(image.convert("L"))
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def test_stars_have_their_class_colour_and_black_edges_and_wrong_ones_a_ring(figures, tmp_path):
    places, asked, wrong = draw_random(tmp_path / "map.png", 3)
    _, _, stars, rings = figures[0].axes[0].collections
    np.testing.assert_allclose(stars.get_offsets(), places[200:])
    np.testing.assert_allclose(rings.get_offsets(), places[200:][wrong])
    assert {to_hex(colour) for colour in stars.get_edgecolors()} == {"#000000"}
    colours = {}
    for name, face in zip(asked, stars.get_facecolors(), strict=True):
        colours.setdefault(name, set()).add(to_hex(face))
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == len(colours) == 3


def test_distractors_and_classes_beyond_the_tenth_are_grey_below_the_others(figures, tmp_path):
    draw_random(tmp_path / "map.png", 67)
    grey, coloured, *_ = figures[0].axes[0].collections
    assert {to_hex(colour) for colour in grey.get_facecolors()} == {OTHER}
    assert {to_hex(colour) for colour in coloured.get_facecolors()} == set(CLASS_COLOURS)
    assert len(grey.get_offsets()) + len(coloured.get_offsets()) == 200


def test_the_title_says_that_a_sample_is_drawn(figures, tmp_path):
    draw_random(tmp_path / "map.png", 3, total=6244)
    title = " ".join(figures[0].axes[0].get_title().split())
    assert "200 of 6244 gallery pictures (sample), 40 queries, 4 with a wrong" in title


def test_a_map_without_queries_is_drawn(figures, tmp_path):
    draw_random(tmp_path / "map.png", 3, queries=0)
    named = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert "query" not in named
    assert "distractors" in named


def test_places_and_labels_that_do_not_belong_together_are_refused(tmp_path):
    places = np.zeros((2, 2), np.float32)
    with pytest.raises(match="belong together"):
        draw(places, ["a"], places, ["a", "b"], np.zeros(2, bool), tmp_path / "map.png",
             title="t", sampled={"gallery": 2, "queries": 2})  # fmt: skip
