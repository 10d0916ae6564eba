"""Rows of frozen layers: computed once a picture, tied to what made them, on a disk with room."""

import logging
import os
import resource
import shutil
import subprocess
import sys
import textwrap
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from peak_memory import needs_linux, peak_megabytes
from trunk_of_numbers import TrunkOfNumbers, numbered

from gallerist.data.manifest import Manifest
from gallerist.io.errors import UserError
from gallerist.io.row_file import TooLarge
from gallerist.networks.trunk_rows import (
    NoSpace,
    TrunkRows,
    announce_and_check,
    check_trunk,
    in_stored_type,
)


@pytest.fixture
def disk(monkeypatch):
    """Say how much of the disk is free."""

    def with_free(free: int) -> None:
        usage = namedtuple("usage", "total used free")(10**12, 10**12 - free, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)

    return with_free


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_are_computed_once_and_found_by_picture(tmp_path, dtype):
    trunk, images = TrunkOfNumbers(dtype=dtype), numbered(9)
    rows = TrunkRows(trunk, tmp_path)
    rows.fill(Manifest(images.pictures[:5]))
    rows.fill(images, Manifest(images.pictures[2:]))
    assert trunk.asked == images.ids
    again = TrunkRows(TrunkOfNumbers(dtype=dtype), tmp_path)
    again.fill(images)
    assert again.trunk.asked == []
    wanted = [images.ids[each] for each in (8, 0, 3, 0)]
    expected = np.stack([trunk.row(each) for each in wanted])
    for each in (rows, again):
        np.testing.assert_array_equal(each.store.take(wanted), expected, strict=True)
        assert each.store.take(wanted).dtype == dtype


def test_rows_come_kept_or_computed_in_the_order_they_are_asked_for(tmp_path):
    trunk, images = TrunkOfNumbers(), numbered(12)
    rows = TrunkRows(trunk, tmp_path).of(images)
    rows.fill(Manifest(images.pictures[3:6]), Manifest(images.pictures[9:10]))
    trunk.asked.clear()
    given = np.concatenate([*rows.batches(images.paths)])
    np.testing.assert_array_equal(given, np.stack([trunk.row(each) for each in images.ids]))
    assert len(trunk.asked) == 8
    assert len(TrunkRows(TrunkOfNumbers(), tmp_path).store) == 4


def test_missing_rows_are_kept_but_of_pictures_that_pass(tmp_path):
    """A picture that passes and is asked for otherwise too is kept."""
    trunk, images = TrunkOfNumbers(), numbered(9)
    searched, passing = Manifest(images.pictures[:6]), Manifest(images.pictures[5:])
    rows = TrunkRows(trunk, tmp_path).of(searched, passing=[passing])
    rows.keep(images.paths[2:])
    assert trunk.asked == images.ids[2:6]
    rows.keep(images.paths)
    assert trunk.asked == images.ids[2:6] + images.ids[:2]
    again = TrunkRows(TrunkOfNumbers(), tmp_path)
    assert sorted(again.store) == sorted(searched.ids)
    np.testing.assert_array_equal(
        np.concatenate([*rows.batches(images.paths)]), np.stack([*map(trunk.row, images.ids)])
    )


def test_of_two_who_lack_the_same_rows_one_computes_them(tmp_path):
    """The second waits until the first has ended."""
    images, begun, second = numbered(8), threading.Event(), TrunkOfNumbers()

    def slowly():
        begun.set()
        assert not waiting.wait(0.5)

    waiting = threading.Event()
    first = TrunkOfNumbers(before=slowly)
    others = [TrunkRows(each, tmp_path).of(images) for each in (first, second)]

    def wait_for_the_first():
        begun.wait()
        others[1].keep(images.paths)
        waiting.set()

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(others[0].keep, images.paths), pool.submit(wait_for_the_first)]
        for job in jobs:
            job.result()
    assert (first.asked, second.asked) == (images.ids, [])
    np.testing.assert_array_equal(
        np.concatenate([*others[1].batches(images.paths)]),
        np.stack([*map(first.row, images.ids)]),
    )


def test_lost_rows_are_computed_again(tmp_path):
    images = numbered(5)
    rows = TrunkRows(TrunkOfNumbers(), tmp_path)
    rows.fill(images)
    (segment,) = tmp_path.glob("*/*.arrow")
    content = bytearray(segment.read_bytes())
    content[-100] ^= 1
    segment.write_bytes(content)
    again = TrunkRows(TrunkOfNumbers(), tmp_path)
    again.fill(images)
    assert again.trunk.asked == images.ids
    np.testing.assert_array_equal(again.store.take(images.ids), rows.store.take(images.ids))


@pytest.mark.parametrize("other", [{"model": "o"}, {"preprocessing": "o"}, {"dtype": "float16"}])
def test_what_other_layers_or_preparations_give_is_kept_apart(tmp_path, other):
    images = numbered(3)
    TrunkRows(TrunkOfNumbers(), tmp_path).fill(images)
    rows = TrunkRows(TrunkOfNumbers(**other), tmp_path)
    rows.fill(images)
    assert rows.trunk.asked == images.ids


def test_other_trunks_and_preparations_are_refused(tmp_path):
    trunk = TrunkOfNumbers()
    rows = TrunkRows(trunk, tmp_path)
    check_trunk(rows, trunk.model, trunk.preprocessing)
    with pytest.raises(UserError, match=r"other frozen layers \(t{12}\) than .*\(o{12}\)"):
        check_trunk(rows, "o" * 64, trunk.preprocessing)
    with pytest.raises(UserError, match="prepared in another way"):
        check_trunk(rows, trunk.model, "o" * 64)


def test_a_record_says_what_was_computed_and_what_was_there(tmp_path):
    images = numbered(6)
    parts = {"training": Manifest(images.pictures[:4]), "gallery": Manifest(images.pictures[3:])}
    TrunkRows(TrunkOfNumbers(), tmp_path).fill(parts["training"])
    rows = TrunkRows(TrunkOfNumbers(), tmp_path)
    rows.fill(*parts.values())
    metrics = rows.metrics(parts)
    assert (metrics["images"], metrics["training_images"], metrics["gallery_images"]) == (6, 4, 3)
    assert (metrics["vectors_computed"], metrics["vectors_stored"]) == (2, 4)
    assert metrics["extraction_seconds"] > 0


def test_the_need_is_reported_before_the_first_row_is_computed(tmp_path, caplog, disk):
    disk(80_000_000_000)
    trunk = TrunkOfNumbers(before=lambda: said.extend(caplog.messages))
    said = []
    with caplog.at_level(logging.INFO, "gallerist"):
        TrunkRows(trunk, tmp_path).fill(numbered(5))
    (folder,) = tmp_path.iterdir()
    assert said == [f"the rows of frozen layers take 120 bytes of 80.0 GB free in {folder}"]


def test_rows_without_room_are_refused_with_the_ways_out(tmp_path, disk):
    disk(1_200_000_000)
    folder = tmp_path / "not" / "there" / "yet"
    with pytest.raises(NoSpace) as refused:
        announce_and_check(folder, 1_500_000_000, dtype="float32")
    assert str(refused.value) == (
        "The rows of frozen layers take 1.5 GB, and 500.0 MB more should stay free; "
        f"{folder} has 1.2 GB free. Set `trunk_cache: float16` to need half of it, "
        "`trunk_cache: off` to need nothing and compute the frozen layers in every epoch, "
        "or run in a folder on another disk."
    )
    with pytest.raises(NoSpace) as refused:
        announce_and_check(folder, 1_500_000_000, dtype="float16")
    assert "float16" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "margin"), [(0, 500_000_000), (10**9, 500_000_000), (10**11, 10**10)]
)
def test_half_a_gigabyte_or_a_tenth_stays_free(tmp_path, disk, size, margin):
    disk(size + margin)
    announce_and_check(tmp_path, size, dtype="float16")
    disk(size + margin - 1)
    with pytest.raises(NoSpace):
        announce_and_check(tmp_path, size, dtype="float16")


def test_nothing_is_computed_without_room(tmp_path, disk):
    disk(1000)
    rows = TrunkRows(TrunkOfNumbers(), tmp_path)
    with pytest.raises(NoSpace, match="The rows of frozen layers take 120 bytes"):
        rows.fill(numbered(5))
    assert rows.trunk.asked == []
    assert not list(tmp_path.iterdir())


FILLS_THE_DISK = """
    import pathlib, resource, signal, sys
    from gallerist.networks.trunk_rows import NoSpace, TrunkRows
    from trunk_of_numbers import TrunkOfNumbers, numbered

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
    try:
        TrunkRows(TrunkOfNumbers(length=50_000), sys.argv[1]).fill(numbered(40))
    except NoSpace as error:
        print(error)
    print([*pathlib.Path(sys.argv[1]).rglob("*.arrow")])
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on files here")
def test_a_disk_that_fills_meanwhile_is_reported_with_the_ways_out(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FILLS_THE_DISK), tmp_path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        capture_output=True,
    )
    error, left = done.stdout.splitlines()
    assert error.startswith("The rows of frozen layers take more than the disk of ")
    assert "`trunk_cache: float16`" in error
    assert "`trunk_cache: off`" in error
    assert left == "[]"


def test_numbers_are_kept_in_the_type_asked_for_or_the_setting_is_named():
    rows = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    assert np.array_equal(in_stored_type(rows, "float16"), rows.astype(np.float16))
    assert in_stored_type(rows, "float32") is not None
    rows[2, 2] = 1e6
    with pytest.raises(TooLarge, match=r"1e\+06 .*`trunk_cache: float32`"):
        in_stored_type(rows, "float16")
    rows[2, 2] = np.nan
    with pytest.raises(UserError, match="not finite"):
        in_stored_type(rows, "float32")


MEASURES_MEMORY = """
    import sys
    import numpy as np
    from gallerist.networks.trunk_rows import TrunkRows
    from trunk_of_numbers import TrunkOfNumbers, numbered

    images = numbered(int(sys.argv[2]))
    rows = TrunkRows(TrunkOfNumbers(length=10_000), sys.argv[1])
    rows.fill(images)
    order = np.random.default_rng(2).permutation(len(images))
    for start in range(0, len(order), 16):
        rows.store.take([images.ids[each] for each in order[start : start + 16]])
"""


@needs_linux
def test_ten_times_the_pictures_take_little_more_memory(tmp_path):
    """A segment is written at 64 MB, and no more is held."""
    few, many = (peak_megabytes(MEASURES_MEMORY, tmp_path / str(n), n) for n in (1700, 8000))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.arrow")) > 300 * 2**20
    assert many - few < 80, f"MB: {few}, {many}"
