"""Receipts of submissions: they come back as written, and the one that matters is found."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.challenge.receipts import Receipt, find_arrived, receipts_of
from gallerist.io.errors import UserError

KEY = "0123456789abcdef" * 4
texts = st.text(st.characters(codec="utf-8"), max_size=20)


def receipt(state, message="m"):
    return Receipt(state, message, "f", "u", KEY)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("receipts") / "one.json"


@settings(max_examples=50, deadline=None)
@given(
    built=st.builds(
        Receipt,
        message=texts,
        file=texts,
        url=texts,
        key=texts,
        sent_at=texts,
        body=texts,
        seconds=st.floats(0, 1e6),
        status=st.none() | st.integers(100, 999),
    )
)
def test_a_receipt_comes_back_as_it_was_written(file, built):
    built.write(file)
    assert Receipt.read(file) == built


@pytest.mark.parametrize("change", [{"state": "lost"}, {"more": 1}])
def test_what_is_no_receipt_is_refused_with_the_file(tmp_path, change):
    receipt("answered").write(tmp_path / "r.json")
    value = json.loads((tmp_path / "r.json").read_bytes()) | change
    (tmp_path / "r.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(UserError, match=r"r\.json is not the receipt.*\n.*move the file away"):
        Receipt.read(tmp_path / "r.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '"x"'])
def test_another_file_is_no_receipt(tmp_path, text):
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"r\.json"):
        Receipt.read(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("history", "position"),
    [
        ([], None),
        (["not sent", "refused"], None),
        (["unknown", "refused"], 0),
        (["unknown", "sending"], 1),
        (["unreadable", "unknown"], 0),
        (["answered", "unreadable", "unknown", "not sent"], 0),
        (["answered", "answered"], 1),
        (["refused"] * 9 + ["answered", "unknown"], 9),
    ],
)
def test_the_receipt_that_matters_is_found(tmp_path, history, position):
    (tmp_path / "unrelated.json").write_text("{}", encoding="utf-8")
    for number, state in enumerate(history):
        receipt(state, str(number)).write(tmp_path / f"{KEY[:16]}-{number + 1}.json")
    found = find_arrived(KEY, tmp_path)
    assert (found and int(found.message)) == position
    names = [path.name for path in receipts_of(KEY, tmp_path)]
    assert names == [f"{KEY[:16]}-{number + 1}.json" for number in range(len(history))]


def test_a_folder_that_is_not_there_holds_no_receipts(tmp_path):
    assert find_arrived(KEY, tmp_path / "none") is None
    assert receipts_of(KEY, tmp_path / "none") == []
