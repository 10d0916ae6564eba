"""Truths for any protocol: what `gallerist evaluate` reads, and the revisited Oxford and Paris."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.external_rankings import Truth, read_truth
from gallerist.evaluation.relevance import Relevance
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json

SETUPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "medium": (("easy", "hard"), ("junk",)),
    "easy": (("easy",), ("hard", "junk")),
    "hard": (("hard",), ("easy", "junk")),
}
"""Of the revisited Oxford and Paris: name -> what is right, and what is junk. Radenović et al.,
Revisiting Oxford and Paris (2018), 3.2."""

_LISTS = ("easy", "hard", "junk")
_FORM = (
    '{"gallery": [names], "queries": [names], "truth": [{"easy": [...], "hard": [...], "junk": '
    "[...]}, ...]}, with places in the gallery's list from 0"
)

Answers = Mapping[str, Set[str]]
"""Query -> gallery pictures."""


@dataclass(frozen=True)
class JudgedTruth:
    """A truth for any protocol.

    truth: as `gallerist evaluate` has it; of several setups, by the first. setups: name -> right
    pictures of each query, and its junk; only where the truth has pairs.
    """

    truth: Truth
    setups: Mapping[str, tuple[Answers, Answers]]

    @classmethod
    def of(cls, truth: Truth) -> "JudgedTruth":
        """Take it from a truth of classes, which has no junk, or of pairs."""
        if truth.gallery is not None:
            return cls(truth, {})
        return cls(truth, {"": (truth.relevance.relevant, truth.junk)})


def read_judged_truth(paths: Sequence[PathLike], ranked: Sequence[str]) -> JudgedTruth:
    """Read the truth of a ranking with the queries `ranked`.

    One file that ends in .json is an annotation of the revisited Oxford or Paris; others are read
    as `read_truth` does. Raises UserError naming the file, and the line or key.
    """
    if len(paths) == 1 and Path(paths[0]).suffix.lower() == ".json":
        return read_revisited(paths[0])
    return JudgedTruth.of(read_truth(paths, ranked))


def read_revisited(path: PathLike) -> JudgedTruth:
    """Read the annotations of the revisited Oxford or Paris: easy, hard and junk answers.

    The form is JSON, `_FORM`; other keys, such as boxes, are ignored. Raises UserError naming the
    file and the query.
    """
    try:
        value = read_json(path, unique_keys=True)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    gallery, queries, rows = _parts(path, value)
    pictures = [
        _pictures(f"{path}: {query}", gallery, row)
        for query, row in zip(queries, rows, strict=True)
    ]
    setups = {}
    for name, kinds in SETUPS.items():
        right, junk = (
            {
                query: frozenset().union(*(each[kind] for kind in of_kind))
                for query, each in zip(queries, pictures, strict=True)
            }
            for of_kind in kinds
        )
        setups[name] = (right, junk)
    right, junk = next(iter(setups.values()))
    asked = Manifest(tuple(Picture(each, "", "", "query", each, 0, 0, "") for each in queries))
    return JudgedTruth(Truth(asked, Relevance(right, frozenset(gallery)), junk=junk), setups)


def _parts(path: PathLike, value: Any) -> tuple[list[str], list[str], list[Any]]:
    parts = (
        [value.get(key) for key in ("gallery", "queries", "truth")]
        if isinstance(value, dict)
        else []
    )
    if not parts or not all(isinstance(part, list) for part in parts):
        raise UserError(f"{path} is no truth with junk. The form is {_FORM}")
    gallery, queries, rows = (list(part or ()) for part in parts)
    for name, names in (("gallery", gallery), ("queries", queries)):
        if not all(isinstance(each, str) and each for each in names) or not names:
            raise UserError(f"{path}: {name} is no list of names")
        if len(set(names)) < len(names):
            raise UserError(f"{path}: {name} has {max(names, key=names.count)} twice")
    if len(rows) != len(queries):
        raise UserError(f"{path}: truth has {len(rows)} entries for {len(queries)} queries")
    return gallery, queries, rows


def _pictures(place: str, gallery: Sequence[str], row: Any) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for kind in _LISTS:
        places = row.get(kind) if isinstance(row, dict) else None
        if not isinstance(places, list) or not all(type(each) is int for each in places):
            raise UserError(f"{place}: {kind} is no list of whole numbers. The form is {_FORM}")
        outside = [each for each in places if not 0 <= each < len(gallery)]
        if outside:
            raise UserError(f"{place}: {kind} has {outside[0]}, and the gallery {len(gallery)}")
        found[kind] = frozenset(gallery[each] for each in places)
    for one, other in (("easy", "hard"), ("easy", "junk"), ("hard", "junk")):
        both = found[one] & found[other]
        if both:
            raise UserError(f"{place}: {min(both)} is {one} and {other}")
    return found
