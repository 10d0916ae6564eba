"""The picture of a query and its answers."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from matplotlib.colors import to_rgb
from PIL import Image

from gallerist.evaluation.relevance import MARKS, QueryResult
from gallerist.figures import answer_strips
from gallerist.figures.answer_strips import (
    QUERY,
    UNKNOWN,
    best_median_worst,
    strips,
)
from gallerist.figures.style import RELEVANT, WRONG

draw = partial(answer_strips.draw, max_pixels=10**8)


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def colour_share(picture: np.ndarray, colour: str | tuple[float, float, float]) -> float:
    exact = np.round(np.array(to_rgb(colour)) * 255)
    return float((np.abs(picture - exact) <= 2).all(axis=2).mean())


def assert_whole(picture: np.ndarray) -> None:
    """Nothing is cut: the outermost pixels are paper."""
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


@pytest.fixture
def photo(tmp_path):
    def save(name: str, colour=(200, 120, 40), size=(60, 40)) -> str:
        Image.new("RGB", size, colour).save(tmp_path / name)
        return str(tmp_path / name)

    return save


@pytest.fixture
def output(tmp_path):
    return tmp_path / "strip.png"


def result(answers: int = 3) -> QueryResult:
    labels = ("cat", "dog", "cat")[:answers]
    return QueryResult(
        "q",
        "cat",
        ("a", "b", "c")[:answers],
        labels,
        (0.1, 0.25, 1.5)[:answers],
        tuple(label == "cat" for label in labels),
    )


PATHS = {"a": "gallery/a.jpg", "b": "gallery/b.jpg", "c": "gallery/c.jpg"}


def test_a_strip_names_the_query_and_each_answer_with_its_distance():
    assert strips([result()], PATHS, {"q": "query/cat/q7.jpg"}, 10) == [
        (
            "query/cat/q7.jpg",
            "cat\nq7.jpg",
            [
                ("gallery/a.jpg", "cat\n0.100", True),
                ("gallery/b.jpg", "dog\n0.250", False),
                ("gallery/c.jpg", "cat\n1.500", True),
            ],
        )
    ]


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (1, 1), (2, 2), (3, 3), (50, 3)])
def test_a_strip_has_as_many_answers_as_were_asked_for_or_found(asked, given):
    ((_, _, tiles),) = strips([result()], PATHS, {"q": "q.jpg"}, asked)
    assert len(tiles) == given


def test_right_wrong_and_unknown_answers_and_the_query_are_framed_in_their_colours(photo, output):
    grey = photo("grey.png", (240, 240, 240))
    for right, colour in ((True, RELEVANT), (False, WRONG), (None, UNKNOWN)):
        draw([(grey, "cat\nq.jpg", [(grey, "dog\n0.5", right)])], output, title="t")
        picture = pixels(output)
        query, answer = picture[:, : picture.shape[1] // 2], picture[:, picture.shape[1] // 2 :]
        assert colour_share(query, QUERY) > 0.005
        assert colour_share(answer, colour) > 0.005
        for other in {RELEVANT, WRONG, UNKNOWN, QUERY} - {colour}:
            assert colour_share(answer, other) < 0.0005
        assert_whole(picture)


def test_relevant_and_other_answers_differ_without_their_colours(photo, output, monkeypatch):
    monkeypatch.setattr("gallerist.figures.answer_strips._COLOURS", dict.fromkeys(MARKS, UNKNOWN))
    grey = photo("grey.png", (240, 240, 240))
    pictures = []
    for relevant in MARKS:
        draw([(grey, "cat\nq.jpg", [(grey, "dog\n0.5", relevant)])], output, title="t")
        picture = pixels(output)
        pictures.append(picture[picture.shape[0] // 4 :, picture.shape[1] // 2 :].tobytes())
    assert len(set(pictures)) == 3


def test_the_legend_explains_the_marks_that_are_there(photo, output, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "PIL.ImageDraw.ImageDraw.text", lambda self, place, text, *_, **__: drawn.append(text)
    )
    grey = photo("grey.png")
    draw([(grey, "cat\nq.jpg", [(grey, "dog\n0.5", True)])], output, title="t")
    assert {"query", "relevant"} <= set(drawn)
    assert "not relevant" not in drawn


def test_answers_stand_from_left_to_right_in_their_order(photo, output):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
    files = [photo(f"{n}.png", colour, (50, 50)) for n, colour in enumerate(colours)]
    tiles = [(file, "x\n0.1", None) for file in files[1:]]
    draw([(files[0], "x\nq", tiles)], output, title="t")
    picture = pixels(output).astype(int)
    centres = [
        np.flatnonzero((np.abs(picture - np.array(colour)) <= 4).all(axis=2).any(axis=0)).mean()
        for colour in colours
    ]
    assert centres == sorted(centres)


def test_every_row_is_drawn_and_shorter_rows_leave_room(photo, output):
    photos = [photo(f"{n}.png", (0, 0, 255 - n), (50, 50)) for n in range(3)]
    tile = (photos[0], "x\n0.1", True)
    draw([(name, "x\nq", [tile] * n) for n, name in enumerate(photos)], output, title="three")
    tall = pixels(output)
    draw([(photos[2], "x\nq", [tile] * 2)], output, title="one")
    assert tall.shape[0] > 2 * pixels(output).shape[0]
    assert tall.shape[1] == pixels(output).shape[1]
    assert_whole(tall)


def test_without_a_query_the_picture_says_so(output):
    draw([], output, title="chosen queries")
    picture = pixels(output)
    assert_whole(picture)
    middle = picture[picture.shape[0] // 3 :, picture.shape[1] // 3 : -picture.shape[1] // 3]
    assert (middle < 128).any()


def test_a_picture_that_is_gone_is_a_grey_field_and_the_others_are_drawn(photo, output, tmp_path):
    there = photo("there.png", (0, 0, 250))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff no more")
    tiles = [(str(tmp_path / "gone.png"), "x\n0.1", True), (str(broken), "x\n0.2", False)]
    draw([(there, "x\nq", tiles)], output, title="t")
    picture = pixels(output)
    assert colour_share(picture, (200 / 255,) * 3) > 0.05
    assert colour_share(picture, (0, 0, 250 / 255)) > 0.02


def test_a_photo_keeps_its_proportions(photo, output):
    wide = photo("wide.png", (0, 0, 250), (400, 100))
    draw([(wide, "x\nq", [])], output, title="t")
    blue = (np.abs(pixels(output).astype(int) - np.array([0, 0, 250])) <= 2).all(axis=2)
    height, width = (
        np.ptp(np.flatnonzero(blue.any(axis=1))),
        np.ptp(np.flatnonzero(blue.any(axis=0))),
    )
    assert width / height == pytest.approx(4, rel=0.25)  # the frame covers a little of each side


@pytest.mark.parametrize(
    "name",
    ["$_$.png", "W" * 200 + "1.png", "猿 🐒.png", "two\nlines.png", "", "_" * 60],
)
def test_any_name_is_drawn_and_nothing_runs_over_the_edge(photo, output, name):
    there = photo("there.png")
    tiles = [(there, f"{name}\n0.1", True)] * 4
    draw([(there, f"{name}\n{name}", tiles)], output, title="t")
    assert_whole(pixels(output))


def test_a_long_name_is_shown_with_its_beginning_and_its_end(photo, output, monkeypatch):
    there = photo("there.png")
    drawn = []
    monkeypatch.setattr(
        "PIL.ImageDraw.ImageDraw.text", lambda self, place, text, *_, **__: drawn.append(text)
    )
    draw([(there, f"class\n{'monkey_' * 9}0042.jpg", [])], output, title="t")
    label, name = drawn[-2:]
    assert label == "class"
    beginning, end = name.split("…")
    assert beginning.startswith("monkey_")
    assert end.endswith("0042.jpg")


SCORES = {"a": 0.5, "b": 1.0, "c": 0.0, "d": 0.5, "e": 0.9, "f": 0.2}


def chosen(count, scores=SCORES):
    return best_median_worst(list(scores), list(scores.values()), count)


def test_best_worst_and_median_queries_by_hand():
    assert chosen(2) == (["b", "e"], ["a", "d"], ["c", "f"])
    assert chosen(1)[1] == ["a"]
    assert chosen(3)[1] == ["e", "a", "d"]


def test_equal_scores_are_distinguished_by_id():
    same = dict.fromkeys("cab", 1.0)
    assert chosen(3, same) == (list("abc"),) * 3


@given(
    some.dictionaries(some.text("abc", min_size=1), some.sampled_from([0, 0.25, 1, -np.inf])),
    some.integers(0, 12),
    some.randoms(use_true_random=False),
)
def test_the_choice_does_not_depend_on_the_order_of_the_queries(scores, count, random):
    items = list(scores.items())
    random.shuffle(items)
    best, _, worst = taken = chosen(count, scores)
    assert taken == chosen(count, dict(items))
    for each in taken:
        assert len(each) == len(set(each)) == min(count, len(scores))
    assert all(scores[name] >= scores[rest] for name in best for rest in {*scores} - {*best})
    assert all(scores[name] <= scores[rest] for name in worst for rest in {*scores} - {*worst})


@given(
    some.lists(some.floats(0, 1), min_size=1, max_size=30, unique=True),
    some.integers(1, 30),
)
def test_as_many_queries_stand_above_the_median_ones_as_below(values, count):
    scores = {str(number): value for number, value in enumerate(values)}
    taken = [scores[name] for name in chosen(count, scores)[1]]
    above = sum(value > max(taken) for value in values)
    below = sum(value < min(taken) for value in values)
    assert below - above in (0, 1)
    assert len(taken) == min(count, len(values))
