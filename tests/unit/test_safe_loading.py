"""Nothing that is read can run code: no pickle, no unsafe model, no exchanged file is opened."""

import ast

import pytest
from checkout import SCRIPTS
from tracked import a_record

from gallerist.io.files import sha256_of_file
from gallerist.records.made import verify_output
from gallerist.records.record import RecordError, write_record

BENCHMARKS = SCRIPTS.parent / "benchmarks"
SOURCES = sorted([*SCRIPTS.rglob("*.py"), *BENCHMARKS.rglob("*.py")])

UNPICKLERS = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
ALLOWED = {"unpickling.py": {"pickle"}}
"""It names a list of classes that a pickle may ask for, and has tests of its own."""

REQUIRED = {
    # call -> the keyword without which it runs what it reads, and its value
    "load": ("allow_pickle", False),
    "savez": ("allow_pickle", False),
    "savez_compressed": ("allow_pickle", False),
    "load_model": ("safe_mode", True),
}
FORBIDDEN = {
    *("read_pickle", "to_pickle", "unsafe_load", "full_load", "load_all"),
    *("enable_unsafe_deserialization", "eval", "exec"),
}


def faults(source: str, allowed=frozenset()):
    """What in a Python text could run code that was read from a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in UNPICKLERS - allowed:
                    yield f"import {alias.name}"
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in UNPICKLERS - allowed:
                yield f"from {node.module}"
        elif isinstance(node, ast.Call):
            yield from faults_of_call(node)


def faults_of_call(node):
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
    if name in FORBIDDEN and (name not in ("eval", "exec") or not owner):
        yield name
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if name == "load" and owner not in ("np", "numpy"):
        if owner == "yaml":
            yield "yaml.load"
        return
    if name in REQUIRED:
        keyword, value = REQUIRED[name]
        found = given.get(keyword)
        if not (isinstance(found, ast.Constant) and found.value is value):
            yield f"{name} without {keyword}={value}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_module_loads_what_could_run(path):
    found = list(faults(path.read_text(encoding="utf-8"), ALLOWED.get(path.name, frozenset())))
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from joblib import load", "import numpy as np; np.load('a')",
        "import numpy as np; np.load('a', allow_pickle=True)", "pd.read_pickle('a')",
        "np.savez('a', x=1)", "keras.models.load_model('a')",
        "keras.models.load_model('a', safe_mode=False)", "yaml.load(text, Loader=L)",
        "eval(text)", "def f():\n    import marshal",
    ],
)  # fmt: skip
def test_what_could_run_is_found(source):
    assert len(list(faults(source))) == 1


# --- only the file that was made


@pytest.fixture
def made(tmp_path):
    """A file and the record that vouches for it."""
    model, record = tmp_path / "model.keras", tmp_path / "training.record.json"
    model.write_bytes(b"a network" * 100)
    write_record(record, a_record("monkeys", made={"elsewhere/model.keras": sha256_of_file(model)}))
    return model, record


def test_the_file_that_was_made_is_taken_wherever_it_was_moved(made):
    verify_output(*made)


def test_one_changed_byte_is_refused_and_the_file_is_named(made):
    model, record = made
    content = bytearray(model.read_bytes())
    content[450] ^= 1
    model.write_bytes(content)
    with pytest.raises(RecordError) as refusal:
        verify_output(model, record)
    message = str(refusal.value)
    assert message.startswith(f"{model} is not the file that its job made, says {record} (SHA-256")
    assert "it was not opened" in message
    assert "\n" not in message


def test_a_file_that_its_record_does_not_know_is_refused(made):
    model, record = made
    write_record(record, a_record("monkeys"))
    with pytest.raises(RecordError, match="it does not name it"):
        verify_output(model, record)


def test_a_record_that_is_gone_or_none_refuses_too(made):
    model, record = made
    record.write_text("{}")
    with pytest.raises(RecordError, match="this is not a record"):
        verify_output(model, record)
    record.unlink()
    with pytest.raises(FileNotFoundError):
        verify_output(model, record)
