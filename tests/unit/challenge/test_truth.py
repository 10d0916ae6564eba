"""The challenge's ground truth: both forms, which queries count, and how it fits the pictures."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.challenge.truth import CONFUSION, Truth, match
from gallerist.data.manifest import DISTRACTOR
from gallerist.io.errors import UserError

TRUTH = Truth(
    {"q1.jpg": "cat", "q2.jpg": "dog", "q3.jpg": "emu", "q4.jpg": CONFUSION},
    {"a.jpg": "cat", "b.jpg": "dog", "c.jpg": "owl", "d.jpg": CONFUSION, "e.jpg": DISTRACTOR},
    {"q1.jpg": "sketch", "q2.jpg": "photo"},
)
names = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=8)
classes = names.filter(str.strip)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("truth")


@pytest.fixture
def csv_file(tmp_path):
    def write(text, encoding="utf-8"):
        (tmp_path / "truth.csv").write_text(text, encoding=encoding)
        return tmp_path / "truth.csv"

    return write


def test_queries_without_a_relevant_picture_and_distractor_queries_are_excluded():
    assert TRUTH.answerable == ("q1.jpg", "q2.jpg")
    assert TRUTH.relevance.excluded == ("q3.jpg", "q4.jpg")


def test_both_names_of_the_distractors_are_one_class():
    assert TRUTH.gallery["d.jpg"] == TRUTH.gallery["e.jpg"] == DISTRACTOR
    assert TRUTH.distractors == 2


def test_a_domain_that_is_not_given_is_unknown():
    assert [TRUTH.domain(name) for name in TRUTH.query] == ["sketch", "photo", "unknown", "unknown"]


def test_what_is_written_is_the_published_form(tmp_path):
    Truth({"q": "cat"}, {"b": CONFUSION, "a": "cat"}).write(tmp_path / "truth.json")
    assert json.loads((tmp_path / "truth.json").read_bytes()) == {
        "gallery": {"a": "cat", "b": "confusion_classes"},
        "query": {"q": "cat"},
    }


@given(
    query=st.dictionaries(names, classes, min_size=1, max_size=5),
    gallery=st.dictionaries(names, classes, min_size=1, max_size=5),
    data=st.data(),
)
def test_a_truth_comes_back_as_it_was(folder, query, gallery, data):
    domains = st.dictionaries(st.sampled_from(sorted(query)), st.sampled_from(["photo", "sketch"]))
    truth = Truth(query, gallery, data.draw(domains))
    truth.write(folder / "truth.json")
    assert Truth.read(folder / "truth.json") == truth


def test_a_truth_as_csv_equals_that_as_json(csv_file):
    file = csv_file(
        "file,part,label,domain\nq1.jpg,query,cat,sketch\nq2.jpg,query,dog,photo\n"
        "q3.jpg,query,emu,\nq4.jpg,query,distractor,\na.jpg,gallery,cat,\nb.jpg,gallery,dog,photo\n"
        "c.jpg,gallery,owl,\nd.jpg,gallery,confusion_classes,\ne.jpg,gallery,distractor,\n",
        encoding="utf-8-sig",
    )
    assert Truth.read(file) == TRUTH


def test_csv_needs_no_domains(csv_file):
    truth = Truth.read(csv_file("file,part,label\nx.png,query,cat\nx.png,gallery,cat\n"))
    assert (truth.answerable, truth.domain("x.png")) == (("x.png",), "unknown")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns are not file, part, label"),
        ("file,label,part\n", "columns are not"),
        ("file,part,label\na,query\n", "line 2 has 2 cells"),
        ("file,part,label\na,queries,cat\n", "line 2: the part 'queries'"),
        (
            "file,part,label\na,query,cat\na,query,dog\n",
            "line 3: a of the query stands in it twice",
        ),
        (
            "file,part,label,domain\na,query,cat,painting\nb,gallery,cat,\n",
            "the domain of a is 'painting'",
        ),
        ("file,part,label\na,query,cat\n", "there is no gallery picture"),
        ("file,part,label\na,query, \nb,gallery,cat\n", "a of the query has no class"),
    ],
)
def test_csv_of_another_form_is_refused_by_name(csv_file, text, message):
    with pytest.raises(UserError, match=r"truth\.csv is not a ground truth") as caught:
        Truth.read(csv_file(text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no object with the keys gallery and query"),
        ('{"gallery": {"a": "cat"}}', "no object with the keys"),
        ('{"gallery": {"a": 3}, "query": {"q": "cat"}}', "gallery is not an object of file names"),
        ('{"gallery": {"a": "x"}, "query": {"q": "x"}, "extra": {}}', "its key extra is none of"),
        ('{"gallery": {"a": "x", "a": "y"}, "query": {"q": "x"}}', "a stands in it twice"),
        ('{"gallery": {"a": "x"}, "query": {"q": "x"}, "domain": {"a": "photo"}}', "is no query"),
        ('{"gallery": {"a": "x"}, "query": {"q": "x"}, "domain": {"q": "oil"}}', "domain of q is"),
        ("{", "is not a ground truth"),
    ],
)
def test_json_of_another_form_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(UserError, match=r"truth\.json") as caught:
        Truth.read(tmp_path / "truth.json")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_or_of_another_kind_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json cannot be read"):
        Truth.read(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"truth\.txt: a ground truth is a \.json or a \.csv"):
        Truth.read(tmp_path / "truth.txt")


def test_a_truth_of_the_same_pictures_is_left_as_it_is():
    cut, differences = match(TRUTH, TRUTH.query, TRUTH.gallery)
    assert cut == TRUTH
    assert differences == [
        "2 queries have no picture of their class in the gallery: q3.jpg, q4.jpg"
    ]


def test_pictures_that_are_not_there_count_nowhere_and_are_named():
    cut, differences = match(TRUTH, ["q1.jpg", "q2.jpg", "new.jpg"], ["a.jpg", "c.jpg", "d.jpg"])
    assert cut.answerable == ("q1.jpg",)  # the only dog is gone: none for q2
    assert cut.domain("q1.jpg") == "sketch"
    assert differences == [
        "2 queries of the ground truth are not among the pictures: q3.jpg, q4.jpg",
        "2 pictures of the ground truth are not in the gallery: b.jpg, e.jpg",
        "1 queries are not in the ground truth, and are not graded: new.jpg",
        "1 queries have no picture of their class in the gallery: q2.jpg",
    ]


def test_a_gallery_picture_that_the_truth_lacks_is_not_taken_for_a_distractor():
    with pytest.raises(UserError, match=r"lacks 1 of 6 gallery pictures: z\.jpg") as caught:
        match(TRUTH, TRUTH.query, [*TRUTH.gallery, "z.jpg"])
    assert CONFUSION in str(caught.value)


def test_a_truth_of_other_queries_is_refused():
    with pytest.raises(UserError, match="knows none of the 1 queries"):
        match(TRUTH, ["other.jpg"], TRUTH.gallery)
