"""A configuration's file: what others drop in silence is a problem, and every one is named."""

import os
import subprocess
import sys

import pytest
import yaml
from checkout import CHECKOUT, SCRIPTS
from hypothesis import given
from hypothesis import strategies as st

from gallerist.config import reading
from gallerist.config.completion import read
from gallerist.config.reading import MOST_BYTES, ConfigurationError, Unreadable, load
from snakemake_logger_plugin_gallerist import configuration_files


@pytest.fixture
def put(tmp_path):
    def write(text, name="own.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def problems(path):
    with pytest.raises(Unreadable) as told:
        load(path)
    for problem in told.value.problems:
        assert str(path) in problem
        assert "\n" not in problem
    return told.value.problems


@pytest.mark.parametrize(
    "file", sorted((CHECKOUT / "config").glob("*.yaml")), ids=lambda path: path.name
)
def test_every_configuration_that_comes_along_is_read_as_by_yaml(file):
    assert load(file) == yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("experiments:\n  hist: {descriptor: hog}\n  hist: {descriptor: gist}\n",
         ["experiments.hist is written twice, in lines 2 and 3"]),
        ("a: 1\nb: 2\na: 3\nb: 4\n", ["a is written twice, in lines 1 and 3",
                                       "b is written twice, in lines 2 and 4"]),
        ("a: {b: [{c: 1, c: 2}]}", ["a.b[0].c is written twice, in lines 1 and 1"]),
        ("yes: 1\non: 2\n", ["True is written twice"]),
        ('{"a": {"b": 1, "b": 2}}', ["'b' is written twice in one group"]),
        ("x: &x {b: 1, b: 2}\ny: *x\nz: *x\n", ["x.b is written twice, in lines 1 and 1"]),
    ],
)  # fmt: skip
def test_a_key_that_is_written_twice_is_named_with_its_lines(put, text, said):
    found = problems(put(text))
    assert len(found) == len(said)
    for problem, start in zip(found, said, strict=True):
        assert problem.startswith(start)


def test_a_key_that_lies_over_a_merged_one_is_not_written_twice(put):
    path = put("base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\n")
    assert load(path)["other"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a: 1\nb: m\xfcde\n", "line 2: byte 0xfc is not UTF-8: save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        ("a: [1\n\tb: 2", "is not YAML"),
        ("a: 1\n--- \nb: 2\n", "is not YAML: expected a single document"),
        ("a: *b", "is not YAML: found undefined alias"),
        ("a: 2026-99-99", "has a value that cannot be read: month must be in 1..12"),
        ("a: !!timestamp never", "has a value that cannot be read"),
        ("a: !!python/object:os.system x", "is not YAML: could not determine a constructor"),
        ("? [a]\n: 1", "is not YAML: while constructing a mapping"),
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "has no keys at its top level"),
        ("[" * 3000, "is not YAML: groups inside each other"),
        ("{" * 3000, "is not YAML: groups inside each other"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "is not YAML: groups inside each other"),
        ("a: &a [*a]", "is not YAML: an alias stands within the value that it names"),
        ("\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]"
                                     for n in range(1, 9))]), "aliases repeat more than"),
        ("a: " + "1" * MOST_BYTES, "bytes, more than any configuration"),
        ("a: " + "9" * 5000, "has a value that cannot be read"),
        (b"a: \0", "is not YAML"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_named_with_the_reason(put, text, said):
    (problem,) = problems(put(text))
    assert said in problem


def test_more_keys_and_values_than_a_configuration_has_are_refused(put, monkeypatch):
    path = put("a: [" + "1," * 995 + "]")
    assert len(load(path)["a"]) == 995
    monkeypatch.setattr(reading, "MOST_VALUES", 900)
    assert "is not YAML: more than 900 keys and values" in problems(path)[0]


def test_a_folder_a_pipe_and_a_missing_file_are_named(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "is a pipe or a device" in problems(pipe)[0]
    assert "is a folder" in problems(tmp_path)[0]
    assert problems(tmp_path / "none.yaml") == (f"there is no file {tmp_path / 'none.yaml'}",)


def test_a_command_says_what_is_wrong_with_the_file(put):
    path = put("a: 1\na: 2\n")
    with pytest.raises(ConfigurationError, match="a is written twice"):
        read(CHECKOUT / "config/config.yaml", path)


@pytest.mark.parametrize(
    ("words", "files"),
    [
        ([], ["config/config.yaml"]),
        (["-n", "--cores", "2"], ["config/config.yaml"]),
        (["--configfile", "a", "b", "--cores", "2"], ["a", "b"]),
        (["--configfiles", "a", "-n", "--configfile=b", "all"], ["a", "b"]),
    ],
)
def test_a_run_looks_into_the_configurations_that_its_words_name(words, files):
    assert configuration_files(words) == files


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc é{}", max_size=4)
KEYS = st.text("abc", min_size=1)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)


@given(VALUES.map(lambda value: {"top": value}))
def test_what_yaml_writes_is_read_back(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    assert load(path) == value


@pytest.mark.slow
def test_the_largest_file_is_refused_in_bounded_memory(put):
    """Of two megabytes as much as a configuration may have: in less than 400 MB."""
    path = put("a: [" + "1," * (MOST_BYTES // 2 - 10) + "]")
    program = """
import resource, sys
from gallerist.config.reading import Unreadable, load
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load(sys.argv[1])
except Unreadable as error:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, error)
"""
    said = subprocess.run(
        [sys.executable, "-c", program, path],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert int(said.split()[0]) < 400
    assert "more than 100000 keys and values" in said
