"""Vectors that somebody else made: matched by name, checked, and what is refused."""

import numpy as np
import pytest

from gallerist.data.manifest import Manifest, Picture
from gallerist.features.given import GivenVectors
from gallerist.io.errors import UserError

NAMES = ("gallery/a.jpg", "gallery/b.jpg", "query/a.jpg")
PICTURES = {
    part: Manifest(
        Picture(f"{row}" * 16, f"data/{name}", "", part, "", 9, 9, "")
        for row, name in enumerate(NAMES)
        if name.startswith(part)
    )
    for part in ("gallery", "query")
}
ROWS = np.arange(12).reshape(4, 3).astype(np.float32)
ORDER = [NAMES[2], "of/another.jpg", NAMES[0], NAMES[1]]
MADE = ROWS[[2, 3, 0]]


IDS = "\n".join(["path", *ORDER])


def put(folder, vectors=ROWS, ids=IDS, ending="csv"):
    np.save(folder / "v.npy", vectors)
    if ending == "npy":
        np.save(folder / "ids.npy", ids)
    else:
        (folder / f"ids.{ending}").write_text(ids, encoding="utf-8")
    return GivenVectors(folder / "v.npy", folder / f"ids.{ending}", PICTURES, "data")


def rows(given):
    paths = [path for part in PICTURES.values() for path in part.paths]
    return np.concatenate([*given.batches(paths)])


@pytest.mark.parametrize(
    ("ids", "ending"),
    [
        ("note,path\n" + "".join(f"x,{name}\n" for name in ORDER), "csv"),
        ("\n".join(ORDER), "txt"),
        (np.array(ORDER), "npy"),
        ("id\n" + "\n".join(["2" * 16, "z", "0" * 16, "b.jpg"]), "csv"),
    ],
)
def test_rows_are_matched_to_pictures_whatever_their_order_and_form(tmp_path, ids, ending):
    assert rows(put(tmp_path, ids=ids, ending=ending)).tolist() == MADE.tolist()


def test_the_identity_is_that_of_the_contents(tmp_path):
    first = put(tmp_path).model
    assert put(tmp_path).model == first
    assert put(tmp_path, ROWS + 1).model != first
    assert put(tmp_path, ids="id\n" + "\n".join(ORDER)).model != first


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"vectors": ROWS[0]}, r"v\.npy is \(3,\): vectors are \(pictures, length\)"),
        ({"vectors": ROWS.astype(str)}, r"holds <U32: vectors are fractions or whole numbers"),
        ({"vectors": ROWS[:3]}, r"has 3 rows, and .* names 4 pictures"),
        ({"vectors": np.where(ROWS == 4, ROWS, np.nan)}, r"row 1 has a number that is not finite"),
        ({"ids": "path\nq\nr\ngallery/a.jpg\ns"}, r"no vector for 2 of 3 .*: data/gallery/b\.jpg"),
        ({"ids": "path\na.jpg\nr\nb.jpg\ns"}, r"name 1: 2 pictures are called 'a\.jpg': write"),
        ({"ids": "path\n" + "\n".join([ORDER[0]] * 4)}, r"name 2: .* is named before, as number 1"),
        ({"ids": "name,other\n" + "a,b\n" * 4}, "has no column id or path; nor is it one name a"),
        ({"ids": np.arange(4), "ending": "npy"}, r"is int64 \(4,\): ids are \(pictures,\) texts"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, changed, said):
    with pytest.raises(UserError, match=said) as error:
        put(tmp_path, **changed)
    assert "\n" not in str(error.value)


def test_a_file_that_holds_objects_is_not_opened(tmp_path):
    with pytest.raises(UserError, match="is no NPY file of numbers"):
        put(tmp_path, np.array([{}, {}], dtype=object))
