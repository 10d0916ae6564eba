import csv
import random
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gallerist.data.importing import import_folder
from gallerist.data.manifest import Manifest, Picture
from gallerist.data.pool import Refusal, extend_training, write_refusals


def row(number, label="cat", part="training", phash=None):
    """A picture; without `phash` it has one far from all others."""
    identity = f"{number:016x}"
    if phash is None:
        bits = random.Random(number).sample(range(64), 32)
        phash = f"{sum(1 << bit for bit in bits):016x}"
    return Picture(identity, f"{part}/{label}/{number}.png", label, part, identity, 9, 9, phash)


def close(picture, bits):
    return f"{int(picture.phash, 16) ^ (2**bits - 1):016x}"


def rows(numbers, label="cat", part="pool"):
    return [row(number, label, part) for number in numbers]


def extended(training, pool, held_out=(), per_class=5, distance=4, seed=1):
    return extend_training(
        Manifest(tuple(training)),
        Manifest(tuple(pool)),
        [Manifest(tuple(held_out))],
        per_class=per_class,
        distance=distance,
        seed=seed,
    )


def added(outcome, label):
    return [
        picture.id
        for picture in outcome.manifest
        if picture.path.startswith("pool/") and picture.label == label
    ]


def test_classes_are_filled_up_to_the_number_and_fuller_ones_left_alone():
    training = [*rows([1, 2], "cat", "training"), *rows(range(10, 17), "dog", "training")]
    pool = [*rows(range(100, 120), "cat"), *rows(range(200, 220), "dog")]
    outcome = extended(training, pool)
    assert outcome.manifest.pictures[:9] == tuple(training)
    assert len(added(outcome, "cat")) == 3
    assert added(outcome, "dog") == []
    assert {picture.part for picture in outcome.manifest} == {"training"}
    assert all(picture.source_id == picture.id for picture in outcome.manifest)
    assert outcome.refusals == ()
    assert outcome.shortfalls == {}


def test_a_class_that_cannot_be_filled_is_reported():
    outcome = extended(
        [row(1, "cat"), row(2, "dog"), row(3, "cow")],
        rows([100, 101], "cat") + rows(range(200, 209), "dog"),
    )
    assert outcome.shortfalls == {"cat": 2, "cow": 4}
    assert len(outcome.manifest) == 3 + 2 + 4


def test_pictures_of_unknown_classes_are_refused():
    outcome = extended([row(1)], rows([100], "yak"))
    assert outcome.refusals == (
        Refusal("pool/yak/100.png", "class 'yak' is not one of the training classes"),
    )
    assert outcome.shortfalls == {"cat": 4}


def test_what_is_held_out_or_there_already_is_refused_by_name():
    query = row(50, part="query")
    gallery = row(51, "dog", "gallery")
    first, dog = row(1), row(2, "dog")
    pool = [
        row(50, part="pool"),
        row(100, part="pool", phash=close(query, 4)),
        row(101, part="pool", phash=close(gallery, 1)),
        row(1, part="pool"),
        row(102, part="pool", phash=close(first, 0)),
        row(103, part="pool", phash=close(dog, 2)),
        row(104, part="pool", phash=close(query, 5)),
    ]
    outcome = extended([first, dog], pool, [query, gallery])
    reasons = {refusal.path: refusal.reason for refusal in outcome.refusals}
    assert reasons == {
        "pool/cat/50.png": "same picture as query/cat/50.png (query)",
        "pool/cat/100.png": "near-duplicate (4 of 64 bits differ) of query/cat/50.png (query)",
        "pool/cat/101.png": (
            "near-duplicate (1 of 64 bits differ) of gallery/dog/51.png (gallery), "
            "there under another class (dog)"
        ),
        "pool/cat/1.png": "same picture as training/cat/1.png (training)",
        "pool/cat/102.png": "near-duplicate (0 of 64 bits differ) of training/cat/1.png (training)",
        "pool/cat/103.png": (
            "near-duplicate (2 of 64 bits differ) of training/dog/2.png (training), "
            "there under another class (dog)"
        ),
    }
    assert added(outcome, "cat") == [f"{104:016x}"]


def test_of_two_near_duplicates_in_the_pool_one_is_added():
    one = row(100, part="pool")
    other = row(101, part="pool", phash=close(one, 3))
    outcome = extended([row(1)], [one, other])
    assert len(added(outcome, "cat")) == 1
    (refusal,) = outcome.refusals
    assert refusal.reason.startswith("near-duplicate (3 of 64 bits differ) of pool/cat/10")
    assert refusal.reason.endswith("(added)")


def test_of_two_near_duplicates_under_different_classes_one_is_added():
    one = row(100, "cat", "pool")
    other = row(101, "dog", "pool", close(one, 3))
    outcome = extended([row(1, "cat"), row(2, "dog")], [one, other])
    assert len(added(outcome, "cat")) + len(added(outcome, "dog")) == 1
    (refusal,) = outcome.refusals
    assert "(pool), there under another class (" in refusal.reason


def test_a_picture_is_not_refused_for_one_that_can_never_be_added():
    """The dog is near to the cat, the cat to a query, but the dog not to the query."""
    query = row(50, part="query")
    for number in range(100, 110):
        cat = row(number, "cat", "pool", close(query, 4))
        dog = row(number + 100, "dog", "pool", close(query, 8))
        outcome = extended([row(1, "cat"), row(2, "dog")], [cat, dog], [query])
        assert added(outcome, "dog") == [dog.id]
        assert [refusal.path for refusal in outcome.refusals] == [cat.path]


def test_plain_pictures_are_distinguished_by_content_only():
    white = "8000000000000000"
    pool = [row(number, part="pool", phash=white) for number in (100, 101, 102)]
    outcome = extended([row(1, phash=white)], pool, [row(100, part="query", phash=white)])
    assert sorted(added(outcome, "cat")) == [f"{101:016x}", f"{102:016x}"]
    assert [refusal.path for refusal in outcome.refusals] == ["pool/cat/100.png"]


def test_only_what_was_considered_before_the_class_was_full_is_listed():
    held_out = rows(range(100, 120), part="query")
    pool = [*rows(range(100, 120)), *rows(range(200, 260))]
    outcome = extended([row(1)], pool, held_out, per_class=6)
    assert len(added(outcome, "cat")) == 5
    assert 0 < len(outcome.refusals) < 20
    everything = extended([row(1)], pool, held_out, per_class=1000)
    assert len(everything.refusals) == 20
    assert everything.refusals[: len(outcome.refusals)] == outcome.refusals


def test_the_choice_follows_the_seed_and_not_the_order_of_the_pool():
    pool = rows(range(100, 160))
    once = added(extended([row(1)], pool, per_class=11, seed=1), "cat")
    assert added(extended([row(1)], pool[::-1], per_class=11, seed=1), "cat") == once
    other = added(extended([row(1)], pool, per_class=11, seed=2), "cat")
    assert set(other) != set(once)
    more = added(extended([row(1)], pool, per_class=21, seed=1), "cat")
    assert more[:10] == once


def test_a_class_gets_the_same_whatever_the_others_have():
    """Also where a picture of the class has a near-duplicate in another class of the pool."""
    cats = rows(range(100, 140), "cat")
    dogs = [row(500 + at, "dog", "pool", close(cat, 2)) for at, cat in enumerate(cats)]
    choices = set()
    for have in (1, 3, 6):
        training = [row(1, "cat"), *rows(range(10, 10 + have), "dog", "training")]
        choices.add(tuple(added(extended(training, cats + dogs, per_class=6), "cat")))
    assert len(choices) == 1
    assert len(choices.pop()) == 5


def test_refusals_survive_their_file(tmp_path):
    refusals = [Refusal('a, "b"\n.png', "class 'ä' is unknown"), Refusal("c.png", "same, again")]
    write_refusals(tmp_path / "refusals.csv", refusals)
    with (tmp_path / "refusals.csv").open(encoding="utf-8", newline="") as file:
        assert [Refusal(**item) for item in csv.DictReader(file)] == refusals
    write_refusals(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text() == "path,reason\n"


@st.composite
def situations(draw):
    """Training, pool and held-out pictures with many near-duplicates and shared contents."""
    centres = [row(number).phash for number in range(1, 7)]
    numbers = iter(draw(st.permutations(range(1, 40))))

    def manifest(part, size):
        return [
            row(
                next(numbers),
                draw(st.sampled_from(["cat", "dog", "cow"])),
                part,
                f"{int(draw(st.sampled_from(centres)), 16) ^ (1 << draw(st.integers(0, 63))):016x}",
            )
            for _ in range(size)
        ]

    training = manifest("training", draw(st.integers(1, 4)))
    held_out = manifest("query", draw(st.integers(0, 4)))
    pool = manifest("pool", draw(st.integers(0, 15)))
    if held_out and draw(st.booleans()):
        pool.append(held_out[0])
    return training, pool, held_out


@settings(max_examples=200, deadline=None)
@given(situations(), st.integers(0, 6), st.integers(0, 12), st.integers(0, 3))
def test_whatever_is_added_is_near_to_nothing(situation, per_class, distance, seed):
    training, pool, held_out = situation
    outcome = extended(training, pool, held_out, per_class, distance, seed)
    new = outcome.manifest.pictures[len(training) :]
    for picture in new:
        for other in [*training, *held_out, *new]:
            if other is not picture:
                bits = int(picture.phash, 16) ^ int(other.phash, 16)
                assert picture.id != other.id
                assert bits.bit_count() > distance
    labels = outcome.manifest.labels
    before = [picture.label for picture in training]
    for label in sorted(set(before)):
        assert labels.count(label) <= max(per_class, before.count(label))
        assert outcome.shortfalls.get(label, 0) == max(0, per_class - labels.count(label))
    assert set(labels) == set(before)
    refused = {refusal.path for refusal in outcome.refusals}
    assert not refused & set(outcome.manifest.paths)


def test_real_folders_are_extended(tmp_path):
    def save(name, seed, **options):
        noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).resize((96, 64)).save(path, **options)

    save("training/cat/1.png", 1)
    save("query/cat/1.png", 2)
    save("pool/cat/copy-of-query.png", 2)
    save("pool/cat/resaved-query.jpg", 2, quality=70)
    save("pool/cat/copy-of-training.png", 1)
    for seed in range(10, 14):
        save(f"pool/cat/{seed}.png", seed)
    parts = {
        part: import_folder(tmp_path / part, part=part, min_side=8, max_pixels=10**6).manifest
        for part in ("training", "query", "pool")
    }
    outcome = extend_training(
        parts["training"], parts["pool"], [parts["query"]], per_class=9, distance=4, seed=0
    )
    assert {Path(path).stem for path in outcome.manifest.paths} == {"1", "10", "11", "12", "13"}
    assert {Path(refusal.path).stem for refusal in outcome.refusals} == {
        "copy-of-query",
        "resaved-query",
        "copy-of-training",
    }
    assert outcome.shortfalls == {"cat": 4}
