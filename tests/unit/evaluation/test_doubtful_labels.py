"""Doubtful labels: confident learning against cleanlab, and labels that were flipped on purpose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.doubtful_labels import (
    Doubt,
    class_probabilities,
    confident_classes,
    doubt_labels,
    find_doubts,
    judged_pictures,
    read_doubts,
    write_doubts,
)
from gallerist.features.store import Features
from gallerist.io.errors import UserError
from gallerist.search.nearest_others import nearest_others

CLASSES = 3
TELLING = 0x0F0F_3355_00FF_AA55


def picture(number, label, part="gallery", source=None, phash=None):
    name = f"{number:016x}"
    digits = f"{number * 0x9E37_79B9_7F4A_7C15 % 2**64:016x}" if phash is None else f"{phash:016x}"
    return Picture(name, f"{name}.png", label, part, source or name, 8, 8, digits)


def clouds(per_class=30, seed=0, spread=0.15):
    """Vectors of three classes around three directions, and their classes."""
    random = np.random.default_rng(seed)
    classes = np.repeat(np.arange(CLASSES), per_class)
    return np.eye(CLASSES)[classes] + random.normal(0, spread, (len(classes), CLASSES)), classes


def judged(labels, distance=0, **of_each):
    pictures = [picture(row, label) for row, label in enumerate(labels)]
    return judged_pictures([Manifest(pictures)], distance, 1, 10_000, **of_each)


def neighbours_of(vectors, chosen, count=10):
    features = Features.of(vectors, chosen.ids("gallery"), "model", "none")
    return nearest_others([(features, features.ids)], chosen.groups, count)


@given(st.data())
def test_confident_classes_are_those_of_cleanlab(data):
    """But where it takes a class that is likely, though not confidently: the paper does not."""
    count = pytest.importorskip("cleanlab.count", reason="cleanlab, the oracle, is not installed")
    number = data.draw(st.integers(2, 4))
    others = data.draw(st.lists(st.integers(0, number - 1), max_size=12))
    classes = np.array([*range(number), *others])
    weights = data.draw(arrays(np.int64, (len(classes), number), elements=st.integers(0, 20)))
    # Different within a row: of equally likely classes either may be taken.
    weights = weights * number + np.arange(number) + 1
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    _, theirs = count.compute_confident_joint(
        classes, probabilities, calibrate=False, return_indices_of_off_diagonals=True
    )
    ours = confident_classes(probabilities, classes)
    confident = probabilities >= count.get_confident_thresholds(classes, probabilities) - 1e-6
    likeliest = confident[np.arange(len(classes)), probabilities.argmax(axis=1)]
    alike = likeliest | (confident.sum(axis=1) < 2)
    doubtful = np.flatnonzero((ours >= 0) & (ours != classes) & alike)
    assert doubtful.tolist() == [row for row in theirs if alike[row]]


def test_a_neighbour_weighs_by_its_rank():
    found = class_probabilities(
        np.array([[1, 2, 3], [0, -1, -1], [-1, -1, -1]]), np.array([0, 1, 1, 0]), 2
    )
    assert found[0] == pytest.approx([(1 / 3) / (11 / 6), 1.5 / (11 / 6)])
    assert found[1:].tolist() == [[1, 0], [0, 0]]


def test_flipped_labels_are_found_and_the_right_ones_suggested():
    vectors, classes = clouds()
    flipped = np.random.default_rng(7).choice(len(classes), 5, replace=False)
    labels = classes.copy()
    labels[flipped] = (labels[flipped] + 1) % CLASSES
    chosen = judged([f"class {each}" for each in labels])
    found = find_doubts(chosen, {"clouds": neighbours_of(vectors, chosen)})
    assert found.judge == "clouds"
    assert found.agreement["clouds"] > 0.9
    right = {chosen.pictures[row].id: f"class {classes[row]}" for row in flipped}
    assert {each.picture: each.suggested for each in found.found[:5]} == right
    first = found.found[0]
    assert first.suggested_rank == 1
    assert len(first.neighbours) == 10
    assert first.picture not in first.neighbours


def test_the_experiment_that_agrees_with_most_labels_judges_and_others_are_counted():
    vectors, classes = clouds()
    classes[3] = 2
    chosen = judged([f"class {each}" for each in classes])
    noise = np.random.default_rng(1).normal(size=vectors.shape)
    near = {
        "noise": neighbours_of(noise, chosen),
        "clouds": neighbours_of(vectors, chosen),
        "same": neighbours_of(2 * vectors, chosen),
    }
    found = find_doubts(chosen, near)
    assert found.judge == "clouds"
    assert found.found[0].picture == chosen.pictures[3].id
    assert found.found[0].experiments[:1] == ("clouds",)
    assert "same" in found.found[0].experiments


def test_vectors_that_contradict_most_labels_doubt_none():
    classes = clouds()[1]
    chosen = judged([f"class {each}" for each in classes])
    noise = np.random.default_rng(1).normal(size=(len(classes), 4))
    found = find_doubts(chosen, {"noise": neighbours_of(noise, chosen)})
    assert (found.found, found.judge) == ([], None)
    assert found.agreement["noise"] < 0.5


@pytest.mark.parametrize("how", ["copies", "nearly equal", "in both parts"])
def test_a_picture_does_not_vouch_for_itself(how):
    """The wrong label of a copy would be its nearest neighbour's."""
    vectors, classes = clouds()
    pictures = [picture(row, f"class {each}") for row, each in enumerate(classes)]
    wrong = picture(1000, "class 2", phash=TELLING)
    copy = {
        "copies": picture(1001, "class 2", source=wrong.id),
        "nearly equal": picture(1001, "class 2", phash=TELLING ^ 3),
        "in both parts": picture(1000, "class 2", "query", phash=TELLING),
    }[how]
    chosen = judged_pictures([Manifest([*pictures, wrong]), Manifest([copy])], 2, 1, 10_000)
    same = vectors[:1].repeat(len(chosen.pictures) - len(pictures), axis=0)  # of class 0
    vectors = np.concatenate([vectors, same])
    features = Features.of(vectors, [each.id for each in chosen.pictures], "model", "none")
    near = nearest_others([(features, features.ids)], chosen.groups, 10)
    found = find_doubts(chosen, {"clouds": near}).found
    assert {each.suggested for each in found if each.label == "class 2"} == {"class 0"}
    assert found[0].label_rank is None
    assert not {wrong.id, copy.id} & set(found[0].neighbours)


def test_distractors_and_pictures_without_a_class_are_not_judged():
    pictures = [picture(1, "cat"), picture(2, "distractor"), picture(3, "")]
    assert judged_pictures([Manifest(pictures)], 0, 1, 10).labels == ["cat"]


def test_of_too_many_pictures_as_many_are_drawn():
    pictures = [picture(row, "cat") for row in range(50)]
    one, same = (judged_pictures([Manifest(pictures)], 0, 5, 20) for _ in range(2))
    assert len(one.pictures) == 20
    assert one.pictures == same.pictures
    assert [each.id for each in one.pictures] == sorted(each.id for each in one.pictures)


def test_one_class_alone_has_no_doubts():
    chosen = judged(["cat"] * 4)
    near = neighbours_of(np.eye(4), chosen)
    assert find_doubts(chosen, {"any": near}) == ([], {}, None)
    assert find_doubts(judged([]), {}) == ([], {}, None)


def test_what_is_written_is_read(tmp_path):
    doubts = [
        Doubt("a1", "query", 'a "cat"', "dog, big", 0.75, 0.0, 1, None, ("one", "two"), ("b", "c")),
        Doubt("a2", "gallery", "x", "y", 0.5, 0.25, 2, 1, ("one",), ()),
    ]
    write_doubts(tmp_path / "doubts.csv", doubts)
    assert read_doubts(tmp_path / "doubts.csv") == doubts
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(UserError, match=r"other\.csv: the columns of doubtful labels are"):
        read_doubts(tmp_path / "other.csv")


def test_a_gallery_that_is_searched_with_its_own_pictures_is_judged_once():
    vectors, classes = clouds()
    classes[3] = 2
    gallery = Manifest([picture(row, f"class {each}") for row, each in enumerate(classes)])
    features = Features.of(vectors, gallery.ids, "model", "none")
    given = {"clouds": lambda: (features, features)}, {"clouds": "cosine"}
    how = {"longest": features.length, "distance": 0, "seed": 1}
    alone, twice = (
        doubt_labels(queries, gallery, *given, **how) for queries in (Manifest(), gallery)
    )
    assert twice == alone
    assert [each.picture for each in twice.found].count(gallery.ids[3]) == 1
    assert gallery.ids[3] not in twice.found[0].neighbours
