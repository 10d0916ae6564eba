import csv
from pathlib import Path

import imagehash
import numpy as np
import pytest
from checkout import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from gallerist.data import near_duplicates
from gallerist.data.importing import import_folder
from gallerist.data.manifest import Manifest, Picture
from gallerist.data.near_duplicates import (
    Leak,
    find_leaks,
    is_telling,
    near_pairs,
    near_pictures,
    summarise_leaks,
    write_leaks,
)

HASH = "0123456789abcdef"  # 32 bits set


def flipped(digits, bits):
    """The hash with its lowest `bits` bits turned over."""
    return f"{int(digits, 16) ^ (2**bits - 1):016x}"


def row(identity, phash=HASH, label="cat", part="training"):
    identity = f"{identity:>016}"
    path = f"{part}/{label}/{identity}.png"
    return Picture(identity, path, label, part, identity, 9, 9, phash)


def photo(seed, width=96, height=64):
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@st.composite
def hashes(draw):
    """Hashes of which some are close to each other."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    close = st.builds(
        lambda centre, bits: centre ^ sum(1 << bit for bit in bits),
        st.sampled_from(centres),
        st.sets(st.integers(0, 63), max_size=12),
    )
    return [f"{number:016x}" for number in draw(st.lists(close, max_size=12))]


def distance_by_imagehash(one, other):
    return int(imagehash.hex_to_hash(one) - imagehash.hex_to_hash(other))


@settings(max_examples=150, deadline=None)
@given(hashes(), hashes(), st.integers(0, 64), st.integers(1, 30))
def test_near_pairs_are_those_that_imagehash_finds_one_by_one(a, b, distance, block):
    expected = [
        (i, j, bits)
        for i, one in enumerate(a)
        for j, other in enumerate(b)
        if (bits := distance_by_imagehash(one, other)) <= distance
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_COMPARISONS", block)
        assert near_pairs(a, b, distance) == expected
        within = [(i, j, bits) for i, j, bits in near_pairs(a, a, distance) if i < j]
        assert near_pairs(a, None, distance) == within


def test_nothing_is_near_to_an_empty_list():
    assert near_pairs([], [], 64) == []
    assert near_pairs([HASH], [], 64) == []
    assert near_pairs([], None, 64) == []
    assert near_pairs([HASH], None, 64) == []


def test_many_hashes_are_compared_in_blocks_of_bounded_size(monkeypatch):
    numbers = np.random.default_rng(0).integers(0, 2**63, 6000, dtype=np.uint64)
    many = [f"{number:016x}" for number in numbers.tolist()]
    planted = [*many[:3000], flipped(many[4321], 3), *many[3000:5000]]
    largest = 0
    count = np.bitwise_count

    def measured(block):
        nonlocal largest
        largest = max(largest, block.size)
        return count(block)

    monkeypatch.setattr(near_duplicates.np, "bitwise_count", measured)
    pairs = near_pairs(many, planted, 3)
    assert (4321, 3000, 3) in pairs
    assert len(pairs) == 5001
    assert largest <= near_duplicates._COMPARISONS < 6000 * 5001 / 100


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((40, 60, 3)),
        np.full((40, 60, 3), 255),
        np.full((40, 60, 3), 7),
        np.zeros((40, 60, 3)) + np.array([200, 10, 90]),
        np.zeros((64, 64, 3)) + np.arange(0, 256, 4)[:, None],  # a gradient
        np.zeros((64, 64, 3)) + (np.arange(64) // 9 % 2 * 255)[:, None, None],  # stripes
    ],
)
def test_plain_pictures_have_no_telling_hash(pixels):
    for turned in (pixels, pixels.transpose(1, 0, 2)):
        picture = Image.fromarray(np.ascontiguousarray(turned, dtype=np.uint8))
        assert not is_telling(str(imagehash.phash(picture)))


def test_a_picture_has_a_telling_hash():
    assert all(is_telling(str(imagehash.phash(photo(seed)))) for seed in range(50))
    on_white = Image.new("RGB", (200, 200), "white")
    on_white.paste("black", (90, 120, 110, 150))
    assert is_telling(str(imagehash.phash(on_white)))


def test_leaks_are_distinguished_as_exact_and_near():
    parts = {
        "training": Manifest((row(1), row(2, "f" * 16), row(3, flipped(HASH, 4)))),
        "gallery": Manifest(
            (row(1, part="gallery", label="dog"), row(4, flipped(HASH, 2), part="gallery"))
        ),
        "query": Manifest((row(5, flipped(HASH, 9), part="query"),)),
    }
    leaks = find_leaks(parts, distance=4)
    assert [(leak.kind, leak.path_a[-5], leak.path_b[-5], leak.bits) for leak in leaks] == [
        ("exact", "1", "1", 0),
        ("near", "1", "4", 2),
        ("near", "3", "1", 4),
        ("near", "3", "4", 2),
    ]
    assert leaks[0] == Leak(
        kind="exact",
        part_a="training",
        path_a="training/cat/0000000000000001.png",
        label_a="cat",
        part_b="gallery",
        path_b="gallery/dog/0000000000000001.png",
        label_b="dog",
        bits=0,
    )


def test_copies_within_one_part_are_no_leak():
    assert find_leaks({"training": Manifest((row(1), row(2))), "query": Manifest(())}, 64) == []


def test_plain_pictures_leak_only_when_their_files_are_equal():
    white, black = "8000000000000000", "0000000000000000"
    parts = {
        "gallery": Manifest((row(1, white), row(2, black), row(3, white))),
        "query": Manifest((row(4, white), row(5, black), row(3, white))),
    }
    assert [(leak.kind, leak.bits) for leak in find_leaks(parts, 64)] == [("exact", 0)]
    assert near_pictures(parts["gallery"], None, 64) == []


def test_the_summary_counts_every_pair_of_parts_with_zeros():
    parts = {
        "training": Manifest((row(1), row(2, flipped(HASH, 1)))),
        "gallery": Manifest((row(1),)),
        "query": Manifest((row(9, "f" * 16),)),
    }
    assert summarise_leaks(find_leaks(parts, 2), list(parts)) == {
        "exact_training_gallery": 1,
        "near_training_gallery": 1,
        "exact_training_query": 0,
        "near_training_query": 0,
        "exact_gallery_query": 0,
        "near_gallery_query": 0,
    }


def test_leaks_survive_their_file(tmp_path):
    leaks = [
        Leak("near", "gallery", 'a, "b"\n.png', "cät", "query", "c.png", "dog", 3),
        Leak("exact", "gallery", "a.png", "cat", "query", " d .png", "cat", 0),
    ]
    write_leaks(tmp_path / "leaks.csv", leaks)
    with (tmp_path / "leaks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Leak(**{**item, "bits": int(item["bits"])}) for item in rows] == leaks
    write_leaks(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text().startswith("kind,part_a,path_a,label_a,part_b,")


def test_a_resaved_shrunk_and_brightened_picture_is_found(tmp_path):
    for seed in range(12):
        for part in ("gallery", "query"):
            (tmp_path / part / "cat").mkdir(parents=True, exist_ok=True)
        photo(seed).save(tmp_path / "gallery/cat" / f"{seed}.png")
        photo(100 + seed).save(tmp_path / "query/cat" / f"{seed}.png")
    photo(3).resize((48, 32)).save(tmp_path / "query/cat/shrunk.png")
    photo(5).save(tmp_path / "query/cat/resaved.jpg", quality=60)
    ImageEnhance.Brightness(photo(7)).enhance(0.9).save(tmp_path / "query/cat/darker.png")
    for colour in ("white", "black", "grey"):
        Image.new("RGB", (64, 64), colour).save(tmp_path / "gallery/cat" / f"{colour}.png")
        Image.new("RGB", (50, 64), colour).save(tmp_path / "query/cat" / f"{colour}.png")
    parts = {
        part: import_folder(tmp_path / part, part=part, min_side=8, max_pixels=10**6).manifest
        for part in ("gallery", "query")
    }
    found = {(Path(leak.path_a).stem, Path(leak.path_b).stem) for leak in find_leaks(parts, 4)}
    assert found == {("3", "shrunk"), ("5", "resaved"), ("7", "darker")}


def test_the_copies_in_the_shared_photos_are_found():
    folder = SHARED / "data" / "monkeys10" / "validation"
    if not folder.is_dir():
        pytest.skip("the shared data set monkeys10 is absent")
    parts = {
        part: import_folder(
            folder / part, part=part, min_side=8, max_pixels=10**8, threads=2
        ).manifest
        for part in ("gallery", "query")
    }
    exact = [leak for leak in find_leaks(parts, 4) if leak.kind == "exact"]
    contents = [
        {Path(path).read_bytes() for path in parts[part].paths} for part in ("gallery", "query")
    ]
    assert len(exact) == len(contents[0] & contents[1])
    for leak in exact:
        assert Path(leak.path_a).read_bytes() == Path(leak.path_b).read_bytes()
