"""Rows by key: found again bit by bit, whatever is killed, damaged or done side by side."""

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peak_memory import needs_linux, peak_megabytes

from gallerist.io import row_store
from gallerist.io.errors import UserError
from gallerist.io.row_store import RowStore

TYPES = ["float16", "float32", "uint8"]


def rows_of(count, length=5, seed=1):
    return np.random.default_rng(seed).random((count, length), dtype=np.float32)


def keys_of(count, first=0):
    return [f"{number:016x}" for number in range(first, first + count)]


def stored(folder, count=6, identity="one", first=0, segments=1):
    store = RowStore(folder, identity)
    keys, rows = keys_of(count, first), rows_of(count, seed=first)
    for some in np.array_split(np.arange(count), segments):
        with store.adding() as additions:
            additions.add([keys[each] for each in some], rows[some])
    return store, keys, rows


def segments_in(folder):
    return sorted(path.name for path in folder.glob("*.arrow"))


@st.composite
def additions(draw):
    """Some keys with any number of rows each, of one length and type."""
    dtype, length = draw(st.sampled_from(TYPES)), draw(st.integers(1, 5))
    keys = draw(st.lists(st.text("0123456789abcdef", min_size=1), unique=True, max_size=12))
    lists = [draw(arrays(dtype, (draw(st.integers(0, 4)), length))) for _ in keys]
    return list(zip(keys, lists, strict=True))


@settings(deadline=None, max_examples=80)
@given(added=additions(), cuts=st.lists(st.integers(0, 12), max_size=4), merged=st.booleans())
def test_what_is_added_is_found_by_its_key(tmp_path_factory, added, cuts, merged):
    folder = tmp_path_factory.mktemp("store")
    store = RowStore(folder, "identity")
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(added)], strict=True):
        with store.adding() as kept:
            for key, rows in added[start:stop]:
                kept.add([key], rows)
    assert store.computed == len(added)
    if merged:
        store.merge()
    for each in (store, RowStore(folder, "identity")):
        assert len(each) == len(added)
        for key, rows in added:
            np.testing.assert_array_equal(each.rows_of(key), rows, strict=True)


@settings(deadline=None, max_examples=60)
@given(count=st.integers(1, 30), segments=st.integers(1, 20), data=st.data())
def test_one_row_a_key_is_taken_in_the_order_of_the_keys(tmp_path_factory, count, segments, data):
    folder = tmp_path_factory.mktemp("store")
    store, keys, rows = stored(folder, count, segments=segments)
    wanted = data.draw(st.lists(st.integers(0, count - 1), max_size=40))
    names = [keys[each] for each in wanted]
    for each in (store, RowStore(folder, "one")):
        if wanted:
            np.testing.assert_array_equal(each.take(names), rows[wanted], strict=True)
        size = data.draw(st.integers(1, 9))
        batches = list(each.batches(names, size))
        assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
        np.testing.assert_array_equal(np.concatenate([rows[:0], *batches]), rows[wanted])


def test_a_segment_is_an_arrow_file_that_others_can_read(tmp_path):
    _, keys, rows = stored(tmp_path)
    (path,) = tmp_path.iterdir()
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.column("key").to_pylist() == keys
    assert table.column("rows").to_pylist() == [[row.tolist()] for row in rows]


def test_what_is_missing_is_named_once_in_its_order(tmp_path):
    store, keys, _ = stored(tmp_path)
    assert store.missing(["x", keys[2], "b", "x", keys[0]]) == ["x", "b"]
    with pytest.raises(UserError, match="has nothing of picture b: run the workflow again"):
        store.take([keys[0], "b"])


@pytest.mark.parametrize("where", [0, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("harm", ["turned", "cut"])
def test_a_damaged_segment_is_named_and_its_rows_are_missing(tmp_path, caplog, where, harm):
    stored(tmp_path, 5)
    _, others, rows = stored(tmp_path, 4, first=100)
    whole = set(segments_in(tmp_path))
    damaged = next(iter(sorted(whole)))
    content = bytearray((tmp_path / damaged).read_bytes())
    place = int(where * len(content))
    content[place] ^= 1
    (tmp_path / damaged).write_bytes(content if harm == "turned" else content[:place])
    store = RowStore(tmp_path, "one")
    assert f"{tmp_path / damaged} is damaged: what was in it is computed again" in caplog.text
    assert segments_in(tmp_path) == sorted(whole - {damaged})
    assert len(store) in (4, 5)
    found = [key for key in others if key in store]
    np.testing.assert_array_equal(store.take(found) if found else rows[:0], rows[: len(found)])


def test_a_segment_of_another_identity_gives_no_row(tmp_path):
    _, keys, _ = stored(tmp_path / "one", identity="one")
    stored(tmp_path / "two", first=50, identity="two")
    for path in (tmp_path / "one").iterdir():
        (tmp_path / "two" / path.name).write_bytes(path.read_bytes())
    assert RowStore(tmp_path / "two", "two").missing(keys) == keys


def test_many_small_segments_become_one_and_all_rows_stay(tmp_path):
    for number in range(row_store.FEW):
        stored(tmp_path, 3, first=10 * number)
    store = RowStore(tmp_path, "one")
    before, seconds = store.take([*store._place]), store.seconds
    assert len(segments_in(tmp_path)) == row_store.FEW
    keys = [*store._place]
    store.merge()
    assert len(segments_in(tmp_path)) == 1
    for each in (store, RowStore(tmp_path, "one")):
        np.testing.assert_array_equal(each.take(keys), before)
        assert each.seconds == pytest.approx(seconds)


def test_a_long_filling_leaves_few_segments(tmp_path, monkeypatch):
    monkeypatch.setattr(row_store, "SECONDS", 0)
    store = RowStore(tmp_path, "one")
    with store.adding() as kept:
        for number, row in enumerate(rows_of(100)):
            kept.add([str(number)], row[None])
            assert len(segments_in(tmp_path)) < row_store.FEW
    assert len(RowStore(tmp_path, "one")) == 100


def test_what_others_add_meanwhile_is_seen_when_asked_for(tmp_path):
    early = RowStore(tmp_path, "one")
    _, keys, rows = stored(tmp_path)
    assert early.missing(keys) == keys
    early.refresh()
    np.testing.assert_array_equal(early.take(keys), rows)


def test_what_was_added_before_an_error_is_kept(tmp_path):
    store = RowStore(tmp_path, "one")
    with contextlib.suppress(RuntimeError), store.adding() as kept:
        kept.add(["a", "b"], rows_of(2))
        raise RuntimeError
    assert RowStore(tmp_path, "one").missing("abc") == ["c"]


def test_unfinished_files_are_left_to_their_writers_for_an_hour(tmp_path):
    store, *_ = stored(tmp_path)
    young, old = tmp_path / ".young.arrow", tmp_path / ".old.arrow"
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    store.merge()
    assert young.exists()
    assert not old.exists()
    assert len(RowStore(tmp_path, "one")) == 6


FILLS = """
    import sys
    import numpy as np
    from gallerist.io import row_store

    row_store.SECONDS = 0.002
    store = row_store.RowStore(sys.argv[1], "one")
    missing = store.missing(f"{number:04x}" for number in range(3000))
    with store.adding() as kept:
        for key in missing:
            rows = np.random.default_rng(int(key, 16)).random((1, 64), dtype=np.float32)
            kept.add([key], rows)
            print(key, flush=True)
    store.merge()
"""


def filling(folder):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(FILLS), str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_filling_killed_at_any_moment_goes_on_and_computes_nothing_stored_again(tmp_path):
    random = np.random.default_rng(3)
    for _ in range(4):
        before = set(RowStore(tmp_path, "one")._place)
        with filling(tmp_path) as process:
            computed = {process.stdout.readline().strip()}
            time.sleep(random.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            computed |= set(process.stdout.read().split("\n")[:-1])
        assert not computed & before
        assert RowStore(tmp_path, "one")._place.keys() >= before
    with filling(tmp_path) as process:
        process.communicate()
    store = RowStore(tmp_path, "one")
    for number in range(0, 3000, 7):
        expected = np.random.default_rng(number).random((1, 64), dtype=np.float32)
        np.testing.assert_array_equal(store.take([f"{number:04x}"]), expected)
    assert len(store) == 3000
    assert not list(tmp_path.glob(".*.arrow")) or len(list(tmp_path.glob(".*.arrow"))) <= 4


@pytest.mark.parametrize("missing", [["MADV_WILLNEED"], ["MADV_WILLNEED", "MADV_DONTNEED"]])
def test_rows_are_read_where_the_kernel_takes_no_advice(tmp_path, monkeypatch, missing):
    for name in missing:
        monkeypatch.delattr(mmap, name, raising=False)
    keys, rows = keys_of(7), rows_of(7, 9000)
    with RowStore(tmp_path, "one").adding() as kept:
        kept.add(keys, rows)
    np.testing.assert_array_equal(RowStore(tmp_path, "one").take([keys[6], keys[2]]), rows[[6, 2]])


def test_taken_rows_are_copies_that_outlive_the_store(tmp_path):
    store, keys, rows = stored(tmp_path)
    taken = store.take([keys[3], keys[3], keys[1]])
    taken[0] = 0
    for path in tmp_path.iterdir():
        path.unlink()
    np.testing.assert_array_equal(taken[1:], rows[[3, 1]])
    np.testing.assert_array_equal(store.take(keys), rows)


def test_several_threads_take_the_right_rows(tmp_path):
    keys, rows = keys_of(300), rows_of(300, 5000)
    with RowStore(tmp_path, "one").adding() as kept:
        kept.add(keys, rows)
    store = RowStore(tmp_path, "one")
    orders = [np.random.default_rng(seed).permutation(300)[:64] for seed in range(40)]
    wanted = [[keys[each] for each in order] for order in orders]
    with ThreadPoolExecutor(4) as threads:
        for order, taken in zip(orders, threads.map(store.take, wanted), strict=True):
            np.testing.assert_array_equal(taken, rows[order])


TAKES_ROWS = """
    import sys
    import numpy as np
    from gallerist.io.row_store import RowStore

    store = RowStore(sys.argv[1], "one")
    random = np.random.default_rng(1)
    for _ in range(int(sys.argv[2])):
        store.take([f"{each:016x}" for each in random.integers(0, 3000, 16)])
"""


@needs_linux
def test_memory_does_not_grow_with_the_rows_taken(tmp_path):
    with RowStore(tmp_path, "one").adding() as kept:
        for first in range(0, 3000, 500):
            kept.add(keys_of(500, first), rows_of(500, 20_000, seed=first))
    little, much = (peak_megabytes(TAKES_ROWS, tmp_path, count) for count in (1, 200))
    assert much - little < 60
