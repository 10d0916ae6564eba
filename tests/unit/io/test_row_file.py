"""Rows on the disk: plain files, whole or absent, and memory that does not grow with them."""

import errno
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gallerist.io import row_file
from gallerist.io.errors import UserError
from gallerist.io.files import remove_leftovers, sha256_of_file
from gallerist.io.row_file import RowFile, TooLarge, file_size, size_in_words, write_rows

TYPES = ["float16", "float32"]


def random_rows(count: int = 7, length: int = 5, dtype: str = "float32", seed: int = 1):
    return np.random.default_rng(seed).normal(size=(count, length)).astype(dtype)


def saved(tmp_path, rows, name: str = "rows.npy"):
    np.save(tmp_path / name, rows, allow_pickle=False)
    return tmp_path / name


def run_python(code: str, *arguments, **options) -> subprocess.CompletedProcess:
    """Run a program of its own, with the library at hand."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=120, **options
    )


@st.composite
def cut_rows(draw):
    """Rows of one of the types, and the same rows cut into batches."""
    dtype = draw(st.sampled_from(TYPES))
    count, length = draw(st.integers(0, 12)), draw(st.integers(1, 9))
    numbers = st.floats(width=int(dtype[-2:]), allow_nan=False, allow_infinity=False)
    rows = draw(arrays(dtype, (count, length), elements=numbers))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=4)))
    return rows, np.split(rows, cuts)


@settings(deadline=None, max_examples=150)
@given(cut=cut_rows(), data=st.data())
def test_rows_written_in_batches_are_what_numpy_would_save(tmp_path_factory, cut, data):
    rows, batches = cut
    folder = tmp_path_factory.mktemp("rows")
    path, dtype = folder / "rows.npy", rows.dtype.name
    written = write_rows(path, iter(batches), count=len(rows), length=rows.shape[1], dtype=dtype)
    assert path.read_bytes() == saved(folder, rows, "numpy.npy").read_bytes()
    assert written.sha256 == sha256_of_file(path)
    assert written.bytes == path.stat().st_size == file_size(*rows.shape, dtype)
    assert (written.count, written.length) == rows.shape
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(mapped, rows, strict=True)

    read = RowFile(path)
    assert (len(read), read.length, read.dtype) == (*rows.shape, rows.dtype)
    every = st.lists(st.integers(0, len(rows) - 1), max_size=30) if len(rows) else st.just([])
    indices = data.draw(every)
    np.testing.assert_array_equal(read.take(indices), rows[np.array(indices, int)], strict=True)
    size = data.draw(st.integers(1, 15))
    blocks = list(read.blocks(size))
    assert all(len(block) == size for block in blocks[:-1])
    np.testing.assert_array_equal(np.concatenate([rows[:0], *blocks]), rows, strict=True)


def test_rows_wider_than_a_piece_are_cut_and_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(row_file, "_PIECE", 1000)
    rows = random_rows(count=40, length=333)
    write_rows(tmp_path / "rows.npy", [rows[:33], rows[33:]], count=40)
    read = RowFile(tmp_path / "rows.npy")
    np.testing.assert_array_equal(np.concatenate(list(read.blocks(17))), rows)
    order = np.random.default_rng(2).permutation(40)
    np.testing.assert_array_equal(read.take(order), rows[order])


def test_numbers_of_another_type_and_layout_are_converted(tmp_path):
    rows = random_rows(dtype="float64")
    write_rows(tmp_path / "a.npy", [np.asfortranarray(rows)], count=7, dtype="float16")
    write_rows(tmp_path / "b.npy", [rows.astype(">f4")[::-1]], count=7, dtype="float32")
    assert np.array_equal(np.load(tmp_path / "a.npy"), rows.astype("<f2"))
    assert np.array_equal(np.load(tmp_path / "b.npy"), rows.astype("<f4")[::-1])


def test_a_file_of_format_2_is_read(tmp_path):
    rows = random_rows()
    with (tmp_path / "rows.npy").open("wb") as file:
        np.lib.format.write_array(file, rows, version=(2, 0))
    np.testing.assert_array_equal(RowFile(tmp_path / "rows.npy").take([6, 0]), rows[[6, 0]])


@pytest.mark.parametrize(
    ("batches", "reason"),
    [
        ([random_rows(3), random_rows(3)], "only 6 of 7 rows came"),
        ([random_rows(3), random_rows(5)], "more rows came than the 7"),
        ([], "their length must be given"),
        ([random_rows(3), random_rows(4, 6)], "row 3 has 6 values instead of 5"),
        ([np.ones((7, 5), int)], r"not as \(7, 5\) int64"),
        ([np.ones(7)], r"not as \(7,\) float64"),
        ([np.ones((7, 0))], "rows of 0 values"),
    ],
)
def test_rows_that_are_not_those_announced_leave_the_file_as_it_was(tmp_path, batches, reason):
    path = saved(tmp_path, random_rows(2))
    before = path.read_bytes()
    with pytest.raises(UserError, match=rf"rows\.npy: .*{reason}"):
        write_rows(path, batches, count=7)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["rows.npy"]


@pytest.mark.parametrize("value", [65504.0, -65504.0, 1e-8])
def test_float16_holds_what_it_can(tmp_path, value):
    write_rows(tmp_path / "rows.npy", [np.full((1, 2), value)], count=1, dtype="float16")
    assert np.load(tmp_path / "rows.npy")[0, 0] == np.float16(value)


@pytest.mark.parametrize("value", [65519.0, 65520.0, -7e4, 3e38])
def test_a_number_too_large_for_float16_is_refused_with_the_remedy(tmp_path, value):
    rows = random_rows()
    rows[4, 2] = value
    number = re.escape(f"{abs(value):.6g}")
    with pytest.raises(TooLarge, match=rf"rows\.npy.* {number} .*65504.*as float32"):
        write_rows(tmp_path / "rows.npy", [rows], count=7, dtype="float16")
    assert not list(tmp_path.iterdir())
    write_rows(tmp_path / "rows.npy", [rows], count=7, dtype="float32")
    assert np.load(tmp_path / "rows.npy")[4, 2] == np.float32(value)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_row(
    tmp_path, monkeypatch, dtype, value
):
    monkeypatch.setattr(row_file, "_PIECE", 50)
    rows = random_rows(dtype=dtype)
    rows[5, 2] = value
    with pytest.raises(UserError, match=r"row 5 has numbers that are not finite"):
        write_rows(tmp_path / "rows.npy", [rows[:2], rows[2:]], count=7, dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_an_error_of_whoever_makes_the_rows_leaves_no_file(tmp_path):
    def batches():
        yield random_rows(3)
        raise LookupError("no more pictures")

    with pytest.raises(LookupError, match="no more pictures"):
        write_rows(tmp_path / "rows.npy", batches(), count=7)
    assert not list(tmp_path.iterdir())


WRITES_HALF = """
    import sys, numpy as np
    from gallerist.io.row_file import write_rows
    from gallerist.workflow.log import stoppable
    def batches():
        yield np.ones((5, 1000))
        print("half", flush=True)
        sys.stdin.read()
        yield np.ones((5, 1000))
    with stoppable():
        write_rows(sys.argv[1], batches(), count=10)
"""


@pytest.fixture
def half_written(tmp_path):
    """A program that has written half a file, and the file."""
    path = tmp_path / "rows.npy"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITES_HALF), path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        assert program.stdout.readline() == "half\n"
        yield program, path
        program.kill()


def test_a_stopped_writer_leaves_nothing(half_written):
    program, path = half_written
    program.send_signal(signal.SIGTERM)
    assert program.wait(30) != 0
    assert not list(path.parent.iterdir())


def test_a_killed_writer_leaves_no_file_and_the_next_one_clears_up(half_written):
    program, path = half_written
    remove_leftovers(path)
    (growing,) = path.parent.iterdir()
    assert growing.name == f".rows.{program.pid}.npy", "it is still written and was not removed"
    program.kill()
    program.wait(30)
    assert not path.exists()
    bystander = path.with_name(f".rows.ids.{program.pid}.npy")
    bystander.touch()
    write_rows(path, [random_rows()], count=7)
    assert set(path.parent.iterdir()) == {path, bystander}


FILLS_THE_DISK = """
    import pathlib, resource, sys, numpy as np
    from gallerist.io.row_file import DiskFull, write_rows
    folder, limit = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write_rows(folder / "rows.npy", (np.ones((10, 50_000)) for _ in range(4)), count=40)
    except DiskFull as error:
        print(error)
    print(list(folder.iterdir()))
"""


def test_a_file_that_may_not_grow_further_is_told_and_removed(tmp_path):
    told = run_python(FILLS_THE_DISK, tmp_path, 5_000_000).stdout.splitlines()
    assert told == [
        f"{tmp_path}/rows.npy: the disk took 5.0 MB of 8.0 MB and no more "
        f"({os.strerror(errno.EFBIG)}). The unfinished file has been removed.",
        "[]",
    ]


def on_a_small_disk(folder, code: str) -> list[str]:
    """Run a program that finds a file system of 5 MB at `folder`; what it prints. Or skip."""
    mounted = 'mount -t tmpfs -o size=5m none "$1" || exit 77; exec "$2" -c "$3" "$1" 0'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]
    if shutil.which("unshare"):
        done = subprocess.run(
            [*command, folder, sys.executable, textwrap.dedent(code)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return done.stdout.splitlines()
        assert done.returncode in (1, 77), done.stderr
    pytest.skip("this machine does not let its users mount a small file system")


def test_a_full_disk_is_told_and_the_file_removed(tmp_path):
    told = on_a_small_disk(tmp_path, FILLS_THE_DISK)
    full = re.escape(os.strerror(errno.ENOSPC))
    assert re.fullmatch(rf".*/rows\.npy: the disk took 5\.\d MB of 8\.0 MB .*\({full}\).*", told[0])
    assert told[1] == "[]"


def test_a_full_disk_elsewhere_is_not_blamed_on_this_file(tmp_path):
    def batches():
        yield random_rows(3)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/elsewhere/cache")

    with pytest.raises(OSError, match="/elsewhere/cache"):
        write_rows(tmp_path / "rows.npy", batches(), count=7)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.ones((2, 3)), r"\(2, 3\) <f8"),
        (np.ones((2, 3), ">f4"), r"\(2, 3\) >f4"),
        (np.ones((2, 3), np.int16), r"\(2, 3\) <i2"),
        (np.ones(3, np.float32), r"\(3,\) <f4"),
        (np.ones((2, 3, 4), np.float32), r"\(2, 3, 4\) <f4"),
        (np.asfortranarray(np.ones((2, 3), np.float32)), r"\(2, 3\) <f4 by column"),
    ],
)
def test_another_array_is_no_file_of_rows(tmp_path, array, reason):
    with pytest.raises(UserError, match=rf"rows\.npy is not a whole file of rows: .*{reason}"):
        RowFile(saved(tmp_path, array))


def test_a_pickle_is_not_loaded(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([[{"any": "object"}]]), allow_pickle=True)
    with pytest.raises(UserError, match=r"\(1, 1\) \|O"):
        RowFile(tmp_path / "rows.npy")


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\0"])
def test_a_file_of_another_length_is_refused(tmp_path, change):
    path = saved(tmp_path, random_rows())
    content = change(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"it has {len(content)} bytes instead of 268"):
        RowFile(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"rows\.npy"):
        RowFile(tmp_path / "rows.npy")


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_damaged_header_is_refused_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    np.save(path, random_rows())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.one_of(st.just(None), st.integers(0, 268)))])
    try:
        read = RowFile(path)
    except UserError:
        return
    assert read.take(range(len(read))).shape == (len(read), read.length)


@pytest.mark.parametrize("indices", [[0, 7], [-1], [0.0], [True], [[0, 1]], 3, ["0"], [2**63]])
def test_positions_that_are_none_are_refused(tmp_path, indices):
    read = RowFile(saved(tmp_path, random_rows()))
    with pytest.raises(IndexError, match=r"whole numbers|there is no row (7|-1|9223372036\d+) "):
        read.take(indices)


def test_blocks_of_no_row_are_refused(tmp_path):
    with pytest.raises(ValueError, match="blocks of 0 rows"):
        list(RowFile(saved(tmp_path, random_rows())).blocks(0))


def test_taken_rows_are_copies_that_outlive_the_file(tmp_path):
    rows = random_rows()
    path = saved(tmp_path, rows)
    read = RowFile(path)
    taken = read.take([3, 3, 1])
    taken[0] = 0
    path.unlink()
    np.testing.assert_array_equal(taken[1:], rows[[3, 1]])
    np.testing.assert_array_equal(read.mapped, rows)
    assert not read.mapped.flags.writeable


@pytest.mark.parametrize("missing", [["MADV_WILLNEED"], ["MADV_WILLNEED", "MADV_DONTNEED"]])
def test_rows_are_read_where_the_kernel_takes_no_advice(tmp_path, monkeypatch, missing):
    for name in missing:
        monkeypatch.delattr(mmap, name, raising=False)
    rows = random_rows()
    read = RowFile(saved(tmp_path, rows))
    np.testing.assert_array_equal(read.take([6, 2]), rows[[6, 2]])
    np.testing.assert_array_equal(np.concatenate(list(read.blocks(3))), rows)


def test_several_threads_take_the_right_rows(tmp_path):
    rows = random_rows(count=300, length=5000)
    read = RowFile(saved(tmp_path, rows))
    orders = [np.random.default_rng(seed).permutation(300)[:64] for seed in range(40)]
    with ThreadPoolExecutor(4) as threads:
        for order, taken in zip(orders, threads.map(read.take, orders), strict=True):
            np.testing.assert_array_equal(taken, rows[order])


MEASURES_MEMORY = """
    import sys, numpy as np
    from gallerist.io.row_file import RowFile, write_rows

    def peak():  # not ru_maxrss, which a child inherits from a large parent
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    path, count, dtype = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    batch = np.random.default_rng(1).normal(size=(100, 5000)).astype(np.float32)
    write_rows(path, (batch for _ in range(count // 100)), count=count, dtype=dtype)
    written = peak()
    read = RowFile(path)
    order = np.random.default_rng(2).permutation(count)
    for start in range(0, count, 16):
        read.take(order[start : start + 16])
    taken = peak()
    for block in read.blocks(100):
        pass
    print(written, taken, peak())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("dtype", TYPES)
def test_ten_times_the_rows_take_no_more_memory(tmp_path, dtype):
    few, many = (
        np.array(run_python(MEASURES_MEMORY, path, count, dtype).stdout.split(), int) / 1024
        for path, count in [(tmp_path / "few.npy", 1000), (tmp_path / "many.npy", 10_000)]
    )
    size = (tmp_path / "many.npy").stat().st_size / 2**20
    assert size > 90
    assert np.all(many - few < 16), f"MB after writing, taking, blocks: {few}, {many}"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (8e12, "8.0 TB")],
)
def test_sizes_are_said_in_words(size, words):
    assert size_in_words(size) == words
