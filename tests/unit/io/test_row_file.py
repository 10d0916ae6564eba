"""Rows on the disk: plain files, whole or absent, and memory that does not grow with them."""

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peak_memory import needs_linux, peak_megabytes

from gallerist.io import row_file
from gallerist.io.errors import UserError
from gallerist.io.files import remove_leftovers, sha256_of_file
from gallerist.io.row_file import TooLarge, format_size, write_rows


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
    """Rows, and the same rows cut into batches."""
    count, length = draw(st.integers(0, 12)), draw(st.integers(1, 9))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    rows = draw(arrays(np.float32, (count, length), elements=numbers))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=4)))
    return rows, np.split(rows, cuts)


@settings(deadline=None, max_examples=150)
@given(cut=cut_rows())
def test_rows_written_in_batches_are_what_numpy_would_save(tmp_path_factory, cut):
    rows, batches = cut
    folder = tmp_path_factory.mktemp("rows")
    path = folder / "rows.npy"
    written = write_rows(path, iter(batches), count=len(rows), length=rows.shape[1])
    assert path.read_bytes() == saved(folder, rows, "numpy.npy").read_bytes()
    assert written.sha256 == sha256_of_file(path)
    assert written.bytes == path.stat().st_size
    assert (written.count, written.length) == rows.shape
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(mapped, rows, strict=True)


def test_rows_wider_than_a_piece_are_cut_and_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(row_file, "_PIECE", 1000)
    rows = random_rows(count=40, length=333)
    write_rows(tmp_path / "rows.npy", [rows[:33], rows[33:]], count=40)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), rows)


def test_numbers_of_another_type_and_layout_are_converted(tmp_path):
    rows = random_rows(dtype="float64")
    write_rows(tmp_path / "a.npy", [np.asfortranarray(rows)], count=7)
    write_rows(tmp_path / "b.npy", [rows.astype(">f4")[::-1]], count=7)
    assert np.array_equal(np.load(tmp_path / "a.npy"), rows.astype("<f4"))
    assert np.array_equal(np.load(tmp_path / "b.npy"), rows.astype("<f4")[::-1])


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


@pytest.mark.parametrize("value", [3.5e38, -1e300])
def test_a_number_too_large_for_float32_is_refused(tmp_path, value):
    rows = random_rows(dtype="float64")
    rows[4, 2] = value
    number = re.escape(f"{abs(value):.6g}")
    with pytest.raises(TooLarge, match=rf"rows\.npy.* {number} .*3\.40282e\+38"):
        write_rows(tmp_path / "rows.npy", [rows], count=7)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_row(
    tmp_path, monkeypatch, dtype, value
):
    monkeypatch.setattr(row_file, "_PIECE", 50)
    rows = random_rows(dtype=dtype)
    rows[5, 2] = value
    with pytest.raises(UserError, match=r"row 5 has numbers that are not finite"):
        write_rows(tmp_path / "rows.npy", [rows[:2], rows[2:]], count=7)
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
    assert growing.name == f".rows.{program.pid}@{socket.gethostname()}.npy", (
        "it is still written and was not removed"
    )
    program.kill()
    program.wait(30)
    assert not path.exists()
    bystander = path.with_name(f".rows.ids.{program.pid}@{socket.gethostname()}.npy")
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


def test_a_file_that_may_not_grow_further_is_reported_and_removed(tmp_path):
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


def test_a_full_disk_is_reported_and_the_file_removed(tmp_path):
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


MEASURES_MEMORY = """
    import sys, numpy as np
    from gallerist.io.row_file import write_rows

    path, count = sys.argv[1], int(sys.argv[2])
    batch = np.random.default_rng(1).normal(size=(100, 5000)).astype(np.float32)
    write_rows(path, (batch for _ in range(count // 100)), count=count)
"""


@needs_linux
def test_ten_times_the_rows_take_no_more_memory(tmp_path):
    few, many = (peak_megabytes(MEASURES_MEMORY, tmp_path / f"{n}.npy", n) for n in (1000, 10_000))
    assert (tmp_path / "10000.npy").stat().st_size > 180 * 2**20
    assert many - few < 16, f"MB: {few}, {many}"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (8e12, "8.0 TB")],
)
def test_sizes_are_written_in_words(size, words):
    assert format_size(size) == words
