"""Files that are whole or absent, one spelling of JSON, and hashes."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.io.files import (
    canonical_json,
    read_json,
    replacing,
    sha256_of_file,
    sha256_of_text,
    write_json,
    write_text,
)

text = st.text(st.characters(codec="utf-8"), max_size=8)
finite = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


def turned_over(value):
    """The same value with the keys of every dict in the opposite order."""
    if isinstance(value, dict):
        return {key: turned_over(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [turned_over(item) for item in value]
    return value


def in_folder(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_under_its_name_only_when_the_block_has_ended(tmp_path):
    target = tmp_path / "deep" / "vectors.npy"
    with replacing(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.suffix == ".npy"
    assert target.read_bytes() == b"new"
    assert in_folder(target.parent) == ["vectors.npy"]


def test_an_error_leaves_the_old_file_and_no_temporary_one(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def fail():
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise KeyError("in the middle")

    with pytest.raises(KeyError, match="in the middle"):
        fail()
    assert target.read_text() == "old"
    assert in_folder(tmp_path) == ["table.csv"]


def test_a_block_that_writes_nothing_is_an_error_and_not_an_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "nothing.txt"):
        pass
    assert in_folder(tmp_path) == []


def test_a_reader_keeps_the_file_that_it_has_open(tmp_path):
    target = tmp_path / "list.txt"
    write_text(target, "first")
    with target.open() as reader:
        write_text(target, "second")
        assert reader.read() == "first"
    assert target.read_text() == "second"


def test_json_is_readable_text_that_reads_back(tmp_path):
    value = {"name": "Köhler’s 猿", "rate": 0.5, "none": None, "k": [1, 3]}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    assert "Köhler’s 猿" in (tmp_path / "value.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_nan_and_the_old_file_stays(tmp_path, number):
    write_json(tmp_path / "metrics.json", {"rate": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"rate": number})
    assert read_json(tmp_path / "metrics.json") == {"rate": 1}


@given(finite)
def test_canonical_json_does_not_depend_on_the_order_of_keys(value):
    assert canonical_json(value) == canonical_json(turned_over(value))


@given(finite)
def test_canonical_json_loses_nothing(value):
    assert json.loads(canonical_json(value)) == value


@given(finite, finite)
def test_different_values_have_different_canonical_json(one, other):
    if json.loads(json.dumps(one)) != json.loads(json.dumps(other)):
        assert canonical_json(one) != canonical_json(other)


def test_canonical_json_of_a_worked_case():
    assert canonical_json({"b": [1, 2.5, None], "a": {"z": True, "é": "x y"}}) == (
        '{"a":{"z":true,"é":"x y"},"b":[1,2.5,null]}'
    )


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_the_hash_of_a_file_is_that_of_sha256sum(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(os.urandom(3_000_000))
    printed = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
    assert sha256_of_file(path) == printed.stdout.split()[0]


@given(text)
def test_the_hash_of_a_text_is_that_of_its_utf8_bytes(value):
    assert sha256_of_text(value) == hashlib.sha256(value.encode("utf-8")).hexdigest()
