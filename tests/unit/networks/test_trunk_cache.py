"""Trunk rows found by picture, tied to what made them, on a disk that has room for them."""

import logging
import os
import resource
import shutil
import subprocess
import sys
import textwrap
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peak_memory import needs_linux, peak_megabytes

from gallerist.io.errors import UserError
from gallerist.io.files import read_json, sha256_of_file, write_json
from gallerist.io.row_file import TooLarge, file_size
from gallerist.networks.trunk_cache import (
    JoinedRows,
    NoSpace,
    TrunkCache,
    announce_and_check,
    check_trunk,
    write_trunk_cache,
)

TRUNK, PREPROCESSING = "t" * 64, "p" * 64


def stored(folder, part: str = "training"):
    return {
        "rows": folder / f"{part}.npy",
        "ids_file": folder / f"{part}.ids.csv",
        "origin": folder / f"{part}.origin.json",
    }


def read(folder, part: str = "training") -> TrunkCache:
    return TrunkCache.read(*stored(folder, part).values())


def ids_of(part: str, count: int) -> list[str]:
    return [f"{part}-{number:04x}" for number in range(count)]


def random_rows(count: int = 5, values: int = 6, dtype: str = "float32", seed: int = 0):
    return np.random.default_rng(seed).normal(size=(count, values)).astype(dtype)


def written(folder, part: str = "training", rows=None, **changes) -> TrunkCache:
    rows = random_rows() if rows is None else rows
    settings = {
        "ids": ids_of(part, len(rows)),
        "part": part,
        "trunk": TRUNK,
        "preprocessing": PREPROCESSING,
        "values": rows.shape[1],
        "dtype": rows.dtype.name,
    }
    batches = changes.pop("batches", [rows])
    return write_trunk_cache(batches, **stored(folder, part), **settings | changes)


@pytest.fixture
def disk(monkeypatch):
    """Say how much of the disk is free."""

    def with_free(free: int) -> None:
        usage = namedtuple("usage", "total used free")(10**12, 10**12 - free, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)

    return with_free


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    values=st.integers(1, 5),
    dtype=st.sampled_from(["float16", "float32"]),
    data=st.data(),
)
def test_caches_joined_are_their_rows_below_one_another(
    tmp_path_factory, counts, values, dtype, data
):
    folder = tmp_path_factory.mktemp("joined")
    parts = [random_rows(count, values, dtype, seed=seed) for seed, count in enumerate(counts)]
    for number, rows in enumerate(parts):
        written(folder, f"part{number}", rows, batches=np.array_split(rows, 2))
    caches = [read(folder, f"part{number}") for number in range(len(parts))]
    for cache, rows in zip(caches, parts, strict=True):
        np.testing.assert_array_equal(
            np.concatenate([rows[:0], *cache.rows.blocks(4)]), rows, strict=True
        )
    joined, together = JoinedRows(caches), np.concatenate(parts)
    ids = [each for cache in caches for each in cache.ids]
    assert joined.ids == tuple(ids)
    every = st.lists(st.integers(0, len(ids) - 1), max_size=20) if ids else st.just([])
    indices = np.array(data.draw(every), dtype=int)
    np.testing.assert_array_equal(joined.take(indices), together[indices], strict=True)
    wanted = [ids[index] for index in indices]
    np.testing.assert_array_equal(joined.positions_of(wanted), indices)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 9), st.integers(1, 9), st.sampled_from(["float16", "float32"]))
def test_the_need_is_the_size_of_the_file(tmp_path_factory, images, values, dtype):
    folder = tmp_path_factory.mktemp("need")
    cache = written(folder, rows=random_rows(images, values, dtype))
    assert file_size(images, values, dtype) == cache.rows.path.stat().st_size


def test_the_need_of_a_large_cache_is_known_without_it():
    assert file_size(15_000, 50_176, "float16") == 15_000 * 50_176 * 2 + 128


def test_the_files_are_plain_and_say_what_they_are(tmp_path):
    rows = random_rows(dtype="float16")
    made = written(tmp_path, rows=rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "training.ids.csv",
        "training.npy",
        "training.origin.json",
    ]
    np.testing.assert_array_equal(np.load(tmp_path / "training.npy"), rows, strict=True)
    assert (tmp_path / "training.ids.csv").read_text().splitlines() == ["id", *made.ids]
    assert read_json(tmp_path / "training.origin.json") == {
        "trunk": TRUNK,
        "preprocessing": PREPROCESSING,
        "dtype": "float16",
        "images": 5,
        "values": 6,
        "rows": sha256_of_file(tmp_path / "training.npy"),
        "ids": sha256_of_file(tmp_path / "training.ids.csv"),
    }
    opened = read(tmp_path)
    assert (opened.trunk, opened.preprocessing) == (made.trunk, made.preprocessing)
    assert (opened.rows.length, opened.rows.dtype, opened.ids) == (6, np.float16, made.ids)


def test_rows_are_found_by_picture(tmp_path):
    rows = random_rows()
    joined = JoinedRows([written(tmp_path, rows=rows)])
    wanted = ["training-0003", "training-0000", "training-0003"]
    assert joined.positions_of(wanted).tolist() == [3, 0, 3]
    np.testing.assert_array_equal(joined.take(joined.positions_of(wanted)), rows[[3, 0, 3]])
    assert joined.take(joined.positions_of([])).shape == (0, 6)
    with pytest.raises(UserError, match=r"no row of picture training-9999.*made again"):
        joined.positions_of(["training-0001", "training-9999"])


def test_a_picture_listed_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="picture b is listed twice"):
        written(tmp_path, ids=["a", "b", "c", "b", "d"])
    assert not list(tmp_path.iterdir())


def test_other_trunks_and_preparations_are_refused(tmp_path):
    cache = written(tmp_path)
    check_trunk(cache, TRUNK, PREPROCESSING)
    with pytest.raises(UserError, match=r"training\.npy .*\(t{12}\) than .*\(o{12}\)"):
        check_trunk(cache, "o" * 64, PREPROCESSING)
    with pytest.raises(UserError, match=r"training\.npy .*prepared in another way"):
        check_trunk(cache, TRUNK, "o" * 64)


@pytest.mark.parametrize("name", ["rows", "ids_file", "origin"])
def test_files_of_two_caches_of_one_shape_are_not_mixed(tmp_path, name):
    written(tmp_path)
    written(tmp_path, "validation", random_rows(seed=1))
    shutil.copy(stored(tmp_path, "validation")[name], stored(tmp_path)[name])
    with pytest.raises(UserError, match=r"is not the file that .*training\.origin\.json"):
        read(tmp_path)


def test_one_changed_number_is_noticed(tmp_path):
    cache = written(tmp_path)
    content = bytearray(cache.rows.path.read_bytes())
    content[-2] ^= 1
    cache.rows.path.write_bytes(content)
    with pytest.raises(UserError, match=r"training\.npy is not the file that"):
        read(tmp_path)


def test_a_file_cut_short_is_refused(tmp_path):
    path = written(tmp_path).rows.path
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"training\.npy is not a whole file of rows"):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"images": 4}, {"values": 7}, {"dtype": "float16"}],
)
def test_a_description_of_another_shape_is_refused(tmp_path, change):
    written(tmp_path)
    origin = stored(tmp_path)["origin"]
    write_json(origin, read_json(origin) | change)
    with pytest.raises(UserError, match=r"training\.npy is not the file that"):
        read(tmp_path)


def test_what_does_not_belong_together_is_not_joined(tmp_path):
    first = written(tmp_path)
    other = {
        "made by other frozen layers": written(tmp_path, "a", trunk="o" * 64),
        "prepared in another way": written(tmp_path, "b", preprocessing="o" * 64),
        "picture training-0002 is listed twice": written(
            tmp_path, "e", random_rows(1), ids=["training-0002"]
        ),
    }
    for reason, cache in other.items():
        with pytest.raises(UserError, match=reason):
            JoinedRows([first, cache])


@pytest.mark.parametrize("indices", [[10], [-1], [0.5]])
def test_positions_beyond_all_joined_rows_are_refused(tmp_path, indices):
    joined = JoinedRows([written(tmp_path), written(tmp_path, "validation")])
    with pytest.raises(IndexError, match=r"no row|whole numbers"):
        joined.take(indices)


def test_the_need_is_told_before_the_first_row_is_computed(tmp_path, caplog, disk):
    disk(80_000_000_000)
    said = []

    def batches():
        said.extend(caplog.messages)
        yield random_rows()

    with caplog.at_level(logging.INFO, "gallerist"):
        written(tmp_path / "trunks", batches=batches())
    assert said == [
        "the trunk cache of training takes 248 bytes of 80.0 GB free in " + str(tmp_path / "trunks")
    ]


def test_a_cache_without_room_is_refused_with_the_ways_out(tmp_path, disk):
    disk(1_200_000_000)
    folder = tmp_path / "not" / "there" / "yet"
    with pytest.raises(NoSpace) as refused:
        announce_and_check(folder, 1_500_000_000, part="training", dtype="float32")
    assert str(refused.value) == (
        "The trunk cache of training takes 1.5 GB, and 500.0 MB more should stay free; "
        f"{folder} has 1.2 GB free. Set `trunk_cache: float16` to need half of it, "
        "`trunk_cache: off` to need nothing and compute the frozen layers in every epoch, "
        "or run in a folder on another disk."
    )
    with pytest.raises(NoSpace) as refused:
        announce_and_check(folder, 1_500_000_000, part="training", dtype="float16")
    assert "float16" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "margin"), [(0, 500_000_000), (10**9, 500_000_000), (10**11, 10**10)]
)
def test_half_a_gigabyte_or_a_tenth_stays_free(tmp_path, disk, size, margin):
    disk(size + margin)
    announce_and_check(tmp_path, size, part="training", dtype="float16")
    disk(size + margin - 1)
    with pytest.raises(NoSpace):
        announce_and_check(tmp_path, size, part="training", dtype="float16")


def test_nothing_is_computed_or_left_without_room(tmp_path, disk):
    written(tmp_path)
    disk(1000)

    def batches():
        raise AssertionError("asked for rows that there is no room for")
        yield

    with pytest.raises(NoSpace, match="The trunk cache of training takes 248 bytes"):
        written(tmp_path, batches=batches())
    assert not list(tmp_path.iterdir())


FILLS_THE_DISK = """
    import pathlib, resource, sys, numpy as np
    from gallerist.networks.trunk_cache import NoSpace, write_trunk_cache
    folder = pathlib.Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
    try:
        write_trunk_cache(
            (np.ones((10, 50_000)) for _ in range(4)), list(map(str, range(40))), part="query",
            trunk="t", preprocessing="p", values=50_000, dtype="float32",
            rows=folder / "a.npy", ids_file=folder / "a.csv", origin=folder / "a.json",
        )
    except NoSpace as error:
        print(error)
    print(list(folder.iterdir()))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on files here")
def test_a_disk_that_fills_meanwhile_is_told_with_the_ways_out(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FILLS_THE_DISK), tmp_path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        capture_output=True,
    )
    error, left = done.stdout.splitlines()
    assert error.startswith("The trunk cache of query takes more than the disk had free. ")
    assert "the disk took 5.0 MB of 8.0 MB and no more" in error
    assert "`trunk_cache: float16`" in error
    assert "`trunk_cache: off`" in error
    assert left == "[]"


def test_a_number_too_large_for_float16_names_the_setting(tmp_path):
    rows = random_rows()
    rows[2, 2] = 1e6
    with pytest.raises(TooLarge, match=r"training\.npy: .* 1e\+06 .*`trunk_cache: float32`"):
        written(tmp_path, rows=rows, dtype="float16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("batches", [[random_rows(4)], [random_rows(), random_rows()]])
def test_another_number_of_rows_leaves_nothing_of_the_old_cache_either(tmp_path, batches):
    written(tmp_path)
    with pytest.raises(UserError, match="rows came"):
        written(tmp_path, batches=batches)
    assert not list(tmp_path.iterdir())


def test_a_cache_is_open_while_another_takes_its_place(tmp_path):
    old, new = random_rows(seed=1), random_rows(seed=2)
    cache = written(tmp_path, rows=old)
    written(tmp_path, rows=new)
    np.testing.assert_array_equal(cache.rows.take(range(5)), old)
    np.testing.assert_array_equal(read(tmp_path).rows.take(range(5)), new)


MEASURES_MEMORY = """
    import sys, numpy as np
    from gallerist.networks.trunk_cache import JoinedRows, TrunkCache, write_trunk_cache

    folder, count = sys.argv[1], int(sys.argv[2])
    batch = np.random.default_rng(1).normal(size=(100, 5000)).astype(np.float32)
    caches = []
    for part in "ab":
        paths = [f"{folder}/{part}.{count}.{suffix}" for suffix in ("npy", "ids.csv", "json")]
        write_trunk_cache(
            (batch for _ in range(count // 100)), [f"{part}{i}" for i in range(count)], part=part,
            trunk="t", preprocessing="p", values=5000, dtype="float32",
            rows=paths[0], ids_file=paths[1], origin=paths[2],
        )
        caches.append(TrunkCache.read(*paths))
    joined = JoinedRows(caches)
    order = np.random.default_rng(2).permutation(len(joined.ids))
    for start in range(0, len(order), 16):
        joined.take(order[start : start + 16])
"""


@needs_linux
def test_ten_times_the_pictures_take_no_more_memory(tmp_path):
    few, many = (peak_megabytes(MEASURES_MEMORY, tmp_path, count) for count in (500, 5000))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.5000.npy")) > 190 * 2**20
    assert many - few < 16, f"MB: {few}, {many}"


@pytest.mark.parametrize("text", ["", '{"trunk": "tt', "[]", "{}"])
def test_an_origin_that_is_cut_short_is_named_with_the_mend(tmp_path, text):
    written(tmp_path)
    origin = stored(tmp_path)["origin"]
    origin.write_text(text)
    with pytest.raises(UserError, match=rf"{origin.name} is damaged\. Remove it, "):
        read(tmp_path)
