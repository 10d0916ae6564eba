"""The linter of answer files: every problem is found and named, and nothing else is."""

import codecs
import copy
import json
import re
import unicodedata

import pytest
from checkout import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.challenge.answer_file import write_answers
from gallerist.challenge.lint import format_problems, lint, lint_bytes

QUERIES = ["q1.jpg", "q2.jpg", "Käfer.jpg"]
GALLERY = ["a.jpg", "4.5", "b.jpg", "c.jpg", "Äffin.png", "e.jpg", "1.2.jpg"]
K = 3
GOOD = {
    "groupname": "Primati",
    "images": {
        "q1.jpg": ["a.jpg", "b.jpg", "c.jpg"],
        "q2.jpg": ["Äffin.png", "e.jpg", "a.jpg"],
        "Käfer.jpg": ["c.jpg", "b.jpg", "1.2.jpg"],
    },
}


def found(value, k=K):
    """The problems of a value (written as JSON), of a text, or of bytes."""
    if not isinstance(value, str | bytes):
        value = json.dumps(value, ensure_ascii=False)
    content = value.encode() if isinstance(value, str) else value
    return lint_bytes(content, GALLERY, QUERIES, k)


def codes(value, k=K):
    return [problem.code for problem in found(value, k)]


def changed(change):
    """The good submission after `change(value, value["images"])`."""
    value = copy.deepcopy(GOOD)
    change(value, value["images"])
    return value


def with_answer(answer):
    """The good submission with another second answer to q1.jpg."""
    return changed(lambda _, images: images["q1.jpg"].__setitem__(1, answer))


def with_key(key):
    """The good submission with another key in the place of q1.jpg."""
    return changed(lambda _, images: images.update({key: images.pop("q1.jpg")}))


def text(value=GOOD):
    return json.dumps(value, ensure_ascii=False)


# One mutation a row: what it makes of the good file, the codes it must give, words of the message.
MUTATIONS = {
    "a byte order mark": (codecs.BOM_UTF8 + text().encode(), ["byte_order_mark"], "without BOM"),
    "Latin-1": (text().encode("latin-1"), ["not_utf8"], "Line 1, byte .* Latin-1"),
    "UTF-16": (text().encode("utf-16"), ["not_utf8"], "begins like UTF-16"),
    "an empty file": (b"", ["not_json"], "file is empty"),
    "a cut file": (text()[:-1], ["not_json"], r"Line 1, column \d+"),
    "a comma too many": (
        '{"groupname": "g",\n "images": {},}',
        ["not_json"],
        "Line 2, column 1[45]",
    ),
    "single quotes": ("{'groupname': 'g'}", ["not_json"], "Line 1, column 2.*double quotes"),
    "two documents": (text() + text(), ["not_json"], "Extra data"),
    "deep brackets": ("[" * 200_000, ["not_json"], "nested too deeply"),
    "NaN": (
        text(with_answer("@")).replace('"@"', "NaN"),
        ["not_finite", "answer_not_text"],
        "Line 1, column .* NaN is no JSON",
    ),
    "-Infinity": (
        text(with_answer("@")).replace('"@"', "\n-Infinity"),
        ["not_finite", "answer_not_text"],
        "Line 2, column 1: -Infinity",
    ),
    "groupname twice": (
        text().replace("{", '{"groupname": "h", ', 1),
        ["duplicate_key"],
        "top level the key 'groupname' stands 2 times",
    ),
    "a query twice": (
        text().replace('"q2.jpg":', '"q1.jpg": ["a.jpg", "e.jpg", "c.jpg"], "q2.jpg":'),
        ["duplicate_key"],
        "In images the key 'q1.jpg' stands 2 times",
    ),
    "a list": ([GOOD], ["not_an_object"], "holds a list"),
    "null": ("null", ["not_an_object"], "holds null"),
    "no groupname": (changed(lambda top, _: top.pop("groupname")), ["group_missing"], "Add"),
    "a number as groupname": (GOOD | {"groupname": 7}, ["group_not_text"], "is a number"),
    "half a character": (
        text().replace("Primati", "\\ud83d"),
        ["group_not_text"],
        "half of a character",
    ),
    "a blank groupname": (GOOD | {"groupname": " "}, ["group_empty"], "blank"),
    "no images": (changed(lambda top, _: top.pop("images")), ["images_missing"], "The form is"),
    "a list of images": (GOOD | {"images": []}, ["images_not_an_object"], "images is a list"),
    "empty images": (GOOD | {"images": {}}, ["images_empty"], "answers to all 3 queries"),
    "a further key": (GOOD | {"comment": "hi"}, ["unknown_key"], "'comment'.*take it out"),
    "another spelling of a key": (
        changed(lambda top, _: top.update(GroupName=top.pop("groupname"))),
        ["unknown_key", "group_missing"],
        "did you mean 'groupname'",
    ),
    "a missing query": (
        changed(lambda _, images: images.pop("q2.jpg")),
        ["query_missing"],
        "no key 'q2.jpg': add it with its 3 answers",
    ),
    "a key of the gallery": (
        with_key("a.jpg"),
        ["key_from_gallery", "query_missing"],
        "'a.jpg' is a gallery picture.*wrong list",
    ),
    "a path as key": (with_key("data/q1.jpg"), ["key_is_path"], "name alone, 'q1.jpg'.$"),
    "a path of nothing as key": (
        with_key("data\\z.jpg"),
        ["key_is_path", "query_missing"],
        "'z.jpg', which is no query either",
    ),
    "a key in capitals": (with_key("Q1.jpg"), ["key_misspelt"], "mean 'q1.jpg'.*lower case"),
    "a key with another extension": (with_key("q1.png"), ["key_misspelt"], "the extension"),
    "a key of nothing": (
        with_key("z.jpg"),
        ["key_unknown", "query_missing"],
        "'z.jpg' is no query",
    ),
    "a text for a list": (
        changed(lambda _, images: images.update({"q1.jpg": "a.jpg"})),
        ["answers_not_a_list"],
        "'q1.jpg' has text for answers",
    ),
    "an object for a list": (
        changed(lambda _, images: images.update({"q1.jpg": {"a.jpg": 1}})),
        ["answers_not_a_list"],
        "has an object for answers",
    ),
    "a missing answer": (
        changed(lambda _, images: images["q1.jpg"].pop()),
        ["too_few"],
        "'q1.jpg' has 2 answers of 3: add 1 more",
    ),
    "no answers": (
        changed(lambda _, images: images["q1.jpg"].clear()),
        ["too_few"],
        "has 0 answers of 3",
    ),
    "one answer more": (
        changed(lambda _, images: images["q1.jpg"].append("e.jpg")),
        ["too_many"],
        "has 4 answers of 3: leave out the last 1",
    ),
    "a number as answer": (with_answer(3), ["answer_not_text"], "'q1.jpg', answer 2: a number"),
    "a huge number": (
        text(with_answer("@")).replace('"@"', "1" * 10_000),
        ["answer_not_text"],
        "a number",
    ),
    "null as answer": (with_answer(None), ["answer_not_text"], "answer 2: null"),
    "true as answer": (with_answer(True), ["answer_not_text"], "answer 2: true or false"),
    "an answer twice": (
        with_answer("a.jpg"),
        ["answer_repeated"],
        "'q1.jpg', answer 2: 'a.jpg' is answer 1 already",
    ),
    "a path as answer": (with_answer("gallery/b.jpg"), ["answer_is_path"], "alone, 'b.jpg'.$"),
    "a Windows path as answer": (with_answer("C:\\g\\b.jpg"), ["answer_is_path"], "'b.jpg'.$"),
    "a path of nothing": (with_answer("g/z.jpg"), ["answer_is_path"], "not in the gallery either"),
    "a query as answer": (with_answer("q2.jpg"), ["answer_is_query"], "'q2.jpg' is a query"),
    "an answer in capitals": (with_answer("B.JPG"), ["answer_misspelt"], "mean 'b.jpg'.*lower"),
    "another extension": (with_answer("b.jpeg"), ["answer_misspelt"], "'b.jpg'.*the extension"),
    "no extension": (with_answer("1.2"), ["answer_misspelt"], r"'1\.2\.jpg'.*the extension"),
    "an extension too many": (with_answer("4.5.jpg"), ["answer_misspelt"], "'4.5'.*the extension"),
    "decomposed letters": (
        with_answer(unicodedata.normalize("NFD", "Äffin.png")),
        ["answer_misspelt"],
        r"mean '\\xc4ffin\.png'.*Unicode normalisation",
    ),
    "an answer of nothing": (with_answer("z.jpg"), ["answer_unknown"], "'z.jpg' is not in the"),
    "an empty answer": (with_answer(""), ["answer_unknown"], "'' is not in the gallery"),
    "half a character as answer": (
        text(with_answer("@")).replace("@", "\\udc00"),
        ["answer_unknown"],
        r"\\udc00",
    ),
}


def test_a_good_submission_has_no_problem():
    assert found(GOOD) == []
    assert found(json.dumps(GOOD)) == []  # escapes are as good as UTF-8
    assert found(json.dumps(GOOD, indent=4) + "\r\n") == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_gives_its_problems_and_no_others(name):
    value, expected, words = MUTATIONS[name]
    messages = [problem.message for problem in found(value)]
    assert sorted(codes(value)) == sorted(expected)
    assert any(re.search(words, message, re.DOTALL) for message in messages), messages


CODES = {code for _, codes, _ in MUTATIONS.values() for code in codes} | {"unreadable"}


def test_there_are_28_codes_each_with_messages_of_its_own(tmp_path):
    given_ = [problem for value, _, _ in MUTATIONS.values() for problem in found(value)]
    given_ += lint(tmp_path / "none", GALLERY, QUERIES, K)
    assert {problem.code for problem in given_} == CODES
    assert len(CODES) == 28
    shapes = {}
    for problem in given_:
        shape = re.sub(r"'[^']*'|\d+", "#", problem.message)
        assert shapes.setdefault(shape, problem.code) == problem.code


def test_no_message_can_break_a_terminal_or_a_utf8_file():
    hostile = "\x1b[31m\ud800\u202e\n"
    value = {"groupname": hostile, hostile: 1, "images": {hostile: [hostile, f"/{hostile}", 1]}}
    given_ = found(json.dumps(value))
    assert len(given_) == 9
    for problem in given_:
        assert problem.message.isprintable()
        assert problem.message.encode("utf-8")


def test_all_problems_are_reported_at_once():
    value = {
        "groupname": "",
        "note": 1,
        "images": {"a.jpg": ["q1.jpg", 1, "x/y"], "q1.jpg": ["z", "z"], "q2.jpg": {}},
    }
    assert sorted(codes(codecs.BOM_UTF8 + json.dumps(value).encode())) == sorted(
        [
            "byte_order_mark",
            "unknown_key",
            "group_empty",
            "key_from_gallery",
            "query_missing",
            "answer_is_query",
            "answer_not_text",
            "answer_is_path",
            "too_few",
            "answer_unknown",
            "answer_repeated",
            "answers_not_a_list",
        ]
    )


def test_the_problems_behind_both_values_of_a_double_key_are_found():
    value = text().replace('"q2.jpg":', '"q1.jpg": ["z.jpg", "e.jpg", "c.jpg"], "q2.jpg":')
    assert codes(value) == ["duplicate_key", "answer_unknown"]


def test_the_published_key_fault_is_named_for_every_key():
    value = {"groupname": "g", "images": dict.fromkeys(GALLERY[:3], GALLERY[:3])}
    assert codes(value) == ["key_from_gallery"] * 3 + ["query_missing"] * 3


def test_a_name_that_is_in_both_folders_is_right_in_both_places():
    value = {"groupname": "g", "images": {"same.jpg": ["same.jpg"]}}
    assert lint_bytes(json.dumps(value).encode(), ["same.jpg"], ["same.jpg"], 1) == []


def test_a_backslash_that_belongs_to_a_name_is_no_path():
    value = {"groupname": "g", "images": {"q\\1": ["g\\1"]}}
    assert lint_bytes(json.dumps(value).encode(), ["g\\1"], ["q\\1"], 1) == []


def test_a_word_like_nan_inside_a_name_is_no_problem():
    value = {"groupname": "NaN", "images": {'a"NaN': ["Infinity"]}}
    assert lint_bytes(json.dumps(value).encode(), ["Infinity"], ['a"NaN'], 1) == []


def test_no_queries_want_no_answers():
    assert lint_bytes(b'{"groupname": "g", "images": {}}', ["a"], [], 10) == []


def test_a_file_is_read_and_a_missing_one_is_a_problem(tmp_path):
    (tmp_path / "r.json").write_text(text(), encoding="utf-8")
    assert lint(tmp_path / "r.json", GALLERY, QUERIES, K) == []
    (missing,) = lint(tmp_path / "none.json", GALLERY, QUERIES, K)
    assert missing.code == "unreadable"
    assert re.search(r"none\.json cannot be read: No such file", missing.message)
    assert [problem.code for problem in lint(tmp_path, GALLERY, QUERIES, K)] == ["unreadable"]


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="k is 0"):
        lint_bytes(b"", [], [], 0)


def test_the_list_of_problems_counts_those_that_it_leaves_out():
    value = with_answer("z.jpg")
    value["images"]["q2.jpg"] = ["x1", "x2", "x3"]
    assert format_problems(found(value), most=2) == (
        "answer_unknown: 'q1.jpg', answer 2: 'z.jpg' is not in the gallery: write the name of a "
        "file of its folder.\n"
        "answer_unknown: 'q2.jpg', answer 1: 'x1' is not in the gallery: write the name of a "
        "file of its folder.\n"
        "and 2 more"
    )
    assert "more" not in format_problems(found(value), most=4)
    assert format_problems([]) == ""


def test_a_big_file_of_problems_is_reported_whole():
    """20 000 queries of ten answers, all wrong, against a gallery of 50 000 with like names."""
    gallery = [f"{number}.JPG" for number in range(50_000)]
    queries = [f"q{number}.jpg" for number in range(20_000)]
    answers = [f"{number}.jpg" for number in range(10)]
    value = {"groupname": "g", "images": dict.fromkeys(queries, answers)}
    given_ = lint_bytes(json.dumps(value).encode(), gallery, queries, 10)
    assert len(given_) == 200_000
    assert {problem.code for problem in given_} == {"answer_misspelt"}


# -- whatever the names -----------------------------------------------------------------------

folder_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=8
)


@st.composite
def challenges(draw):
    """Two folders of two names or more, none common, and a good submission to them."""
    every = draw(st.lists(folder_names, min_size=4, max_size=12, unique=True))
    cut = draw(st.integers(2, len(every) - 2))
    queries, gallery = every[:cut], every[cut:]
    k = draw(st.integers(2, len(gallery)))
    answers = {query: tuple(draw(st.permutations(gallery))[:k]) for query in queries}
    return draw(folder_names.filter(str.strip)), answers, gallery, queries, k


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("problems") / "results.json"


@settings(max_examples=100, deadline=None)
@given(challenge=challenges())
def test_any_submission_that_is_written_has_no_problem(file, challenge):
    group, answers, gallery, queries, k = challenge
    write_answers(file, group, answers)
    assert lint(file, gallery, queries, k) == []


STRANGER = "?" * 9 + "."  # longer than any name drawn above, and near none


def renamed(key_of):
    """Give the first query's answers to another key."""
    return lambda images, query, gallery: images.update({key_of(query, gallery): images.pop(query)})


def replaced(answer_of):
    """Put another value in the place of the query's last answer."""
    return lambda images, query, _: images[query].__setitem__(-1, answer_of(images, query))


KINDS = {
    "query_missing": (lambda images, query, _: images.pop(query), set()),
    "key_from_gallery": (renamed(lambda _, gallery: gallery[0]), {"query_missing"}),
    "key_is_path": (renamed(lambda query, _: f"query/{query}"), set()),
    "key_unknown": (renamed(lambda *_: STRANGER), {"query_missing"}),
    "answers_not_a_list": (
        lambda images, query, _: images.update({query: images[query][0]}),
        set(),
    ),
    "too_few": (lambda images, query, _: images[query].pop(), set()),
    "too_many": (
        lambda images, query, _: images[query].append(images[query][0]),
        {"answer_repeated"},
    ),
    "answer_not_text": (replaced(lambda *_: 1.5), set()),
    "answer_is_path": (replaced(lambda images, query: f"./{images[query][-1]}"), set()),
    "answer_is_query": (replaced(lambda _, query: query), set()),
    "answer_repeated": (replaced(lambda images, query: images[query][0]), set()),
    "answer_unknown": (replaced(lambda *_: STRANGER), set()),
}


@settings(max_examples=200, deadline=None)
@given(challenge=challenges(), kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_any_one_mutation_of_a_kind_gives_that_code(challenge, kind, data):
    group, answers, gallery, queries, k = challenge
    images = {query: list(names) for query, names in answers.items()}
    mutate, follows = KINDS[kind]
    mutate(images, data.draw(st.sampled_from(queries)), gallery)
    content = json.dumps({"groupname": group, "images": images}).encode()
    assert {problem.code for problem in lint_bytes(content, gallery, queries, k)} == {
        kind
    } | follows


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(), st.text().map(str.encode)))
def test_whatever_the_bytes_there_is_a_problem_and_no_crash(content):
    given_ = lint_bytes(content, GALLERY, QUERIES, K)
    assert given_
    assert {problem.code for problem in given_} <= CODES


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(QUERIES + GALLERY),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["groupname", "images", *QUERIES, *GALLERY]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=json_values)
def test_whatever_the_json_its_problems_are_messages(value):
    for problem in lint_bytes(json.dumps(value).encode(), GALLERY, QUERIES, K):
        assert problem.code in CODES
        assert problem.message.endswith((".", "?"))


def test_the_keys_of_the_real_challenge_taken_from_its_gallery_are_found():
    if not (SHARED / "data/challenge").is_dir():
        pytest.skip("the challenge's pictures are not here")
    gallery = sorted(path.name for path in (SHARED / "data/challenge/gallery").iterdir())
    queries = sorted(path.name for path in (SHARED / "data/challenge/query").iterdir())
    good = dict.fromkeys(queries, gallery[:10])
    published = dict(zip(gallery, good.values(), strict=False))

    def codes_of(images):
        content = json.dumps({"groupname": "g", "images": images}).encode()
        return [problem.code for problem in lint_bytes(content, gallery, queries, 10)]

    assert codes_of(good) == []
    assert codes_of(published) == ["key_from_gallery"] * 65 + ["query_missing"] * 65
