"""Pickles are read without being able to run anything that is not on the caller's list."""

import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gallerist.io.errors import UserError
from gallerist.io.unpickling import NUMPY_ARRAYS, packaged_file, restricted_load


class Calls:
    """Pickled as a call of `function`, which an ordinary unpickler makes."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@given(
    npst.arrays(
        st.one_of(
            npst.integer_dtypes(), npst.unsigned_integer_dtypes(), npst.floating_dtypes(),
            npst.boolean_dtypes(),
        ),
        npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
    st.booleans(),
)  # fmt: skip
def test_every_array_of_numbers_is_read_from_every_protocol(array, protocol, column_major):
    array = np.asarray(array, order="F") if column_major else array
    written = pickle.dumps(array, protocol)
    read = restricted_load(io.BytesIO(written), NUMPY_ARRAYS)
    np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(read, pickle.loads(written), strict=True)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_an_array_written_by_the_other_numpy_is_read(protocol):
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    written = pickle.dumps(array, protocol)
    here, there = b"numpy._core", b"numpy.core"
    # In protocol 4 and 5 a text has its length in the byte before it, and a frame holds it all.
    renamed = written.replace(b"c" + here, b"c" + there)
    for module in (b".multiarray", b".numeric"):
        long, short = here + module, there + module
        renamed = renamed.replace(
            bytes([0x8C, len(long)]) + long, bytes([0x8C, len(short)]) + short
        )
    if protocol >= 4:
        frame = renamed.index(b"\x95") + 1
        size = int.from_bytes(renamed[frame : frame + 8], "little")
        size -= len(written) - len(renamed)
        renamed = renamed[:frame] + size.to_bytes(8, "little") + renamed[frame + 8 :]
    assert renamed != written
    np.testing.assert_array_equal(restricted_load(io.BytesIO(renamed), NUMPY_ARRAYS), array)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_without_being_run(tmp_path, protocol):
    trace = tmp_path / "was_here"
    hostile = pickle.dumps(Calls(os.system, f"touch {trace}"), protocol)
    pickle.loads(hostile)
    assert trace.exists(), "the pickle does what it is meant to when read without care"
    trace.unlink()
    with pytest.raises(UserError, match=r"asks for (posix|os|nt)\.system"):
        restricted_load(io.BytesIO(hostile), NUMPY_ARRAYS)
    assert not trace.exists()


@pytest.mark.parametrize(
    "call", [Calls(eval, "1"), Calls(getattr, "a", "upper"), Calls(subprocess.Popen, "true")]
)
def test_a_hostile_object_inside_an_object_array_is_refused(call):
    array = np.array([1, call], dtype=object)
    with pytest.raises(UserError, match=r"eval|getattr|Popen"):
        restricted_load(io.BytesIO(pickle.dumps(array)), NUMPY_ARRAYS)


def test_a_dotted_name_does_not_reach_behind_an_allowed_object():
    # GLOBAL "numpy" "dtype.__class__": an ordinary unpickler follows the dots.
    dotted = b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93."
    assert pickle.loads(dotted) is type(np.dtype)
    with pytest.raises(UserError, match=r"numpy\.dtype\.__class__"):
        restricted_load(io.BytesIO(dotted), NUMPY_ARRAYS)


def test_old_pickles_cannot_choose_another_codec_for_their_bytes():
    import codecs

    with pytest.raises(UserError, match="rot13"):
        restricted_load(io.BytesIO(pickle.dumps(Calls(codecs.encode, "a", "rot13"))), NUMPY_ARRAYS)


def test_the_refusal_names_the_file_the_object_and_what_is_allowed(tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(OrderedDict(a=1)))
    with path.open("rb") as file, pytest.raises(UserError) as refusal:
        restricted_load(file, {("numpy", "dtype"): np.dtype})
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert "collections.OrderedDict" in message
    assert "Allowed: numpy.dtype" in message


def test_pickles_in_a_row_are_read_one_by_one(tmp_path):
    path = tmp_path / "row.pkl"
    path.write_bytes(pickle.dumps({"a": [1]}) + pickle.dumps("two") + b"raw")
    with path.open("rb") as file:
        assert restricted_load(file, {}) == {"a": [1]}
        assert restricted_load(file, {}) == "two"
        assert file.read() == b"raw"


def test_persistent_ids_are_refused_unless_the_caller_knows_them():
    outside = b"\x80\x02X\x05\x00\x00\x00shelfQ."
    with pytest.raises(UserError, match="shelf"):
        restricted_load(io.BytesIO(outside), {})
    assert restricted_load(io.BytesIO(outside), {}, persistent_load=str.upper) == "SHELF"


@given(st.data(), st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_a_pickle_that_is_cut_off_is_refused_wherever_it_ends(data, protocol):
    whole = pickle.dumps(np.arange(5, dtype=np.float32), protocol)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(UserError, match=r"a pickle: not a readable pickle: .+"):
        restricted_load(io.BytesIO(whole[:end]), NUMPY_ARRAYS)


def test_a_packaged_file_is_found_without_importing_its_package():
    look = (
        "import sys; from gallerist.io.unpickling import packaged_file;"
        "print(packaged_file('imagehash', 'imagehash/__init__.py'), 'imagehash' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout.split()  # fmt: skip
    assert Path(answer[0]).read_text(encoding="utf-8")
    assert answer[1] == "False"


def test_a_missing_package_says_how_to_install_it():
    with pytest.raises(UserError, match="pip install no-such-silhouettes"):
        packaged_file("no-such-silhouettes", "data.gz")


def test_a_package_without_the_file_says_which_version_it_is():
    with pytest.raises(UserError, match=rf"version {np.__version__} of the package numpy"):
        packaged_file("numpy", "numpy/no_such_file.gz")
