"""Receipts of submissions: they come back as written, and the one that matters is found."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.challenge.receipts import NoReceipt, Receipt, Receipts

KEY = "0123456789abcdef" * 4
texts = st.text(st.characters(codec="utf-8"), max_size=20)


def receipt(state, body="", whole=True):
    return Receipt(state, "m", "f", "u", KEY, body=body, body_is_whole=whole)


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
        body_encoding=texts,
        seconds=st.floats(0, 1e6),
        headers=st.dictionaries(texts, texts, max_size=3),
    )
)
def test_a_receipt_comes_back_as_it_was_written(file, built):
    built.write(file)
    assert Receipt.read(file) == built


@pytest.mark.parametrize(
    ("body", "whole", "good"),
    [
        ('{"top1": 1}', True, True),
        ("null", True, True),
        ('{"top1": 1}', False, False),
        ("", True, False),
        ("<p>", True, False),
        ("[" * 100_000, True, False),
    ],
)
def test_an_answer_is_good_when_it_is_whole_and_json(body, whole, good):
    assert receipt("answered", body, whole).is_good == good
    assert not receipt("refused", body, whole).is_good


@pytest.mark.parametrize("change", [{"state": "lost"}, {"more": 1}])
def test_what_is_no_receipt_is_refused_with_the_file(tmp_path, change):
    receipt("answered").write(tmp_path / "r.json")
    value = json.loads((tmp_path / "r.json").read_bytes()) | change
    (tmp_path / "r.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(NoReceipt, match=r"r\.json is not the receipt.*\n.*move the file away"):
        Receipt.read(tmp_path / "r.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '"x"'])
def test_another_file_is_no_receipt(tmp_path, text):
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(NoReceipt, match=r"r\.json"):
        Receipt.read(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("history", "position"),
    [
        ([], None),
        (["not arrived", "refused"], None),
        (["unknown", "refused"], 0),
        (["unknown", "sending"], 1),
        (["answered", "unknown"], 0),
        (["good", "answered", "unknown", "not arrived"], 0),
        (["good", "good"], 1),
        (["refused"] * 9 + ["good", "unknown"], 9),
    ],
)
def test_the_receipt_that_matters_is_found(tmp_path, history, position):
    kept = Receipts(tmp_path, KEY)
    (tmp_path / "unrelated.json").write_text("{}", encoding="utf-8")
    written = [
        receipt("answered", "{}") if state == "good" else receipt(state) for state in history
    ]
    paths = []
    for number, one in enumerate(written):
        paths.append(kept.next_path())
        Receipt(**{**vars(one), "message": str(number)}).write(paths[-1])
    found = kept.settled()
    assert (found and int(found.message)) == position
    assert len(set(paths)) == len(history)


def test_a_folder_that_is_not_there_holds_no_receipts(tmp_path):
    kept = Receipts(tmp_path / "none", KEY)
    assert kept.settled() is None
    assert kept.next_path().name == "0123456789abcdef-1.json"
